"""A network in memory with a secure server and secure devices on it: what the tests of DTLS have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import attrs
from twisted.internet.task import Clock

from lwm2md.net.accepting import ServerContexts
from lwm2md.net.addresses import Endpoint, pack, prefix, unpack
from lwm2md.net.associations import Established
from lwm2md.net.calling import ClientTerms
from lwm2md.net.driver import Deadlines
from lwm2md.net.dtls import DtlsPort, Observer, Terms
from lwm2md.net.dtlsclient import SecureClient, SecureDevice, SecureLink
from lwm2md.net.openssl import Context, Material
from lwm2md.net.port import Batch
from lwm2md.security.dtls.guards import GuardLimits, HandshakeGuard
from lwm2md.security.dtls.suites import DEFAULT, SUITES, Suite
from lwm2md.security.identity import Identity

KEY = b"0123456789abcdef"
OTHER_KEY = b"fedcba9876543210"
SERVER = Endpoint("192.0.2.1", 5684)
BY_KEY = tuple(suite for suite in SUITES if suite.psk)
BY_KEY_DEFAULT = tuple(suite for suite in DEFAULT if suite.psk)


class FakePort:
    """A port on the network."""

    batched = False

    def __init__(self, net: Net, local: Endpoint) -> None:
        self.local = local
        self.prefix = prefix(local)
        self.on_unreachable: Callable[[bytes], None] | None = None
        self.counters: Mapping[str, int] = {}
        self.net = net
        self.receive: Callable[[Batch], None] | None = None

    def start(self, receive: Callable[[Batch], None]) -> None:
        """Be handed what arrives."""
        self.receive = receive
        self.net.ports[self.local] = self

    def send(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        """Put datagrams on their way."""
        for data, peer in datagrams:
            local, remote = unpack(peer)
            self.net.carry(data, local, remote)

    def close(self) -> None:
        """Leave the network."""
        if self.net.ports.get(self.local) is self:
            del self.net.ports[self.local]


class Net:
    """Carries datagrams in the time of a `Clock`: each takes a millisecond, or what `fate` says of it.

    ``fate(data, from)`` returns when copies of it arrive, in seconds; none for one that is lost. ``log`` has all.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.ports: dict[Endpoint, FakePort] = {}
        self.log: list[tuple[bytes, Endpoint, Endpoint]] = []
        self.fate: Callable[[bytes, Endpoint], Sequence[float]] = lambda _data, _sender: (0.001,)
        self.nat: dict[Endpoint, Endpoint] = {}
        """What the server sees in place of a device's address."""

    def carry(self, data: bytes, sender: Endpoint, receiver: Endpoint) -> None:
        """Take a datagram."""
        self.log.append((data, sender, receiver))
        for wait in self.fate(data, sender):
            self.clock.callLater(wait, self._arrive, data, sender, receiver)

    def _arrive(self, data: bytes, sender: Endpoint, receiver: Endpoint) -> None:
        inside = {outer: inner for inner, outer in self.nat.items()}
        sender, receiver = self.nat.get(sender, sender), inside.get(receiver, receiver)
        port = self.ports.get(receiver)
        if port is not None and port.receive is not None:
            port.receive([(data, pack(port.local, sender))])

    def rough(self, seed: int, loss: float, doubled: float, late: float) -> None:
        """Lose, double and delay by a seed."""
        dice = random.Random(seed)

        def fate(_data: bytes, _sender: Endpoint) -> Sequence[float]:
            if dice.random() < loss:
                return ()
            copies = 2 if dice.random() < doubled else 1
            return [0.001 + (dice.random() * 0.2 if dice.random() < late else 0.0) for _ in range(copies)]

        self.fate = fate

    def run(self, seconds: float, step: float = 0.01) -> None:
        """Let time go by."""
        self.clock.pump([step] * round(seconds / step))


class FakeKeys:
    """Keys by identity, given at once or after ``wait`` seconds."""

    def __init__(self, clock: Clock, known: dict[bytes, tuple[bytes, ...]], wait: float | None = None) -> None:
        self.known = known
        self.asked: list[bytes] = []
        self._clock = clock
        self._wait = wait

    def psk(self, identity: bytes, then: Callable[[Sequence[bytes]], None]) -> None:
        """Give the keys."""
        self.asked.append(identity)
        keys = self.known.get(identity, ())
        if self._wait is None:
            then(keys)
        else:
            self._clock.callLater(self._wait, then, keys)

    def decoy(self, identity: bytes) -> bytes:
        """Give a key that nobody has."""
        return b"\xff" * 16


