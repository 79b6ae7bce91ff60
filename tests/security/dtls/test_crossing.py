"""Epoch 1 of a handshake between the network and OpenSSL."""

from __future__ import annotations

import contextlib

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.ciphers import opener, sealer
from lwm2md.security.dtls.crossing import Crossing, counters
from lwm2md.security.dtls.records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    TLS12_CID,
    number,
    plain,
    split,
)
from lwm2md.security.dtls.session import EPOCH_1, FIRST
from lwm2md.security.dtls.suites import BY_NAME, DEFAULT
from tests.security.dtls.pair import Handshake
from tests.security.dtls.test_session import drops, opened

CCM_8 = BY_NAME["PSK-AES128-CCM8"]
OURS = b"SERVERID"
THEIRS = b"CLIENTID"
KEYS = bytes(range(40))


class HandshakeTests(SynchronousTestCase):
    """Whole handshakes of OpenSSL with itself, through a crossing at each end."""

    def test_every_suite_and_form(self) -> None:
        """With every suite, and Connection IDs both ways, one way and none, both ends finish and sessions go on."""
        for suite in DEFAULT:
            for own_cid, cid in ((OURS, THEIRS), (OURS, b""), (b"", THEIRS), (b"", b"")):
                if not suite.psk:
                    continue
                shake = Handshake(suite, own_cid=own_cid, cid=cid)
                shake.shake()
                self.assertEqual(set(shake.counters.values()), {0}, suite.name)
                server, client = shake.sessions()
                up, down = client.seal(APPLICATION_DATA, b"up") or b"", server.seal(APPLICATION_DATA, b"down") or b""
                self.assertEqual(opened(server, up, drops()), (APPLICATION_DATA, b"up", True), suite.name)
                self.assertEqual(opened(client, down, drops()), (APPLICATION_DATA, b"down", True), suite.name)

    def test_what_travels(self) -> None:
        """On the network every protected record has the Connection ID of who receives it, and no other has one."""
        shake = Handshake(CCM_8, own_cid=OURS, cid=THEIRS)
        shake.shake()
        records = [(record, sent) for datagram, sent in shake.flights for record in split(datagram)[0]]
        for record, from_client in records:
            self.assertEqual(record[0] == TLS12_CID, number(record) >= EPOCH_1)
            if record[0] == TLS12_CID:
                self.assertEqual(record[11:19], OURS if from_client else THEIRS)
        self.assertEqual(sum(record[0] == TLS12_CID for record, _ in records), 2)

    def test_a_replayed_finished(self) -> None:
        """The session knows that the number of the Finished is used up."""
        shake = Handshake(CCM_8, own_cid=OURS)
        shake.shake()
        server, _ = shake.sessions()
        counted = drops()
        for datagram, from_client in shake.flights:
            for record in split(datagram)[0]:
                if from_client and record[0] == TLS12_CID:
                    self.assertIsNone(opened(server, record, counted))
        self.assertEqual(counted["replayed"], 1)

    def test_a_lost_last_flight(self) -> None:
        """When the client repeats its flight OpenSSL answers again, with numbers below those of the session."""
        for own_cid in (b"", OURS):
            shake = Handshake(CCM_8, own_cid=own_cid, cid=own_cid and THEIRS)
            shake.shake()
            server, client = shake.sessions()
            # The same Finished in a record with the next number, as a client sends it that heard nothing.
            finished = next(
                opener(CCM_8, server.keys[16:32], server.keys[36:], cid=bool(own_cid))(record, number(record))
                for datagram, sent in shake.flights
                for record in split(datagram)[0]
                if sent and number(record) >= EPOCH_1
            )
            assert finished is not None
            client.sent = EPOCH_1 + 1
            flight = [datagram for datagram, sent in shake.flights if sent][-1]
            opened_part = b"".join(record for record in split(flight)[0] if number(record) < EPOCH_1)
            for record in shake.server_side.incoming(opened_part + (client.seal(*finished) or b"")):
                shake.server.feed(record)
            with contextlib.suppress(SSL.WantReadError):
                shake.server.connection.recv(100)
            again = b"".join(shake.server_side.outgoing(datagram) for datagram in shake.server.take())
            numbers = [number(record) for record in split(again)[0] if number(record) >= EPOCH_1]
            self.assertEqual(numbers, [EPOCH_1 + 1], own_cid)


