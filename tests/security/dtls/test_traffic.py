"""The way of records between the network and the engine."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security.dtls.records import ALERT, APPLICATION_DATA, HANDSHAKE, plain
from lwm2md.security.dtls.session import EPOCH_1, LAST, PEER, DtlsSession, own_keys
from lwm2md.security.dtls.sessions import Limits
from lwm2md.security.dtls.suites import BY_NAME
from lwm2md.security.dtls.traffic import ACCESS_DENIED, CLOSE_NOTIFY, Datagram, Traffic
from lwm2md.security.identity import Identity
from tests.security.dtls.test_session import drops, opened
from tests.security.dtls.test_sessions import Table

CCM_8 = BY_NAME["PSK-AES128-CCM8"]
BLOCK = bytes(range(40))


class Scene:
    """A table with traffic, and devices at the other end."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.table = Table(limits)
        self.confirmed: list[DtlsSession] = []
        self.traffic = Traffic(self.table.sessions, self.confirmed.append)

    def device(
        self, address: bytes, *, own_cid: bool = False, cid: bytes = b"", confirmed: bool = True, name: str = ""
    ) -> tuple[DtlsSession, DtlsSession]:
        """Return our session with a device at an address, and the device's with us."""
        peer = self.table.sessions.new_peer()
        who = Identity("psk", name or peer.hex())
        keys = own_keys(CCM_8, BLOCK, client=False)
        ours = DtlsSession(peer, address, CCM_8, keys, who, own_cid=own_cid, cid=cid, confirmed=confirmed)
        keys = own_keys(CCM_8, BLOCK, client=True)
        theirs = DtlsSession(peer, address, CCM_8, keys, who, own_cid=bool(cid), cid=peer[1:] if own_cid else b"")
        self.table.sessions.add(ours, 0.0)
        return ours, theirs

    def receive(self, *batch: Datagram, now: float = 1.0) -> tuple[list[Datagram], list[Datagram]]:
        """Receive a batch."""
        return self.traffic.receive(batch, now)


def said(session: DtlsSession, text: bytes, kind: int = APPLICATION_DATA) -> bytes:
    """Return a record of a device."""
    record = session.seal(kind, text)
    assert record is not None
    return record


