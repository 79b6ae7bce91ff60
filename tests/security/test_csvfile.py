"""Files of credentials: what a line says, what is wrong with it, and that no fault tells a key."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.credentials import Credential, Key
from lwm2md.security.csvfile import Fault, Packed, Row, read

KEY = "000102030405060708090a0b0c0d0e0f"
identities = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20).filter(
    lambda text: (
        text == text.strip() and not text.startswith(("#", "x509:", "nosec:", "\ufeff")) and len(text.encode()) < 200
    )
)


def rows(text: str) -> list[Row]:
    """The rows of a file without faults."""
    found = list(read(text))
    return [each for each in found if isinstance(each, Row)] if not any(isinstance(e, Fault) for e in found) else []


class ReadTests(SynchronousTestCase):
    """Lines."""

    def test_plain(self) -> None:
        """Without a header the columns are identity, key and endpoint; empty lines and comments are nothing."""
        text = f'\ufeff# who\n\na,{KEY},a\r\n  \nb,{KEY}\n"c,d",{KEY},"x-* y"\n'
        self.assertEqual(
            rows(text),
            [Row(3, "a", KEY, ("a",)), Row(5, "b", KEY), Row(6, "c,d", KEY, ("x-*", "y"))],
        )

    def test_header(self) -> None:
        """A header names the columns in any order."""
        text = f"Identity,Scope,Note,Key\nb,bootstrap,the roof,{KEY}\nx509:cn,,,\nnosec:toy,,,\n"
        self.assertEqual(
            rows(text),
            [Row(2, "b", KEY, (), "bootstrap", "the roof"), Row(3, "x509:cn", ""), Row(4, "nosec:toy", "")],
        )
        self.assertEqual([row.type for row in rows(text)], ["psk", "x509", "nosec"])

    def test_faults(self) -> None:
        """Each line that is wrong is told with its number and field, and all of them are."""
        text = (
            f'a,{KEY}\nb,zz\n,{KEY}\na,{KEY}\nc,{KEY},x,more,and more\n"d,{KEY}\nx509:cn,{KEY}\ne\n'
            + "f" * 9000
            + f",{KEY}\n"
        )
        faults = [each for each in read(text) if isinstance(each, Fault)]
        self.assertEqual(
            [(fault.line, fault.field) for fault in faults],
            [
                (2, "key"),
                (3, "identity"),
                (4, "identity"),
                (5, "line"),
                (6, "line"),
                (7, "key"),
                (8, "key"),
                (9, "line"),
            ],
        )
        self.assertIn("line 1", faults[2].text)
        for fault in faults:
            self.assertNotIn(KEY, str(fault))

    def test_bad_header(self) -> None:
        """A column that is not known, or comes twice, is told."""
        faults = [each for each in read("identity,key,secret,key\n") if isinstance(each, Fault)]
        self.assertEqual([fault.field for fault in faults], ["header", "header"])

    @given(st.text(max_size=200))
    def test_any_text(self, text: str) -> None:
        """Any text is rows and faults."""
        for found in read(text):
            self.assertIsInstance(found, Row | Fault)

    @given(
        st.lists(st.tuples(identities, st.binary(min_size=8, max_size=64)), unique_by=lambda pair: pair[0], max_size=8)
    )
    def test_written_by_others(self, found: list[tuple[str, bytes]]) -> None:
        """What another program writes as CSV is read as it was meant."""
        file = io.StringIO()
        csv.writer(file).writerows([("identity", "key"), *((identity, key.hex()) for identity, key in found)])
        read_back = rows(file.getvalue())
        self.assertEqual([(row.identity, row.key) for row in read_back], [(i, k.hex()) for i, k in found])

    def test_never_shown(self) -> None:
        """A row shows no key."""
        self.assertNotIn(KEY, repr(rows(f"a,{KEY}\n")))


class PackedTests(SynchronousTestCase):
    """Rows in little memory."""

    def test_same(self) -> None:
        """Each row is there as it was, and no other."""
        found = Packed()
        made = [Row(3, "a", KEY, ("x", "y-*"), "bootstrap", "note\twith tab"), Row(4, "x509:b", "")]
        for row in made:
            found.add(row)
        self.assertEqual([found.get(row.identity) for row in made], made)
        self.assertEqual(
            found.credential("a"),
            Credential("a", "psk", "bootstrap", ("x", "y-*"), (Key(bytes.fromhex(KEY)),), note="note\twith tab"),
        )
        self.assertEqual(found.credential("x509:b"), Credential("x509:b", "x509"))
        self.assertIsNone(found.credential("c"))
        self.assertEqual((found.get("c"), "a" in found, "c" in found, len(found)), (None, True, False, 2))
        self.assertEqual(sorted(found), ["a", "x509:b"])
