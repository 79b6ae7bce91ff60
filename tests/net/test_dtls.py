"""The secure port: handshakes from a ClientHello to a session, and what becomes of sessions."""

from __future__ import annotations

import gc

from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.dtls import Terms
from lwm2md.net.handshakes import Timing
from lwm2md.net.openssl import Connection
from lwm2md.security.dtls.guards import GuardLimits
from lwm2md.security.dtls.records import HANDSHAKE
from lwm2md.security.dtls.suites import BY_NAME, SUITES
from tests.net.dtlsnet import KEY, OTHER_KEY, SERVER, Device, FakeKeys, Net, SecureServer, client, device, psk_terms

PSK = tuple(suite for suite in SUITES if suite.psk)


class HandshakeTest(SynchronousTestCase):
    """Handshakes with pre-shared keys."""

    def test_every_suite(self) -> None:
        """With each cipher suite for pre-shared keys a session begins, and data goes both ways."""
        for suite in PSK:
            net = Net()
            server = SecureServer(net)
            one = device(net, psk_terms(suites=(suite,)))
            self.assertEqual(one.say(b"hello"), [b"HELLO"], suite.name)
            self.assertEqual([session.outcome.suite for session in server.seen.sessions], [suite])
            self.assertEqual(one.say(b"again"), [b"AGAIN"], suite.name)

    def test_connection_id_every_suite(self) -> None:
        """With each suite that is an AEAD the Connection IDs of both, or of the server only, are in the records."""
        for suite in PSK:
            for cid in (b"\0", b""):
                net = Net()
                server = SecureServer(net)
                one = device(net, psk_terms(suites=(suite,), cid=cid))
                self.assertEqual(one.say(b"hello"), [b"HELLO"], suite.name)
                [session] = server.seen.sessions
                self.assertEqual(session.outcome.own_cid, not suite.in_openssl, suite.name)
                self.assertEqual(len(session.outcome.cid), 8 if cid and not suite.in_openssl else 0)
                kinds = {data[0] for data, sender, _ in net.log[-2:] if sender != SERVER}
                self.assertEqual(kinds, {23 if suite.in_openssl else 25}, suite.name)

    def test_cookie_first(self) -> None:
        """Nothing is kept of who has not shown that it is where it says."""
        net = Net()
        server = SecureServer(net)
        net.fate = lambda _data, sender: () if sender == SERVER else (0.001,)
        device(net, psk_terms()).say(b"hello", 10)
        self.assertEqual(server.port.counters["handshakes_begun"], 0)
        self.assertEqual(server.port.counters["half_open"], 0)
        self.assertGreater(server.port.counters["cookies_sent"], 1)

    def test_unknown_like_wrong(self) -> None:
        """An unknown identity and a wrong key get the same datagrams, as far as they are not random."""
        shapes = []
        for identity, key in ((b"device", OTHER_KEY), (b"nobody", OTHER_KEY)):
            net = Net()
            server = SecureServer(net)
            one = device(net, psk_terms(identity, key))
            self.assertEqual(one.say(b"hello", 5), [])
            shapes.append([(len(data), data[:1], data[-2:]) for data, sender, _ in net.log if sender == SERVER][1:])
            self.assertEqual(server.port.counters["half_open"], 0)
        self.assertEqual([shape[-1] for shape in shapes], [(15, b"\x15", b"\x02\x33")] * 2)
        self.assertEqual([len(shape) for shape in shapes], [len(shapes[0])] * 2)

    def test_causes(self) -> None:
        """The operator is told what the device is not: which identity it named, and why it failed."""
        net = Net()
        server = SecureServer(net)
        device(net, psk_terms(b"device", OTHER_KEY), 40001).say(b"hello", 5)
        device(net, psk_terms(b"nobody"), 40002).say(b"hello", 5)
        device(net, psk_terms(b"x509:ca"), 40003).say(b"hello", 5)
        self.assertEqual(
            server.seen.failures,
            [("device", "wrong-key"), ("nobody", "unknown-identity"), ("x509:ca", "unknown-identity")],
        )
        self.assertNotIn(b"x509:ca", server.keys.asked)

    def test_nothing_in_common(self) -> None:
        """Who offers no cipher suite that is allowed gets an alert, and leaves nothing behind."""
        net = Net()
        server = SecureServer(net, suites=(BY_NAME["PSK-AES128-CCM8"],))
        one = device(net, psk_terms(suites=(BY_NAME["PSK-AES128-GCM-SHA256"],)))
        self.assertEqual(one.say(b"hello"), [])
        self.assertEqual(server.seen.failures, [("", "handshake-failed: no shared cipher")])
        self.assertIn("handshake failed", one.reports[0])
        self.assertEqual(server.port.counters["half_open"], 0)

    def test_slow_keys(self) -> None:
        """While a key is looked up its handshake waits, and nothing is sent again meanwhile."""
        net = Net()
        keys = FakeKeys(net.clock, {b"device": (KEY,)}, wait=1.5)
        server = SecureServer(net, keys)
        one = device(net, psk_terms())
        self.assertEqual(one.say(b"hello", 1), [])
        self.assertEqual(one.say(b"hello", 1), [b"HELLO"])
        self.assertEqual(server.port.counters["handshake_retransmissions"], 0)
        self.assertEqual(keys.asked, [b"device"])

    def test_rotation(self) -> None:
        """While two keys of an identity are valid, a device with either gets in."""
        for name in ("PSK-AES128-CCM8", "PSK-AES256-GCM-SHA384"):
            for key in (KEY, OTHER_KEY):
                net = Net()
                server = SecureServer(net, FakeKeys(net.clock, {b"device": (OTHER_KEY, KEY)}))
                one = device(net, psk_terms(key=key, suites=(BY_NAME[name],)))
                self.assertEqual(one.say(b"hello"), [b"HELLO"], name)
                self.assertEqual(server.seen.failures, [])

    def test_rotation_with_ecdhe(self) -> None:
        """With a suite whose secret OpenSSL alone knows the older key has its turn at the second try."""
        net = Net()
        server = SecureServer(net, FakeKeys(net.clock, {b"device": (OTHER_KEY, KEY)}))
        one = device(net, psk_terms(suites=(BY_NAME["ECDHE-PSK-CHACHA20-POLY1305"],)))
        self.assertEqual(one.say(b"hello"), [])
        self.assertEqual(one.say(b"hello"), [b"HELLO"])
        self.assertEqual(server.seen.failures, [("device", "wrong-key")])

    def test_half_open_limit(self) -> None:
        """Beyond the limit no handshake begins, until others end."""
        net = Net()
        keys = FakeKeys(net.clock, {b"device": (KEY,)}, wait=30.0)
        server = SecureServer(net, keys, limits=GuardLimits(half_open=4, half_open_source=3), trusted=False)
        for number in range(6):
            device(net, psk_terms(), 41000 + number).say(b"hello")
        self.assertEqual(server.port.counters["half_open"], 3)
        net.run(70, 1.0)
        self.assertEqual(server.port.counters["half_open"], 0)
        self.assertEqual(server.port._guard.half_open, 0)

    def test_gives_up(self) -> None:
        """A handshake whose client went away ends after its time; its flight was sent again more and more slowly."""
        net = Net()
        server = SecureServer(net, terms=Terms(Timing(first_wait=2.0, patience=20.0)))
        sent = 0

        def fate(_data: bytes, sender: Endpoint) -> tuple[float, ...]:
            nonlocal sent
            sent += sender != SERVER
            return () if sender != SERVER and sent > 2 else (0.001,)

        net.fate = fate
        device(net, psk_terms()).say(b"hello", 30)
        self.assertEqual(server.port.counters["handshake_retransmissions"], 3)
        self.assertEqual(server.port.counters["handshakes_timed_out"], 1)
        self.assertEqual(server.port.counters["half_open"], 0)

    def test_resumption(self) -> None:
        """A client that takes up its session is who it was, unless its credential is gone meanwhile."""
        net = Net()
        server = SecureServer(net)
        one = device(net, psk_terms(resumes=True))
        for _ in range(2):
            self.assertEqual(one.say(b"hello"), [b"HELLO"])
            one.move(one.link.local.port + 1)
            net.run(0.1)
        self.assertEqual([session.outcome.resumed for session in server.seen.sessions], [False, True])
        self.assertEqual([session.outcome.identity.text for session in server.seen.sessions], ["device"] * 2)
        server.keys.known.clear()
        self.assertEqual(one.say(b"hello"), [])
        self.assertEqual(server.seen.failures, [("device", "revoked")])

    def test_resumption_by_id(self) -> None:
        """A client that takes no tickets finds its session by its id, though nothing of its handshake is left."""
        net = Net()
        server = SecureServer(net)
        terms = psk_terms(resumes=True)
        terms.context._context.set_options(SSL.OP_NO_TICKET)
        one = device(net, terms)
        for _ in range(2):
            self.assertEqual(one.say(b"hello"), [b"HELLO"])
            one.move(one.link.local.port + 1)
            net.run(0.1)
            gc.collect()
        self.assertEqual([session.outcome.resumed for session in server.seen.sessions], [False, True])

    def test_nothing_is_left_of_a_handshake(self) -> None:
        """What OpenSSL had for a handshake is gone with its end, well or not, without a collector."""
        net = Net()
        server = SecureServer(net)
        gc.collect()
        gc.disable()
        try:
            self.assertEqual(device(net, psk_terms()).say(b"hello"), [b"HELLO"])
            device(net, psk_terms(key=OTHER_KEY), 40001).say(b"hello")
            self.assertEqual(len(server.seen.failures), 1)
            left = [each for each in gc.get_objects() if isinstance(each, Connection)]
        finally:
            gc.enable()
        # A device begins anew by itself.
        self.assertEqual([each for each in left if each._context.server], [])