class Seen(Observer):
    """Remembers what happens on a secure port."""

    def __init__(self) -> None:
        self.sessions: list[Established] = []
        self.before: list[bytes | None] = []
        self.over: list[tuple[bytes, str]] = []
        self.failures: list[tuple[str, str]] = []

    def begun(self, session: Established, before: bytes | None, now: float) -> None:
        """Remember a session."""
        self.sessions.append(session)
        self.before.append(before)

    def ended(self, peer: bytes, address: bytes, identity: Identity, cause: str) -> None:
        """Remember an end."""
        self.over.append((peer, cause))

    def failed(self, address: bytes, identity: str, cause: str, now: float) -> None:
        """Remember a failure."""
        self.failures.append((identity, cause))


class SecureServer:
    """A secure port that answers everything with the same in capitals, and remembers it."""

    def __init__(  # noqa: PLR0917
        self,
        net: Net,
        keys: FakeKeys | None = None,
        suites: tuple[Suite, ...] = BY_KEY,
        material: Material | None = None,
        terms: Terms | None = None,
        limits: GuardLimits | None = None,
        *,
        trusted: bool = True,
        seed: int = 1,
    ) -> None:
        self.seen = Seen()
        self.heard: list[tuple[bytes, bytes]] = []
        self.keys = keys or FakeKeys(net.clock, {b"device": (KEY,)})
        self.port = DtlsPort(
            net.clock,
            [FakePort(net, SERVER)],
            Deadlines(net.clock),
            random.Random(seed).randbytes,
            ServerContexts.of(suites, material),
            self.keys,
            HandshakeGuard(limits, source=lambda address: address[-6:-2], trusted=lambda _address: trusted),
            terms or Terms(),
            self.seen,
        )
        self.port.start(self._receive)

    def _receive(self, batch: Batch) -> None:
        self.heard += batch
        self.port.send([(data.upper(), peer) for data, peer in batch])


@attrs.define(eq=False)
class Device:
    """A device on the network: what it heard, and what it was told of its session."""

    net: Net
    secure: SecureDevice
    link: SecureLink
    heard: list[bytes] = attrs.Factory(list)
    reports: list[str] = attrs.Factory(list)

    def say(self, data: bytes, seconds: float = 0.1) -> list[bytes]:
        """Send something, and return what was answered within that time."""
        self.heard.clear()
        self.link.send([(data, b"")])
        self.net.run(seconds)
        return list(self.heard)

    def move(self, port: int) -> None:
        """Have another socket."""
        old = self.link
        self.link = _link(self, self.secure, Endpoint("192.0.2.9", port))
        old.close()


def client(net: Net, seed: int = 2) -> SecureClient:
    """What devices share."""
    return SecureClient(net.clock, random.Random(seed).randbytes, Deadlines(net.clock))


def psk_terms(
    identity: bytes = b"device",
    key: bytes = KEY,
    suites: tuple[Suite, ...] = BY_KEY_DEFAULT,
    cid: bytes | None = None,
    *,
    resumes: bool = False,
) -> ClientTerms:
    """Terms of a device with a pre-shared key."""
    return ClientTerms(Context(suites, server=False, resumes=resumes), identity, key, cid=cid)


def device(net: Net, terms: ClientTerms, port: int = 40000, shared: SecureClient | None = None) -> Device:
    """Put a device on the network."""
    reports: list[str] = []
    secure = (shared or client(net, port)).device(terms, lambda text, _detail: reports.append(text))
    made = Device(net, secure, None, reports=reports)  # type: ignore[arg-type]
    made.link = _link(made, secure, Endpoint("192.0.2.9", port))
    return made


def _link(made: Device, secure: SecureDevice, local: Endpoint) -> SecureLink:
    link = secure.link(FakePort(made.net, local), pack(local, SERVER))
    link.start(lambda batch: made.heard.extend(data for data, _ in batch))
    return link