class ReceivingTests(SynchronousTestCase):
    """What comes in."""

    def test_by_address_and_by_connection_id(self) -> None:
        """Application data comes out with the names of those who sent it, in its order."""
        scene = Scene()
        plain_one, by_address = scene.device(b"a")
        with_cid, by_cid = scene.device(b"b", own_cid=True)
        data, rest = scene.receive(
            (said(by_cid, b"1"), b"b"), (said(by_address, b"2"), b"a"), (said(by_cid, b"3"), b"b")
        )
        self.assertEqual(data, [(b"1", with_cid.peer), (b"2", plain_one.peer), (b"3", with_cid.peer)])
        self.assertEqual((rest, scene.traffic.counters["opened"]), ([], 3))
        self.assertEqual((plain_one.seen, with_cid.seen), (1.0, 1.0))

    def test_several_records_in_a_datagram(self) -> None:
        """Records of one datagram are taken each on its own."""
        scene = Scene()
        ours, theirs = scene.device(b"a", own_cid=True)
        data, rest = scene.receive((said(theirs, b"1") + said(theirs, b"2"), b"a"))
        self.assertEqual((data, rest), ([(b"1", ours.peer), (b"2", ours.peer)], []))

    def test_rubbish_behind_a_record(self) -> None:
        """What stands behind a good record is counted and takes nothing with it."""
        scene = Scene()
        ours, theirs = scene.device(b"a")
        self.assertEqual(scene.receive((said(theirs, b"1") + b"rubbish", b"a"))[0], [(b"1", ours.peer)])
        self.assertEqual(scene.traffic.counters["malformed"], 1)

    def test_what_is_for_others(self) -> None:
        """Handshakes, whatever stands beside them, and records that nobody is known for are left."""
        scene = Scene()
        _, theirs = scene.device(b"a")
        stranger = Scene().device(b"x", own_cid=True)[1]
        stranger.cid = b"STRANGER"
        hello = plain(HANDSHAKE, 0, b"hello")
        batch = [
            (hello, b"a"),
            (hello + said(theirs, b"early"), b"a"),
            (said(theirs, b"1"), b"elsewhere"),
            (said(stranger, b"1"), b"a"),
        ]
        self.assertEqual(scene.receive(*batch), ([], batch))

    def test_rubbish(self) -> None:
        """What is no record is counted and goes nowhere."""
        scene = Scene()
        scene.device(b"a")
        self.assertEqual(
            scene.receive((b"", b"a"), (b"\x17", b"a"), (b"rubbish", b"a"), (b"\x19\xfe\xfd", b"b")), ([], [])
        )
        self.assertEqual(scene.traffic.counters["malformed"], 4)

    def test_what_is_dropped_leaves_the_session_alone(self) -> None:
        """A forged record changes nothing: not the address, not the time, not the window."""
        scene = Scene()
        ours, theirs = scene.device(b"a", own_cid=True)
        record = said(theirs, b"1")
        self.assertEqual(scene.receive((record[:-1] + b"x", b"b")), ([], []))
        self.assertEqual((ours.address, ours.seen, ours.top), (b"a", 0.0, EPOCH_1 - 1))
        self.assertEqual(scene.traffic.counters["bad_mac"], 1)
        self.assertEqual(scene.receive((record, b"a"))[0], [(b"1", ours.peer)])

    def test_a_move(self) -> None:
        """A session follows its newest record, and a replay from elsewhere moves nothing."""
        scene = Scene()
        ours, theirs = scene.device(b"a", own_cid=True)
        first, second, third = (said(theirs, bytes((count,))) for count in range(3))
        scene.receive((first, b"a"), (third, b"b"))
        self.assertEqual(ours.address, b"b")
        scene.receive((second, b"c"), (third, b"c"))
        self.assertEqual((ours.address, scene.traffic.counters["replayed"]), (b"b", 1))
        self.assertEqual(scene.traffic.send([(b"answer", ours.peer)])[0][0][1], b"b")

    def test_records_of_dtls_1_0(self) -> None:
        """A protected record that says another version is none."""
        scene = Scene()
        _, theirs = scene.device(b"a")
        record = said(theirs, b"1")
        self.assertEqual(scene.receive((record[:1] + b"\xfe\xff" + record[3:], b"a")), ([], []))
        self.assertEqual(scene.traffic.counters["malformed"], 1)

    def test_other_epochs(self) -> None:
        """A record of an epoch to come is dropped."""
        scene = Scene()
        _, theirs = scene.device(b"a")
        record = said(theirs, b"1")
        self.assertEqual(scene.receive((record[:3] + b"\0\2" + record[5:], b"a")), ([], []))
        self.assertEqual(scene.traffic.counters["wrong_epoch"], 1)

    def test_ciphers_are_made_on_use(self) -> None:
        """Only those that talk have ciphers, and no more than allowed."""
        scene = Scene(Limits(warm=2))
        pairs = [scene.device(bytes((index,))) for index in range(4)]
        self.assertEqual([ours.ciphers for ours, _ in pairs], [None] * 4)
        for ours, theirs in pairs:
            scene.receive((said(theirs, b"1"), ours.address))
        self.assertEqual([ours.ciphers is None for ours, _ in pairs], [True, True, False, False])
        scene.receive((said(pairs[0][1], b"1") + said(pairs[0][1], b"2"), pairs[0][0].address))
        scene.traffic.send([(b"1", ours.peer) for ours, _ in pairs])
        self.assertEqual([ours.ciphers is None for ours, _ in pairs], [True, True, False, False])

    @given(
        st.lists(st.tuples(st.binary(max_size=80), st.sampled_from([b"a", b"b"])), max_size=5), st.binary(max_size=60)
    )
    def test_any_bytes(self, batch: list[Datagram], tail: bytes) -> None:
        """Nothing raises, and nothing comes out that was not sealed."""
        scene = Scene()
        ours, _ = scene.device(b"a", own_cid=True)
        scene.device(b"b")
        length = len(tail).to_bytes(2, "big")
        batch.append((b"\x19\xfe\xfd\0\1\0\0\0\0\0\1" + ours.peer[1:] + length + tail, b"a"))
        batch.append((b"\x17\xfe\xfd\0\1\0\0\0\0\0\1" + length + tail, b"b"))
        self.assertEqual(scene.receive(*batch)[0], [])


