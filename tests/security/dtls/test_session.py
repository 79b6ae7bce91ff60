"""Sessions: vectors of the reference, OpenSSL at the other end, and everything that is dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.ciphers import opener, sealer
from lwm2md.security.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CID_LENGTH,
    DTLS_1_2,
    MAX_PLAINTEXT,
    TLS12_CID,
    number,
    split,
)
from lwm2md.security.dtls.session import DROPS, EPOCH_1, FIRST, LAST, PEER, DtlsSession, own_keys
from lwm2md.security.dtls.suites import BY_NAME, DEFAULT, Suite
from lwm2md.security.identity import Identity
from tests.security.dtls.pair import KEY, Handshake

CCM_8 = BY_NAME["PSK-AES128-CCM8"]
CID = b"\x07CLIENT!"
TEXT = b"\x40\0\0\x09"
WHO = Identity("psk", "device-1")


def drops() -> dict[str, int]:
    """Return counters."""
    return dict.fromkeys(DROPS, 0)


def opened(session: DtlsSession, record: bytes, counters: dict[str, int]) -> tuple[int, bytes, bool] | None:
    """Open a record as whoever cuts datagrams does."""
    return session.open(record, number(record), counters)


def pair(suite: Suite, *, own_cid: bytes = b"", cid: bytes = b"") -> tuple[DtlsSession, DtlsSession]:
    """Return a server's session and its client's."""
    block = bytes(range(suite.block_length))
    found = []
    for client, receives, sends in ((False, own_cid, cid), (True, cid, own_cid)):
        peer = PEER + (receives or bytes(CID_LENGTH))
        keys = own_keys(suite, block, client=client)
        found.append(DtlsSession(peer, b"somewhere", suite, keys, WHO, own_cid=bool(receives), cid=sends))
    return found[0], found[1]


FORMS = ((b"", b""), (b"SERVERID", b""), (b"", CID), (b"SERVERID", CID))


class VectorTests(SynchronousTestCase):
    """Records that other implementations made."""

    def test_records_with_and_without_a_connection_id(self) -> None:
        """The reference's vectors, with a Connection ID of two octets and without, are sealed to the octet."""
        iv = b"\xa0\xa1\xa2\xa3"
        for cid, expected in (
            (b"\xc1\xd0", "19fefd0001000000000005c1d0001500010000000000056cfd0e3eb8cf218906494ba63b"),
            (b"", "17fefd0001000000000005001400010000000000056cfd0e3e9a06c04fd9f675b1"),
        ):
            record = sealer(CCM_8, KEY, iv, cid)(EPOCH_1 | 5, APPLICATION_DATA, TEXT)
            self.assertEqual(record.hex(), expected)
        self.assertEqual(opener(CCM_8, KEY, iv, cid=False)(record, number(record)), (APPLICATION_DATA, TEXT))


class OpenSslTests(SynchronousTestCase):
    """OpenSSL at the other end."""

    def test_both_directions_with_every_suite(self) -> None:
        """What OpenSSL seals is opened, and the other way round, at both ends, with every suite of a pre-shared key."""
        for suite in DEFAULT:
            if not suite.psk:
                continue
            for role in ("server", "client"):
                shake = Handshake(suite)
                shake.shake()
                session = shake.sessions()[role == "client"]
                other = shake.client if role == "server" else shake.server
                for text in (b"x", b"", bytes(1000)):
                    if text:  # OpenSSL sends no empty records
                        other.connection.send(text)
                        (record,) = other.take()
                        self.assertEqual(opened(session, record, drops()), (APPLICATION_DATA, text, True), suite.name)
                    record = session.seal(APPLICATION_DATA, text) or b""
                    other.feed(record)
                    if text:
                        self.assertEqual(other.connection.recv(2000), text, suite.name)