class RoughNetworkTest(SynchronousTestCase):
    """Handshakes over a network that loses, doubles and delays."""

    def test_handshakes_end(self) -> None:
        """However datagrams are treated, handshakes end with a session on both sides, whose numbers never repeat."""
        for seed in range(60):
            net = Net()
            server = SecureServer(net)
            net.rough(seed, loss=0.3, doubled=0.2, late=0.3)
            one = device(net, psk_terms(cid=(None, b"", b"\0")[seed % 3]))
            heard = []
            for _ in range(30):
                heard += one.say(b"hello", 4)
                if heard:
                    break
            self.assertIn(b"HELLO", heard, seed)
            self.assertEqual(server.seen.failures, [], seed)
            if len([text for text in one.reports if text.startswith("session with")]) == len(one.reports) == 1:
                self._check_numbers(net)

    def _check_numbers(self, net: Net) -> None:
        seen: dict[tuple[object, bytes], bytes] = {}
        for data, sender, _ in net.log:
            if data[0] in {22, 23, 25} and data[3:5] == b"\0\1":
                key = (sender, data[3:11])
                self.assertEqual(seen.setdefault(key, data), data)

    def test_lost_last_flight(self) -> None:
        """When its last flight is lost, the server repeats it as often as the client repeats its own."""
        net = Net()
        server = SecureServer(net)
        lost = 0

        def fate(data: bytes, sender: Endpoint) -> tuple[float, ...]:
            nonlocal lost
            if sender == SERVER and data[0] in {20, 25} and lost < 3:
                lost += 1
                return ()
            if sender == SERVER and data[0] == HANDSHAKE and data[13] == 4 and lost < 3:
                lost += 1
                return ()
            return (0.001,)

        net.fate = fate
        for cid in (None, b"", b"\0"):
            lost = 0
            one = device(net, psk_terms(cid=cid), 42000 + len(server.seen.sessions))
            self.assertEqual(one.say(b"hello", 30), [b"HELLO"])
            self.assertEqual(lost, 3)
        self.assertGreaterEqual(server.port.counters["last_flights_repeated"], 9)
        self.assertEqual(len(server.seen.sessions), 3)