class SendingTests(SynchronousTestCase):
    """What goes out."""

    def test_records_with_addresses(self) -> None:
        """What is for a session is sealed for it and goes to its address; what is for others is left."""
        scene = Scene()
        ours, theirs = scene.device(b"a", cid=b"THEIRCID")
        out, rest = scene.traffic.send([(b"1", ours.peer), (b"2", PEER + b"nobody!!"), (b"3", b"\x04plain")])
        ((record, address),) = out
        self.assertEqual((address, opened(theirs, record, drops())), (b"a", (APPLICATION_DATA, b"1", True)))
        self.assertEqual(rest, [(b"2", PEER + b"nobody!!"), (b"3", b"\x04plain")])
        self.assertEqual(scene.traffic.counters["sealed"], 1)

    def test_nothing_goes_to_an_address_that_is_another_ones(self) -> None:
        """Who was displaced gets nothing until it was heard again."""
        scene = Scene()
        old, old_device = scene.device(b"a", own_cid=True)
        scene.device(b"a")
        self.assertEqual(scene.traffic.send([(b"1", old.peer)]), ([], []))
        self.assertEqual(scene.traffic.counters["unsent"], 1)
        scene.receive((said(old_device, b"here"), b"b"))
        self.assertEqual(scene.traffic.send([(b"1", old.peer)])[0][0][1], b"b")

    def test_the_end_of_the_numbers(self) -> None:
        """A session that has used all its numbers ends."""
        scene = Scene()
        ours, _ = scene.device(b"a")
        ours.sent = LAST
        self.assertEqual(len(scene.traffic.send([(b"1", ours.peer), (b"2", ours.peer)])[0]), 1)
        self.assertEqual(scene.table.ended, [(ours, "exhausted")])

    def test_much_that_is_sent_is_stored_in_time(self) -> None:
        """A session that only sends has to be stored again long before its reserve is used up."""
        scene = Scene()
        ours, _ = scene.device(b"a")
        scene.table.sessions.take_changed(9)
        ours.sent = EPOCH_1 | 0xFFFE
        scene.traffic.send([(b"1", ours.peer)])
        self.assertEqual(scene.table.sessions.take_changed(9), [])
        scene.traffic.send([(b"1", ours.peer)])
        self.assertEqual(scene.table.sessions.take_changed(9), [ours])


class ConfirmationTests(SynchronousTestCase):
    """The end of a handshake, seen from behind."""

    def test_the_first_data_confirms(self) -> None:
        """The first application data shows that the peer has our last flight; it is told once."""
        scene = Scene()
        ours, theirs = scene.device(b"a", confirmed=False)
        data, _ = scene.receive((said(theirs, b"1"), b"a"), (said(theirs, b"2"), b"a"))
        self.assertEqual((len(data), scene.confirmed, ours.confirmed), (2, [ours], True))

    def test_a_finished_that_is_repeated_goes_to_openssl(self) -> None:
        """Before that, handshake records are left for whoever sends the last flight again; an alert is not."""
        scene = Scene()
        for own_cid in (False, True):
            ours, theirs = scene.device(b"a", confirmed=False, own_cid=own_cid)
            finished = said(theirs, b"\x14finished", HANDSHAKE)
            self.assertEqual(scene.receive((finished, b"a")), ([], [(finished, b"a")]))
            self.assertEqual((scene.confirmed, ours.confirmed), ([], False))

    def test_renegotiation_is_refused(self) -> None:
        """Afterwards a hello inside a session is answered with a warning, and anything else is dropped."""
        scene = Scene()
        ours, theirs = scene.device(b"a")
        for hello in (b"\0\0\0\0", b"\1hello"):
            self.assertEqual(scene.receive((said(theirs, hello, HANDSHAKE), b"a")), ([], []))
            ((record, address),) = scene.traffic.take()
            self.assertEqual((address, opened(theirs, record, drops())), (b"a", (ALERT, b"\x01\x64", True)))
        self.assertEqual(scene.receive((said(theirs, b"\x14finished", HANDSHAKE), b"a")), ([], []))
        self.assertEqual(scene.receive((said(theirs, b"", HANDSHAKE), b"a")), ([], []))
        self.assertEqual(scene.traffic.take(), [])
        counters = scene.traffic.counters
        self.assertEqual((counters["renegotiations"], counters["late_handshakes"]), (2, 2))
        self.assertIn(ours.peer, scene.table.sessions.by_peer)