class IncomingTests(SynchronousTestCase):
    """What OpenSSL gets to see."""

    def setUp(self) -> None:
        self.counters = counters()
        self.crossing = Crossing(self.counters, own_cid=OURS)
        self.seal = sealer(CCM_8, KEYS[16:32], KEYS[36:], OURS)
        self.finished = self.seal(EPOCH_1, HANDSHAKE, b"finished")
        # As OpenSSL expects it.
        self.plain = sealer(CCM_8, KEYS[16:32], KEYS[36:], b"")(EPOCH_1, HANDSHAKE, b"finished")

    def test_the_open_part_passes(self) -> None:
        """Records of epoch 0 are handed on as they are."""
        records = [plain(HANDSHAKE, 2, b"exchange"), plain(CHANGE_CIPHER_SPEC, 3, b"\1")]
        self.assertEqual(self.crossing.incoming(b"".join(records)), records)

    def test_the_finished_waits_for_the_keys(self) -> None:
        """What is protected waits until OpenSSL has made the keys, and then is what OpenSSL expects."""
        exchange = plain(HANDSHAKE, 2, b"exchange")
        self.assertEqual(self.crossing.incoming(exchange + self.finished), [exchange])
        self.assertEqual(self.crossing.keyed(CCM_8, KEYS), [self.plain])
        later = self.seal(EPOCH_1 + 1, ALERT, b"\2\x28")
        self.assertEqual(len(self.crossing.incoming(later)), 1)

    def test_a_record_passes_once(self) -> None:
        """A duplicate is dropped here."""
        self.crossing.keyed(CCM_8, KEYS)
        self.assertEqual(self.crossing.incoming(self.finished + self.finished), [self.plain])
        self.assertEqual(self.counters["replayed"], 1)

    def test_forged_records(self) -> None:
        """What is not authentic, of another epoch or in the wrong form, never gets to OpenSSL."""
        self.crossing.keyed(CCM_8, KEYS)
        for bad in (
            self.finished[:-1] + b"x",
            self.finished[:3] + b"\0\2" + self.finished[5:],
            self.plain,
            self.finished[:11] + b"ANOTHER!" + self.finished[19:],
            self.seal(EPOCH_1 + 9, 0, b"\0\0"),
            self.finished[:19] + b"\0\4" + self.finished[21:25],
            b"rubbish",
        ):
            self.assertEqual(self.crossing.incoming(bad), [], bad)
        self.assertEqual(
            self.counters,
            {"bad_mac": 1, "malformed": 3, "replayed": 0, "wrong_epoch": 1, "wrong_form": 2, "overflowed": 0},
        )

    def test_early_data_is_held(self) -> None:
        """Application data that comes early is kept for the session, in either form, before the keys and after."""
        self.crossing.incoming(self.finished)
        self.crossing.keyed(CCM_8, KEYS)
        early = self.seal(EPOCH_1 + 1, APPLICATION_DATA, b"data")
        self.assertEqual(self.crossing.incoming(early), [])
        self.assertEqual(self.crossing.held, [early])
        other = Crossing(self.counters)
        record = plain(APPLICATION_DATA, EPOCH_1 + 1, b"data")
        self.assertEqual((other.incoming(record), other.held), ([], [record]))

    def test_what_is_kept_is_bounded(self) -> None:
        """A few records wait, and the others are counted."""
        for count in range(10):
            self.crossing.incoming(self.seal(EPOCH_1 + count, HANDSHAKE, b"finished"))
        self.assertEqual(len(self.crossing.keyed(CCM_8, KEYS)), 4)
        self.assertEqual(self.counters["overflowed"], 6)
        for count in range(10):
            self.crossing.incoming(self.seal(EPOCH_1 + 20 + count, APPLICATION_DATA, b"data"))
        self.assertEqual(len(self.crossing.held), 4)
        self.assertEqual(self.counters["overflowed"], 12)


class OutgoingTests(SynchronousTestCase):
    """What the network gets to see."""

    def setUp(self) -> None:
        self.seal = sealer(CCM_8, KEYS[:16], KEYS[32:36], b"")

    def test_changed_for_a_connection_id(self) -> None:
        """What is protected gets the peer's Connection ID and keeps its number; what is not stays."""
        crossing = Crossing(counters(), cid=THEIRS)
        crossing.keyed(CCM_8, KEYS)
        change = plain(CHANGE_CIPHER_SPEC, 2, b"\1")
        out = crossing.outgoing(change + self.seal(EPOCH_1 + 3, HANDSHAKE, b"finished"))
        (first, second), clean = split(out)
        self.assertTrue(clean)
        self.assertEqual((first, number(second)), (change, EPOCH_1 + 3))
        unseal = opener(CCM_8, KEYS[:16], KEYS[32:36], cid=True)
        self.assertEqual(unseal(second, number(second)), (HANDSHAKE, b"finished"))

    def test_numbers_of_the_session_are_not_used(self) -> None:
        """OpenSSL's records end where those of the session begin, Connection ID or not."""
        for cid in (b"", THEIRS):
            crossing = Crossing(counters(), cid=cid)
            crossing.keyed(CCM_8, KEYS)
            self.assertNotEqual(crossing.outgoing(self.seal(FIRST - 1, HANDSHAKE, b"finished")), b"")
            for numbered in (FIRST, FIRST + 1, 1 << 63):
                self.assertEqual(crossing.outgoing(self.seal(numbered, HANDSHAKE, b"finished")), b"")

    def test_what_can_not_be_opened(self) -> None:
        """With keys that are not OpenSSL's, as after a forged hello, nothing protected goes out."""
        counted = counters()
        crossing = Crossing(counted, cid=THEIRS)
        crossing.keyed(CCM_8, bytes(40))
        self.assertEqual(crossing.outgoing(self.seal(EPOCH_1, HANDSHAKE, b"finished")), b"")
        self.assertEqual(crossing.outgoing(plain(HANDSHAKE, EPOCH_1, b"short")), b"")
        self.assertEqual(counted["bad_mac"], 2)

    def test_nothing_protected_before_the_keys(self) -> None:
        """What can't be changed does not go out as it is."""
        crossing = Crossing(counters(), cid=THEIRS)
        self.assertEqual(crossing.outgoing(self.seal(EPOCH_1, HANDSHAKE, b"finished")), b"")