class SessionTest(SynchronousTestCase):
    """What becomes of sessions."""

    def _one(self, cid: bytes | None = None) -> tuple[Net, SecureServer, Device]:
        net = Net()
        server = SecureServer(net)
        one = device(net, psk_terms(cid=cid))
        self.assertEqual(one.say(b"hello"), [b"HELLO"])
        return net, server, one

    def test_address_change(self) -> None:
        """Behind a NAT that forgets it a device keeps its session and its name, with a Connection ID."""
        for cid in (b"", b"\0"):
            net, server, one = self._one(cid)
            net.nat[Endpoint("192.0.2.9", 40000)] = Endpoint("198.51.100.7", 1234)
            self.assertEqual(one.say(b"moved"), [b"MOVED"])
            self.assertEqual({peer for _, peer in server.heard}, {server.heard[0][1]})
            self.assertEqual(server.port.counters["sessions_moved"], 1)

    def test_unreachable(self) -> None:
        """An ICMP error about an address is told as one about the session there; strangers have none."""
        net, server, _one = self._one()
        told: list[bytes] = []
        server.port.on_unreachable = told.append
        port = net.ports[SERVER]
        assert port.on_unreachable is not None
        for number in (40000, 40001):
            port.on_unreachable(pack(SERVER, Endpoint("192.0.2.9", number)))
        self.assertEqual(told, [server.heard[0][1]])

    def test_address_change_without(self) -> None:
        """Without one, what comes from another address is of an unknown association, and answered by nothing."""
        net, server, one = self._one()
        net.nat[Endpoint("192.0.2.9", 40000)] = Endpoint("198.51.100.7", 1234)
        self.assertEqual(one.say(b"moved"), [])
        self.assertEqual(server.port.counters["unknown_associations"], 1)
        self.assertEqual(len(server.port.strangers.known), 1)

    def test_replay_does_not_move(self) -> None:
        """A record that was there before takes no session to the address from which it comes again."""
        net, server, one = self._one(b"")
        record = next(data for data, sender, _ in reversed(net.log) if sender != SERVER)
        net.carry(record, Endpoint("198.51.100.66", 6666), SERVER)
        net.run(1)
        self.assertEqual(server.port.counters["replayed"], 1)
        self.assertEqual(server.port.counters["sessions_moved"], 0)
        self.assertEqual(one.say(b"still"), [b"STILL"])

    def test_new_hello(self) -> None:
        """A device that restarted shakes hands from the address of its live session, and takes its own place."""
        net, server, one = self._one()
        one.link.port.close()
        again = device(net, psk_terms(), 40000, client(net, 77))
        self.assertEqual(again.say(b"anew"), [b"ANEW"])
        self.assertEqual(len(server.port.associations.sessions), 1)
        self.assertEqual(server.seen.before[1], server.seen.sessions[0].peer)
        self.assertEqual(server.seen.over, [(server.seen.sessions[0].peer, "replaced")])

    def test_forged_hello(self) -> None:
        """A hello from the address of a live session that comes to nothing leaves that session as it is."""
        net, server, one = self._one()
        forger = device(net, psk_terms(key=OTHER_KEY), 40000, client(net, 77))
        self.assertEqual(forger.say(b"evil", 3), [])
        net.ports[Endpoint("192.0.2.9", 40000)] = one.link.port  # type: ignore[assignment]
        self.assertEqual(one.say(b"still"), [b"STILL"])
        self.assertEqual(server.seen.over, [])

    def test_close(self) -> None:
        """A device that closes its session leaves none."""
        net, server, one = self._one()
        one.link.close()
        net.run(0.1)
        self.assertEqual(len(server.port.associations.sessions), 0)
        self.assertEqual([cause for _, cause in server.seen.over], ["closed"])

    def test_closed_behind_a_request(self) -> None:
        """A device that closes right behind a request is heard; a late answer is dropped, and no handshake begins."""
        net, server, one = self._one()
        peer = server.seen.sessions[0].peer
        one.link.send([(b"farewell", b"")])
        one.link.close()
        net.run(0.1)
        self.assertEqual((server.heard[-1], server.seen.over), ((b"farewell", peer), [(peer, "closed")]))
        before = len(net.log)
        server.port.send([(b"LATE", peer)])
        net.run(60)
        self.assertEqual((len(net.log), server.port.counters["dropped"]), (before, 1))

    def test_revocation(self) -> None:
        """Sessions of an identity that is revoked end at once, and their devices are told."""
        net, server, one = self._one()
        self.assertEqual(server.port.associations.revoke(("device",)), 1)
        net.run(0.1)
        self.assertIn("session ended", one.reports[-1])

    def test_server_begins_nothing(self) -> None:
        """What is for a peer without a session is dropped and counted."""
        net, server, _ = self._one()
        before = len(net.log)
        server.port.send([(b"wake up", b"\x5d" + bytes(8))])
        net.run(1)
        self.assertEqual(len(net.log), before)
        self.assertEqual(server.port.counters["dropped"], 1)

    def test_restart_of_server(self) -> None:
        """A server that has lost its sessions is met anew by a device that gets no answers."""
        net, _, one = self._one()
        again = SecureServer(net, seed=9)
        for _ in range(8):
            one.say(b"hello", 5)
        self.assertEqual(one.say(b"hello"), [b"HELLO"])
        self.assertEqual(len(again.seen.sessions), 1)

    def test_alert_to_unknown(self) -> None:
        """If the operator says so an unknown association gets an alert, and the device shakes hands again at once."""
        net, _, one = self._one()
        again = SecureServer(net, seed=9, terms=Terms(alert_unknown=True))
        one.say(b"hello")
        net.run(1)
        self.assertEqual(one.say(b"hello"), [b"HELLO"])
        self.assertEqual(again.port.counters["alerts_to_unknown"], 1)

    def test_too_many_whole(self) -> None:
        """Of suites whose sessions stay in OpenSSL there are only so many."""
        net = Net()
        suite = BY_NAME["PSK-AES128-CBC-SHA256"]
        server = SecureServer(net, suites=(suite,), terms=Terms(whole=2))
        for number in range(3):
            device(net, psk_terms(suites=(suite,)), 43000 + number).say(b"hello")
        self.assertEqual(server.port.counters["whole_refused"], 1)
        self.assertEqual(len(server.heard), 2)