class AlertTests(SynchronousTestCase):
    """Alerts, in and out."""

    def test_close_notify(self) -> None:
        """A session that its peer closes is answered with the same, once, and is gone."""
        scene = Scene()
        ours, theirs = scene.device(b"a")
        closing = said(theirs, CLOSE_NOTIFY, ALERT)
        self.assertEqual(scene.receive((closing, b"a"), (closing, b"a"))[0], [])
        ((record, address),) = scene.traffic.take()
        self.assertEqual((address, opened(theirs, record, drops())), (b"a", (ALERT, CLOSE_NOTIFY, True)))
        self.assertEqual(scene.table.ended, [(ours, "closed")])
        self.assertEqual(scene.traffic.take(), [])

    def test_fatal_alerts(self) -> None:
        """A fatal alert ends a session without a word."""
        scene = Scene()
        ours, theirs = scene.device(b"a")
        scene.receive((said(theirs, b"\x02\x28", ALERT), b"a"))
        self.assertEqual((scene.table.ended, scene.traffic.take()), ([(ours, "alert")], []))

    def test_other_alerts(self) -> None:
        """Warnings, and what is no alert, are counted and change nothing."""
        scene = Scene()
        _, theirs = scene.device(b"a")
        for text in (b"\x01\x5a", b"", b"\x02", b"\x02\x28\0", b"\x03\x28"):
            scene.receive((said(theirs, text, ALERT), b"a"))
        self.assertEqual((scene.table.ended, scene.traffic.counters["alerts"]), ([], 5))

    def test_an_alert_in_the_open_is_not_believed(self) -> None:
        """An alert of epoch 0 is left for handshakes; the session goes on."""
        scene = Scene()
        scene.device(b"a")
        alert = plain(ALERT, 9, b"\x02\x28")
        self.assertEqual(scene.receive((alert, b"a")), ([], [(alert, b"a")]))
        self.assertEqual(scene.table.ended, [])

    def test_an_end_of_ours(self) -> None:
        """A session that we end gets an alert, and only once."""
        scene = Scene()
        ours, theirs = scene.device(b"a")
        scene.traffic.end(ours)
        scene.traffic.end(ours)
        ((record, _),) = scene.traffic.take()
        self.assertEqual(opened(theirs, record, drops()), (ALERT, CLOSE_NOTIFY, True))
        self.assertEqual(scene.table.ended, [(ours, "ended")])

    def test_an_end_without_numbers(self) -> None:
        """A session without a number left for the alert ends all the same, once."""
        scene = Scene()
        ours, _ = scene.device(b"a")
        ours.sent = LAST + 1
        scene.traffic.end(ours)
        self.assertEqual((scene.table.ended, scene.traffic.take()), ([(ours, "exhausted")], []))

    def test_revoked_identities(self) -> None:
        """All sessions of an identity end with a fatal alert, and those of others stay."""
        scene = Scene()
        pairs = [scene.device(address, name=name) for address, name in ((b"a", "x"), (b"b", "y"), (b"c", "x"))]
        self.assertEqual(scene.traffic.revoke({"x"}), 2)
        self.assertEqual(scene.table.ended, [(pairs[0][0], "revoked"), (pairs[2][0], "revoked")])
        alerts = [opened(pairs[0][1], scene.traffic.take()[0][0], drops())]
        self.assertEqual(alerts, [(ALERT, ACCESS_DENIED, True)])
        self.assertEqual(list(scene.table.sessions.by_peer.values()), [pairs[1][0]])

    def test_other_types(self) -> None:
        """A content type that nobody sends is counted."""
        scene = Scene()
        _, theirs = scene.device(b"a", own_cid=True)
        for kind in (20, 24, 99):
            scene.receive((said(theirs, b"1", kind), b"a"))
        self.assertEqual(scene.traffic.counters["unknown_types"], 3)