class FormTests(SynchronousTestCase):
    """The two forms of records."""

    def test_every_suite_and_form(self) -> None:
        """Two sessions understand each other with every suite, with Connection IDs both ways, one way and none."""
        for suite in DEFAULT:
            for own_cid, cid in FORMS:
                server, client = pair(suite, own_cid=own_cid, cid=cid)
                up, down = client.seal(APPLICATION_DATA, b"up"), server.seal(ALERT, b"\x01\x00")
                assert up is not None
                assert down is not None
                self.assertEqual((up[0] == TLS12_CID, down[0] == TLS12_CID), (bool(own_cid), bool(cid)))
                self.assertEqual(opened(server, up, drops()), (APPLICATION_DATA, b"up", True))
                self.assertEqual(opened(client, down, drops()), (ALERT, b"\x01\x00", True))

    def test_numbers(self) -> None:
        """The first record of a session leaves OpenSSL's numbers free, and each has its own."""
        server, _ = pair(CCM_8)
        numbers = [number(server.seal(APPLICATION_DATA, b"") or b"") for _ in range(3)]
        self.assertEqual(numbers, [FIRST, FIRST + 1, FIRST + 2])

    def test_the_numbers_end(self) -> None:
        """After the last number nothing is sealed any more."""
        server, client = pair(CCM_8)
        server.sent = LAST
        last = server.seal(APPLICATION_DATA, b"last")
        assert last is not None
        self.assertEqual(opened(client, last, drops()), (APPLICATION_DATA, b"last", True))
        self.assertIsNone(server.seal(APPLICATION_DATA, b"too many"))
        self.assertIsNone(server.seal(APPLICATION_DATA, b"too many"))

    def test_padding_is_stripped(self) -> None:
        """Zeros behind the inner type are padding; a record of zeros only is dropped (RFC 9146 section 5)."""
        server, client = pair(CCM_8, own_cid=b"SERVERID")
        seal = client.ready()[0]
        # The type octet that is sealed behind the text stands in for the last octet of padding.
        padded = seal(EPOCH_1 | 100, 0, b"text\0\0" + bytes((APPLICATION_DATA,)) + bytes(7))
        self.assertEqual(opened(server, padded, drops()), (APPLICATION_DATA, b"text\0\0", True))
        counters = drops()
        self.assertIsNone(opened(server, seal(EPOCH_1 | 101, 0, bytes(5)), counters))
        self.assertEqual(counters["malformed"], 1)

    def test_late_ciphers(self) -> None:
        """A session that gave its ciphers up makes them again."""
        server, client = pair(CCM_8)
        for _ in range(3):
            server.ciphers = client.ciphers = None
            record = client.seal(APPLICATION_DATA, b"again")
            assert record is not None
            self.assertEqual(opened(server, record, drops()), (APPLICATION_DATA, b"again", True))


