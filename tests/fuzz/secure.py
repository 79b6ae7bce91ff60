"""A secure port with devices on a hostile network: datagrams of handshakes and sessions, changed, doubled, mixed, lost.

RULES: OpenSSL is real at both ends, the network and the clock are not. Nothing may raise; only who has the key may
have a session; what comes out of one is what its peer has put in, once; what began ends, and nothing is left of it.
Damage may cost a device its handshake, which travels in the open, but no session.
"""

from __future__ import annotations

from collections import deque
from random import Random
from typing import Final

from lwm2md.net.addresses import Endpoint
from lwm2md.net.dtls import Terms
from lwm2md.net.dtlsclient import SecureClient
from lwm2md.net.handshakes import Timing
from lwm2md.security.dtls.sessions import Limits
from lwm2md.security.dtls.suites import DEFAULT, SUITES
from tests.fuzz import flights
from tests.fuzz.daemon import Lost
from tests.net.dtlsnet import KEY, OTHER_KEY, SERVER, Device, FakeKeys, Net, SecureServer, client, device, psk_terms

_KEPT: Final = 64
_EXPECTED: Final = 1000
_FIRST_PORT: Final = 10_000
_LAST_PORT: Final = 60_000
_DEVICES: Final = 6
_SESSIONS: Final = 40
_PATIENCE: Final = 10.0
_SUITES: Final = tuple(suite for suite in DEFAULT if suite.psk)
_IN_OPENSSL: Final = tuple(suite for suite in SUITES if suite.psk and suite.in_openssl)
_SHOWN: Final = ("handshakes_begun", "handshakes_established", "received", "bad_mac", "replayed", "malformed")
_NAMES: Final = (b"device", b"rotated", b"stranger")


class HostileNet(Net):
    """Carries datagrams, and changed copies of them before and behind."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.last: deque[bytes] = deque(maxlen=_KEPT)
        self.sent = 0
        self.calm = False
        self._seen: deque[tuple[bytes, Endpoint, Endpoint]] = deque(maxlen=_KEPT)

    def carry(self, data: bytes, sender: Endpoint, receiver: Endpoint) -> None:
        """Take a datagram."""
        self._seen.append((data, sender, receiver))
        if self.calm:
            super().carry(data, sender, receiver)
            return
        copies = self.random.choice((0, 0, 0, 0, 1, 2, 8))
        for _ in range(copies):
            self._change(data, sender, receiver)
        if self.random.random() < 0.95:
            super().carry(data, sender, receiver)
        for _ in range(copies):
            self._change(data, sender, receiver)
        self.log.clear()

    def _change(self, data: bytes, sender: Endpoint, receiver: Endpoint) -> None:
        random = self.random
        if random.random() < 0.2:
            data, _, _ = random.choice(self._seen)
        if random.random() < 0.1:
            _, other_sender, other_receiver = random.choice(self._seen)
            if (other_sender == SERVER) == (sender == SERVER):
                sender, receiver = other_sender, other_receiver
        if random.random() < 0.9:
            data = flights.mutated(random, data, [seen for seen, _, _ in self._seen])
        self.last.append(data)
        self.sent += 1
        self.clock.callLater(random.choice((0.0005, 0.001, 0.0015)), self._arrive, data, sender, receiver)


class Secure:
    """A server, and round after round of devices that come, speak, move and are gone."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self._net = HostileNet(random)
        known = {b"device": (KEY,), b"rotated": (OTHER_KEY, KEY)}
        timing = Timing(first_wait=1.0, patience=_PATIENCE)
        terms = Terms(timing, limits=Limits(sessions=_SESSIONS, warm=8), whole=4, alert_unknown=True)
        self._server = SecureServer(self._net, FakeKeys(self._net.clock, known), terms=terms)
        self._clients: list[SecureClient] = []
        self._said: dict[bytes, None] = {}
        self._count = 0
        self._port = _FIRST_PORT

    @property
    def last(self) -> deque[bytes]:
        """The datagrams that were changed last."""
        return self._net.last

    @property
    def sent(self) -> int:
        """How many datagrams were changed."""
        return self._net.sent

    def batch(self, _count: int) -> None:
        """One round. Raises Lost."""
        net, server = self._net, self._server
        self._clients = []
        devices = [self._join() for _ in range(_DEVICES)]
        for _ in range(3):
            for one in devices:
                self._say(one)
            net.run(1.0, 0.1)
            self._check(devices)
            moving = self.random.choice(devices)
            moving.move(self._a_port())
        for one in devices:
            one.link.close()
        net.run(2 * _PATIENCE, 1.0)
        self._check(devices)
        self._left()
        for shared in self._clients:
            shared.stop()
        server.keys.asked.clear()

    def _a_port(self) -> int:
        """A port where nobody has been for long."""
        self._port += 1 if self._port < _LAST_PORT else _FIRST_PORT - _LAST_PORT
        return self._port

    def _join(self) -> Device:
        port = self._a_port()
        suite = self.random.choice(_SUITES + _IN_OPENSSL)
        name = self.random.choice(_NAMES)
        cid = self.random.choice((None, b"", b"\0"))
        terms = psk_terms(name, KEY, (suite,), cid, resumes=cid is None)
        shared = client(self._net, self.random.randrange(1 << 32))
        self._clients.append(shared)
        return device(self._net, terms, port, shared)

    def _say(self, one: Device) -> None:
        self._count += 1
        text = b"text %d" % self._count
        self._said[text] = None
        one.link.send([(text, b"")])

    def _check(self, devices: list[Device]) -> None:
        server = self._server
        if server.port.counters["errors"] or any(one.errors for one in self._clients):
            raise Lost("an exception was logged")
        for session in server.seen.sessions:
            if session.outcome.identity.name == "stranger":
                raise Lost("a stranger has a session")
        for data, peer in server.heard:
            if data not in self._said:
                raise Lost(f"{data!r} was never said, or said once, and came from {peer.hex()}")
            del self._said[data]
        for lost in [*self._said][:-_EXPECTED]:
            del self._said[lost]
        for one in devices:
            for answer in one.heard:
                if not answer.startswith(b"TEXT "):
                    raise Lost(f"a device heard {answer!r}")
            one.heard.clear()
        server.heard.clear()
        server.seen.sessions.clear()
        server.seen.before.clear()
        server.seen.over.clear()
        server.seen.failures.clear()

    def _left(self) -> None:
        """Nothing is left of handshakes. Raises Lost."""
        associations = self._server.port.associations
        half_open = self._server.port._guard.half_open
        if associations.handshakes or half_open:
            raise Lost(f"{len(associations.handshakes)} handshakes have not ended, {half_open} are counted")
        if len(associations.sessions) > _SESSIONS:
            raise Lost(f"{len(associations.sessions)} sessions")

    def shown(self) -> str:
        """What came of it, for people."""
        counters = self._server.port.counters
        return ", ".join(f"{name} {counters[name]}" for name in _SHOWN)

    def check(self) -> None:
        """A device that is new is served. Raises Lost."""
        self._net.calm = True
        for cid in (None, b"", b"\0"):
            terms = psk_terms(b"device", KEY, _SUITES, cid)
            answers = device(self._net, terms, self._a_port()).say(b"hello", 5.0)
            if answers != [b"HELLO"]:
                raise Lost(f"a new device got {answers}")
