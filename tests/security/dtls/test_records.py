"""DTLS records: how a datagram is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CID_LENGTH,
    DTLS_1_0,
    HANDSHAKE,
    HEADER,
    MAX_FRAGMENT,
    TLS12_CID,
    number,
    plain,
    split,
)

CID = bytes(range(CID_LENGTH))


def with_cid(numbered: int, fragment: bytes) -> bytes:
    """Return a record of type 25."""
    return b"\x19\xfe\xfd" + numbered.to_bytes(8, "big") + CID + len(fragment).to_bytes(2, "big") + fragment


class SplitTests(SynchronousTestCase):
    """What is a record, and what is not."""

    def test_many_records_in_a_datagram(self) -> None:
        """Records of every form stand behind one another."""
        records = [
            plain(HANDSHAKE, 0, b"abc"),
            plain(ALERT, 1, b""),
            with_cid(1 << 48 | 7, b"12345"),
            plain(APPLICATION_DATA, 1 << 48 | 8, bytes(100)),
        ]
        self.assertEqual(split(b"".join(records)), (records, True))
        self.assertEqual([number(record) for record in records], [0, 1, 1 << 48 | 7, 1 << 48 | 8])

    def test_what_is_malformed(self) -> None:
        """A type, a version or a length that no record has ends the datagram there; what came before counts."""
        good = plain(ALERT, 5, b"\x01\x00")
        for bad in (
            b"\x18" + good[1:],
            good[:1] + b"\xfe\xfc" + good[3:],
            good[:1] + b"\x03\x03" + good[3:],
            good[:1] + b"\xfe\xff\0\1" + good[5:],
            good[:-1],
            good[: HEADER - 1],
            b"\x16",
            with_cid(1, b"")[:-1],
            plain(APPLICATION_DATA, 0, bytes(MAX_FRAGMENT + 1)),
        ):
            self.assertEqual(split(bad), ([], False), bad[:HEADER])
            self.assertEqual(split(good + bad), ([good], False), bad[:HEADER])

    def test_dtls_1_0_before_the_versions_are_agreed_on(self) -> None:
        """First hellos say DTLS 1.0 in their records (RFC 6347 section 4.2.1)."""
        hello = plain(HANDSHAKE, 3, b"hello", DTLS_1_0)
        self.assertEqual(split(hello), ([hello], True))

    def test_an_empty_datagram_has_no_record(self) -> None:
        """Nothing is nothing, and not well-formed."""
        self.assertEqual(split(b""), ([], False))

    def test_the_largest_fragment_is_taken(self) -> None:
        """The limit itself is allowed."""
        record = plain(APPLICATION_DATA, 0, bytes(MAX_FRAGMENT))
        self.assertEqual(split(record), ([record], True))

    def test_no_connection_ids(self) -> None:
        """Where none was given out, no record has one."""
        self.assertEqual(split(with_cid(1, b"abc"), 0), ([], False))

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever arrives is cut into records that are the front of it."""
        records, clean = split(data)
        whole = b"".join(records)
        self.assertTrue(data.startswith(whole))
        self.assertEqual(clean, bool(data) and whole == data)

    @given(st.lists(st.tuples(st.sampled_from([20, 21, 22, 23, 25]), st.integers(0, (1 << 64) - 1), st.binary())))
    def test_what_was_put_together_is_cut_again(self, made: list[tuple[int, int, bytes]]) -> None:
        """Every row of records is found again, whatever is in them."""
        records = [
            with_cid(count, data) if kind == TLS12_CID else plain(kind, count, data) for kind, count, data in made
        ]
        self.assertEqual(split(b"".join(records)), (records, bool(records)))