class DropTests(SynchronousTestCase):
    """What is dropped, and counted by its cause."""

    def test_every_changed_octet(self) -> None:
        """No octet of a record can be changed unnoticed, and a record that was dropped changes nothing."""
        for suite in DEFAULT[:5]:
            for own_cid in (b"", b"SERVERID"):
                server, client = pair(suite, own_cid=own_cid)
                record = client.seal(APPLICATION_DATA, b"text")
                assert record is not None
                counters = drops()
                for at in range(len(record)):
                    changed = record[:at] + bytes((record[at] ^ 0x10,)) + record[at + 1 :]
                    if split(changed)[1]:
                        self.assertIsNone(opened(server, changed, counters), (suite.name, at))
                self.assertGreater(counters["bad_mac"], 10)
                self.assertEqual((server.top, server.bits), (EPOCH_1 - 1, 0))
                self.assertEqual(opened(server, record, counters), (APPLICATION_DATA, b"text", True))

    def test_replays(self) -> None:
        """A record is opened once; one that was overtaken is opened too, and is not the newest."""
        server, client = pair(CCM_8)
        first, second = (client.seal(APPLICATION_DATA, text) or b"" for text in (b"1", b"2"))
        counters = drops()
        self.assertEqual(opened(server, second, counters), (APPLICATION_DATA, b"2", True))
        self.assertEqual(opened(server, first, counters), (APPLICATION_DATA, b"1", False))
        for record in (first, second):
            self.assertIsNone(opened(server, record, counters))
        self.assertEqual(counters["replayed"], 2)

    def test_a_replayed_record_costs_no_decryption(self) -> None:
        """A number that was there before is dropped whatever else is in the record."""
        server, client = pair(CCM_8)
        record = client.seal(APPLICATION_DATA, b"1") or b""
        counters = drops()
        opened(server, record, counters)
        self.assertIsNone(opened(server, record[:-1] + b"x", counters))
        self.assertEqual((counters["replayed"], counters["bad_mac"]), (1, 0))

    def test_other_epochs(self) -> None:
        """Only epoch 1 is there."""
        server, client = pair(CCM_8)
        record = client.seal(APPLICATION_DATA, b"1") or b""
        counters = drops()
        for epoch in (0, 2, 0xFFFF):
            self.assertIsNone(opened(server, record[:3] + epoch.to_bytes(2, "big") + record[5:], counters))
        self.assertEqual(counters["wrong_epoch"], 3)

    def test_the_form_that_was_not_agreed_on(self) -> None:
        """Whoever agreed on a Connection ID uses it, and nobody else does (RFC 9146 section 4)."""
        counters = drops()
        with_cid, client_with = pair(CCM_8, own_cid=b"SERVERID")
        without, client_without = pair(CCM_8)
        self.assertIsNone(opened(with_cid, client_without.seal(APPLICATION_DATA, b"1") or b"", counters))
        self.assertIsNone(opened(without, client_with.seal(APPLICATION_DATA, b"1") or b"", counters))
        self.assertEqual(counters["wrong_form"], 2)

    def test_one_end_does_not_open_its_own(self) -> None:
        """A record that is sent back is not authentic."""
        server, _ = pair(CCM_8)
        counters = drops()
        self.assertIsNone(opened(server, server.seal(APPLICATION_DATA, b"1") or b"", counters))
        self.assertEqual(counters["bad_mac"], 1)

    def test_too_short_and_too_long(self) -> None:
        """A record without room for its tag, or for more than one may hold, is malformed."""
        server, client = pair(CCM_8)
        counters = drops()
        head = b"\x17" + DTLS_1_2 + b"\0\1\0\0\0\0\0\1"
        for size in (0, 7, 15):
            self.assertIsNone(opened(server, head + size.to_bytes(2, "big") + bytes(size), counters))
        self.assertEqual(counters["malformed"], 3)
        large = client.seal(APPLICATION_DATA, bytes(MAX_PLAINTEXT + 1)) or b""
        self.assertIsNone(opened(server, large, counters))
        self.assertEqual(counters["malformed"], 4)
        largest = client.seal(APPLICATION_DATA, bytes(MAX_PLAINTEXT)) or b""
        self.assertEqual(opened(server, largest, counters), (APPLICATION_DATA, bytes(MAX_PLAINTEXT), True))

    def test_secrets_in_no_text(self) -> None:
        """What a session says of itself has no key in it."""
        server, _ = pair(CCM_8)
        self.assertNotIn(server.keys.hex()[:8], repr(server))
        self.assertNotIn(repr(server.keys)[2:10], repr(server))

    @given(st.binary(max_size=100), st.sampled_from(FORMS))
    def test_any_bytes(self, data: bytes, form: tuple[bytes, bytes]) -> None:
        """No bytes behind a head that fits are opened, and none raise."""
        own_cid, cid = form
        server, _ = pair(CCM_8, own_cid=own_cid, cid=cid)
        kind = TLS12_CID if own_cid else APPLICATION_DATA
        record = bytes((kind,)) + DTLS_1_2 + b"\0\1\0\0\0\0\0\1" + own_cid + len(data).to_bytes(2, "big") + data
        self.assertIsNone(opened(server, record, drops()))

    @given(st.lists(st.binary(max_size=64), max_size=20), st.randoms(use_true_random=False))
    def test_any_order(self, texts: list[bytes], random: object) -> None:
        """Within the window every record is opened once in whatever order they arrive."""
        server, client = pair(CCM_8, own_cid=b"SERVERID")
        records = [client.seal(APPLICATION_DATA, text) or b"" for text in texts]
        random.shuffle(records)  # type: ignore[attr-defined]
        found = [opened(server, record, drops()) for record in [*records, *records]]
        self.assertCountEqual([each[1] for each in found if each], texts)
