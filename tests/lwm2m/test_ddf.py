"""Tests of `lwm2md.lwm2m.ddf`."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m import ddf
from lwm2md.lwm2m.models import ObjectModel, ResourceModel
from lwm2md.lwm2m.values import ResourceType
from tests.lwm2m.descriptions import described, file, item

DOOR = ObjectModel(
    32770,
    "1.2",
    "Door",
    True,
    False,
    {0: ResourceModel(0, "Angle", "R", ResourceType.INTEGER, False, True, "0..180", "deg")},
    "1.1",
)


def one(data: bytes) -> ObjectModel:
    """The only model of a file."""
    (model,) = ddf.read(data).models
    return model


class RightTests(SynchronousTestCase):
    """Files that are taken."""

    def test_whole(self) -> None:
        """Every fact of a file is in the model."""
        self.assertEqual(ddf.read(file()), ddf.Definitions((DOOR,), ()))

    def test_forms(self) -> None:
        """A byte-order mark, blank lines before, other encodings, a lone Object and namespaces change nothing."""
        plain = file().decode()
        for data in (
            b"\xef\xbb\xbf" + file(),
            b"\xef\xbb\xbf\r\n \n" + file(),
            b"\n\n" + file(),
            plain.replace("utf-8", "utf-16").encode("utf-16"),
            plain.replace("utf-8", "iso-8859-1").encode("latin-1"),
            file().replace(b"\n", b"\r\n"),
            described().encode(),
            file().replace(
                b"<LWM2M>",
                b'<LWM2M xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="x.xsd">',
            ),
            file().replace(b"<LWM2M>", b'<LWM2M xmlns="urn:x">'),
            file().replace(b"<Name>", b"<!-- door --><Name>\n\t ").replace(b"</Name>", b" </Name>"),
        ):
            self.assertEqual(one(data), DOOR, data)

    def test_versions(self) -> None:
        """Without an ObjectVersion it is that of the URN, else 1.0; without an LWM2MVersion that is 1.0."""
        for changes, versions in (
            ({"ObjectVersion": None, "LWM2MVersion": None}, ("1.0", "1.0")),
            ({"ObjectVersion": "", "LWM2MVersion": " 1.1 "}, ("1.0", "1.1")),
            ({"ObjectVersion": None, "ObjectURN": "urn:oma:lwm2m:x:32770:2.1"}, ("2.1", "1.1")),
            ({"ObjectVersion": "3.0", "ObjectURN": "urn:oma:lwm2m:x:32770:2.1"}, ("3.0", "1.1")),
            ({"ObjectVersion": "2", "ObjectURN": "what"}, ("2.0", "1.1")),
        ):
            found = one(file(described(**changes)))
            self.assertEqual((found.version, found.enabler), versions, changes)

    def test_several(self) -> None:
        """A file may have several Objects, and several versions of one."""
        found = ddf.read(file(described(), described(ObjectVersion="2.0"), described(ObjectID="1"))).models
        self.assertEqual([(each.id, each.version) for each in found], [(32770, "1.2"), (32770, "2.0"), (1, "1.2")])

    def test_words(self) -> None:
        """Types and operations are taken in any case and spacing."""
        for kind, expected in (
            ("Unsigned Integer", ResourceType.UNSIGNED),
            ("unsignedinteger", ResourceType.UNSIGNED),
            (" OBJLNK ", ResourceType.OBJLNK),
            ("CoreLnk", ResourceType.CORELNK),
            ("Time", ResourceType.TIME),
            ("Opaque", ResourceType.OPAQUE),
        ):
            self.assertIs(one(file(described(item(Type=kind, RangeEnumeration="")))).resources[0].type, expected)
        for text, operations in (("R W", "RW"), ("wr", "RW"), ("W", "W"), ("", "")):
            self.assertEqual(one(file(described(item(Operations=text)))).resources[0].operations, operations)

    def test_odd(self) -> None:
        """What is odd is taken, and told with its line and element."""
        found = ddf.read(
            file(
                described(
                    item(0, RangeEnumeration="see below"),
                    item(1, Operations="E", MultipleInstances="Multiple", RangeEnumeration=""),
                    ObjectURN="urn:oma:lwm2m:x:1",
                )
            )
        )
        self.assertEqual(
            sorted(map(str, found.remarks)),
            [
                "line 3, Object 32770/ObjectURN: names another Object",
                "line 4, Object 32770/Item 0/RangeEnumeration: says nothing that can be checked",
                "line 5, Object 32770/Item 1/MultipleInstances: what is executed has no instances, taken as Single",
                "line 5, Object 32770/Item 1/Type: what is executed has no type",
            ],
        )
        plain, executed = found.models[0].resources.values()
        self.assertEqual((plain.range, executed.type, executed.multiple), ("", ResourceType.NONE, False))

    def test_empty(self) -> None:
        """An Object without Resources is one."""
        self.assertEqual(one(file(described("<!-- none -->"))).resources, {})


class WrongTests(SynchronousTestCase):
    """Files that are refused, and what is told of them."""

    def refused(self, data: bytes) -> list[str]:
        """The faults of a file, a line each."""
        with self.assertRaises(ddf.DdfError) as caught:
            ddf.read(data)
        return [str(fault) for fault in caught.exception.faults]

    def test_elements(self) -> None:
        """Each element that is missing or wrong is named with its line."""
        for line, element, data in (
            (3, "Object/ObjectID", described(ObjectID="65535")),
            (3, "Object/ObjectID", described(ObjectID="-1")),
            (3, "Object/ObjectID", described(ObjectID=None)),
            (3, "Object 32770/Name", described(Name=None)),
            (3, "Object 32770/Name", described(Name=" ")),
            (3, "Object 32770/Name", described(Name="x" * 256)),
            (3, "Object 32770/ObjectVersion", described(ObjectVersion="one")),
            (3, "Object 32770/LWM2MVersion", described(LWM2MVersion="1.x")),
            (3, "Object 32770/MultipleInstances", described(MultipleInstances="Many")),
            (3, "Object 32770/Mandatory", described(Mandatory=None)),
            (4, "Object 32770/Item", described(item("x"))),
            (5, "Object 32770/Item", described(item(0), item("70000"))),
            (5, "Object 32770/Item 0", described(item(0), item(0))),
            (4, "Object 32770/Item 7/Operations", described(item(7, Operations="RE"))),
            (4, "Object 32770/Item 7/Operations", described(item(7, Operations=None))),
            (4, "Object 32770/Item 7/Type", described(item(7, Type="Number"))),
            (4, "Object 32770/Item 7/Type", described(item(7, Type=""))),
            (4, "Object 32770/Item 7/Mandatory", described(item(7, Mandatory="Yes"))),
            (4, "Object 32770/Item 7/MultipleInstances", described(item(7, MultipleInstances="x" * 5000))),
            (3, "Object 32770", described().replace("Resources>", "Recourses>")),
        ):
            told = self.refused(file(data))
            self.assertTrue(told[0].startswith(f"line {line}, {element}: "), (told, data))
            self.assertEqual(len(told), 1, told)

    def test_all_at_once(self) -> None:
        """All faults of a file are told together, as many as anybody reads."""
        told = self.refused(file(described(item("a"), item(1, Type="x"), Name="", Mandatory="x")))
        self.assertEqual(len(told), 4)
        self.assertEqual(len(self.refused(file(described(*(item(each, Type="x") for each in range(500)))))), 100)

    def test_twice(self) -> None:
        """The same version of an Object twice in a file is refused."""
        self.assertEqual(
            self.refused(file(described(), described())),
            ["line 6, Object 32770: version 1.2 is in this file already"],
        )

    def test_not_ddf(self) -> None:
        """What is no XML, or XML of something else, is refused with the line where that shows."""
        for data, start in (
            (b"", "line 1, LWM2M: not well-formed XML: no element found"),
            (b"\n\nhello", "line 3, LWM2M: not well-formed XML"),
            (b"<LWM2M>\n<Object>\n</LWM2M>", "line 3, LWM2M/Object: not well-formed XML: mismatched tag"),
            (b"<html><body/></html>", "line 1, html: an Object element is expected in it"),
            (b'<?xml version="1.0" encoding="klingon"?><LWM2M/>', "line 1, LWM2M: not readable: unknown encoding"),
            (b'<?xml version="1.0" encoding="utf-7"?><LWM2M/>', "line 1, LWM2M: not "),
            (file().replace(b"Door", b"\xff"), "line 3, LWM2M/Object/Name: not well-formed XML"),
        ):
            told = self.refused(data)
            self.assertTrue(told[0].startswith(start), told)

    def test_bombs(self) -> None:
        """Entities and DTDs are refused as soon as they are seen: nothing is expanded, nothing is fetched."""
        lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
        for head in (
            f'<!DOCTYPE LWM2M [<!ENTITY l0 "lol">{lol}]>',
            '<!DOCTYPE LWM2M [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE LWM2M SYSTEM "http://127.0.0.1:1/x.dtd">',
        ):
            told = self.refused(f'<?xml version="1.0"?>\n{head}<LWM2M>&l9;&x;</LWM2M>'.encode())
            self.assertEqual(told, ["line 2, LWM2M: DTDs and entities are refused"])

    def test_bounds(self) -> None:
        """Size, depth and numbers are bounded, and told."""
        deep = b"<LWM2M>" + b"<a>" * 100 + b"</a>" * 100 + b"</LWM2M>"
        skipped = b"<LWM2M><Description1>" + b"<a>" * 100 + b"</a>" * 100 + b"</Description1></LWM2M>"
        self.assertIn("too deep", self.refused(deep)[0])
        self.assertIn("too deep", self.refused(skipped)[0])
        self.assertIn("too many elements", self.refused(b"<LWM2M>" + b"<a/>" * 300_000 + b"</LWM2M>")[0])
        self.assertIn("at most 4194304 bytes", self.refused(b" " * (4 << 20) + b"<LWM2M/>")[0])
        self.assertIn("at most 1000", self.refused(b"<LWM2M>" + b"<Object/>" * 1001 + b"</LWM2M>")[0])

    def test_long_texts(self) -> None:
        """Texts of any length cost no more than reading them."""
        before = time.process_time()
        text = "0..1 " * 100_000
        data = file(described(item(RangeEnumeration=text, Description="&amp;" * 200_000), Description1=text))
        self.assertEqual(one(data).resources[0].range, "")
        self.assertLess(time.process_time() - before, 2.0)

    @given(st.binary(max_size=200), st.integers(0, 1000), st.integers(0, 20))
    def test_anything(self, junk: bytes, at: int, cut: int) -> None:
        """Whatever the bytes are, there are models or an error with a place."""
        whole = file()
        at = min(at, len(whole))
        for data in (junk, whole[:at] + junk + whole[at + cut :]):
            try:
                ddf.read(data)
            except ddf.DdfError as error:
                self.assertTrue(error.faults)
                self.assertGreaterEqual(error.faults[0].line, 1)
