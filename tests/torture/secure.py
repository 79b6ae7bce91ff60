"""The torture over DTLS: devices that keep their sessions, and somebody who records every datagram and plays it again.

RULES: a device has its session for as long as it can. It shakes hands again only when it says so itself, or while its
session may not have been stored yet: nothing durable was answered in it. Where it gets no answer in any other session
that is a violation, and so is a number that protects two records under one key, and a record that the daemon has taken
and takes again after a restart, unless it was taken in the last seconds before a kill: then it may be taken once more.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
from cryptography.exceptions import InvalidTag
from twisted.internet.task import deferLater

from lwm2md.coap import numbers as n
from lwm2md.coap.message import FormatError, Message, decode
from lwm2md.net import udp
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.associations import Established
from lwm2md.net.calling import ClientTerms
from lwm2md.net.driver import Deadlines
from lwm2md.net.dtlsclient import SecureClient, SecureDevice
from lwm2md.net.handshakes import Timing
from lwm2md.net.openssl import Context
from lwm2md.net.port import Batch, DatagramPort
from lwm2md.security.dtls.ciphers import Open, opener
from lwm2md.security.dtls.records import number, split
from lwm2md.security.dtls.session import EPOCH_1, DtlsSession
from lwm2md.security.dtls.suites import BY_NAME
from tests.peers.proxy import Proxy
from tests.processes import reactor
from tests.torture.daemon import Daemon
from tests.torture.device import Device
from tests.torture.model import Model, Violation

SUITE: Final = BY_NAME["PSK-AES128-CCM8"]
BEHIND: Final = 7.0
"""Seconds within which the daemon has stored what it received; it says five, and a disk takes its time."""
_PATIENCE: Final = 20.0
_TIMING: Final = Timing(first_wait=0.5, patience=6.0)
"""A daemon that was killed amid a handshake knows nothing of it: who has begun it has to begin again."""
_CIDS: Final = (None, b"", b"\0")
_KEPT: Final = 400
_REPLAYED: Final = 3
_COPIES: Final = 2
_MOMENT: Final = 0.15
_REBOOTS: Final = 0.01
_MOVES: Final = 0.02
_KEY: Final = 16


@attrs.define(eq=False)
class Sent:
    """A record of a device's: in which session, which number it has, and what is in it."""

    session: Session
    number: int
    record: bytes
    message: Message
    life: int
    answered: int = 0


class Session:
    """What a device knows of one session: it opens the records of both directions.

    ``sure`` says that the daemon has answered what it stores before it answers. Up to ``safe`` the device's records
    have to be taken for replays after a restart. ``life`` has times of this life and numbers that were taken before.
    """

    def __init__(self, session: DtlsSession) -> None:
        suite, keys = session.suite, session.keys
        key, iv = suite.key_length, suite.iv_length
        self.peer = session.peer
        self.sure = False
        self.safe = 0
        self.life: list[tuple[float, int]] = []
        self._theirs = opener(suite, keys[key : 2 * key], keys[2 * key + iv :], cid=session.own_cid)
        self._ours = opener(suite, keys[:key], keys[2 * key : 2 * key + iv], cid=bool(session.cid))

    def received(self, record: bytes) -> bytes | None:
        """What is in a record of the daemon's; None if it is none of this session."""
        return _opened(self._theirs, record)

    def sent(self, record: bytes) -> bytes | None:
        """What is in a record of the device's; None if it is none of this session."""
        return _opened(self._ours, record)

    def over(self, *, killed: bool) -> None:
        """A life of the daemon is over: what it has stored for sure it may not take again."""
        now = reactor.seconds()
        for when, top in self.life:
            if not killed or when < now - BEHIND:
                self.safe = max(self.safe, top)
        self.life.clear()


def _opened(cipher: Open, record: bytes) -> bytes | None:
    try:
        found = cipher(record, number(record))
    except (InvalidTag, ValueError):
        return None
    return None if found is None else found[1]


class Network(Proxy):
    """A bad network that tells ``taps``, by the port of a device, what reaches the daemon and what it sends."""

    taps: dict[int, SecureTorturedDevice]

    def pass_on(self, way: Any, datagram: bytes, address: tuple[str, int]) -> None:
        """Look at what the daemon sends, before anything becomes of it."""
        if way is self and address[1] in self.taps:
            self.taps[address[1]].overheard(datagram)
        super().pass_on(way, datagram, address)

    def _write(self, way: Any, datagram: bytes, address: tuple[str, int]) -> None:
        super()._write(way, datagram, address)
        if way is not self and way.client[1] in self.taps:
            self.taps[way.client[1]].carried(datagram)

    def move(self, client: tuple[str, int]) -> None:
        """Give a client another port towards the server."""
        leg = self._legs.pop(client, None)
        if leg is not None:
            leg.transport.stopListening()

    def play(self, client: tuple[str, int], datagram: bytes) -> None:
        """Send a datagram once more to the daemon, from where the client is."""
        leg = self._legs.get(client)
        if leg is not None:
            leg.transport.write(datagram, self.target)


class _Association(SecureDevice):
    """What a device has with the daemon; it asks before it takes a session for lost."""

    __slots__ = ("_owner",)

    def __init__(self, owner: SecureTorturedDevice, client: SecureClient, terms: ClientTerms) -> None:
        super().__init__(client, terms, owner.report)
        self._owner = owner

    def begun(self, session: Established) -> None:
        """Tell of a session."""
        found = self._client.session(session.peer)
        assert found is not None
        self._owner.joined(Session(found))
        super().begun(session)

    def doubt(self, now: float) -> None:
        """Shake hands again, where that is allowed."""
        if self._owner.may_shake():
            self._doubted = float("-inf")
            super().doubt(now)

    def next_number(self) -> int:
        """The number of the next record."""
        session = None if self.peer is None else self._client.session(self.peer)
        return 0 if session is None else session.sent

    def reboot(self) -> None:
        """Know of no session any more."""
        sessions = self._client.associations.sessions
        session = None if self.peer is None else sessions.by_peer.get(self.peer)
        if session is not None:
            sessions.drop(session, "ended")


class SecureTorturedDevice(Device):
    """A scripted device that speaks DTLS. ``terms`` are those of its handshakes, ``fleet`` what it is one of."""

    def __init__(self, fleet: SecureFleet, terms: ClientTerms, *how: Any, **named: Any) -> None:
        self.sessions: list[Session] = []
        self.port: DatagramPort
        self.handshakes = 0
        self.moves_on = terms.cid is not None
        self._fleet = fleet
        self._terms = terms
        self._captured: deque[Sent] = deque(maxlen=_KEPT)
        self._numbers: dict[int, list[bytes]] = {}
        self._played: dict[tuple[int, bytes], Sent] = {}
        super().__init__(*how, **named)

    def open(self) -> None:
        """Have a socket."""
        self.port = udp.listen(reactor, Endpoint("127.0.0.1", 0))
        self._deadlines = Deadlines(reactor)
        self._client = SecureClient(reactor, self._random.randbytes, self._deadlines, _TIMING)
        self._association = _Association(self, self._client, self._terms)
        server = pack(self.port.local, Endpoint(*self._server))
        self._link = self._association.link(self.port, server)
        self._link.start(self._arrived)

    async def close(self) -> None:
        """Give the socket back."""
        self._link.close()
        self._client.stop()
        self._deadlines.stop()

    @property
    def address(self) -> tuple[str, int]:
        """Where the device is, for the network."""
        return self.port.local.host, self.port.local.port

    @property
    def session(self) -> Session | None:
        """The session that it has."""
        peer = self._association.peer
        return self.sessions[-1] if self.sessions and self.sessions[-1].peer == peer else None

    def send(self, data: bytes) -> None:
        """Send a message to the daemon."""
        self._link.send([(data, b"")])

    def _arrived(self, batch: Batch) -> None:
        for data, _ in batch:
            self._heard_again(data)
            self.take(data)

    async def live(self) -> None:
        """Do what devices do; seldom lose the session, or get another address if that is no loss."""
        draw = self._random.random()
        if draw < _REBOOTS and self.session is not None:
            self._model.note(f"{self.endpoint} reboots")
            self._association.reboot()
        elif draw < _REBOOTS + _MOVES and self.moves_on:
            self._fleet.network.move(self.address)
        await super().live()

    async def request(self, code: int, path: tuple[str, ...], *how: Any, **named: Any) -> Message:
        """Ask until there is an answer; what is stored before it is answered makes the session sure."""
        session, first = self.session, self._association.next_number()
        answer = await super().request(code, path, *how, **named)
        if session is not None and self.session is session and self._fleet.up() > 0:
            session.life.append((reactor.seconds(), first))
            stored = answer.code == n.CREATED or (path == ("dp",) and answer.code == n.CHANGED)
            session.sure = session.sure or stored
        return answer

    # What is on the network

    def overheard(self, datagram: bytes) -> None:
        """Look for numbers in what the daemon sends that were there before."""
        for record in split(datagram)[0]:
            if (count := number(record)) >= EPOCH_1:
                known = self._numbers.setdefault(count, [])
                if record in known:
                    continue
                for session in self.sessions:
                    opened = [other for other in (record, *known) if session.received(other) is not None]
                    if record in opened and len(opened) > 1:
                        self._lost(Violation(f"{self.endpoint}: number {count:#x} protects two records under one key"))
                known.append(record)
                self._fleet.records += 1

    def carried(self, datagram: bytes) -> None:
        """Keep what reaches the daemon."""
        for record in split(datagram)[0]:
            session = self.session
            text = session.sent(record) if session is not None and number(record) >= EPOCH_1 else None
            if session is not None and text is not None:
                try:
                    message = decode(text)
                except FormatError:
                    continue
                self._captured.append(Sent(session, number(record), record, message, self._fleet.life()))

    def play(self) -> None:
        """Let some of what was sent in an earlier life come again."""
        life = self._fleet.life()
        old = [sent for sent in self._captured if sent.life < life and sent.message.mid not in self._waiting]
        safe = [sent for sent in old if sent.number <= sent.session.safe]
        late = [sent for sent in old if sent.number > sent.session.safe and self._is_harmless(sent)]
        chosen = [sent for kind in (safe, late) for sent in self._random.sample(kind, min(_REPLAYED, len(kind)))]
        # One record of a message: another one's answer would be the same.
        self._played = {(sent.message.mid, sent.message.token): sent for sent in chosen}
        for sent in self._played.values():
            sent.answered = 0
            for _ in range(_COPIES):
                self._fleet.network.play(self.address, sent.record)
        self._fleet.replays += len(self._played)
        self._fleet.safe += sum(sent in safe for sent in self._played.values())

    def _is_harmless(self, sent: Sent) -> bool:
        """Whether nobody minds if the daemon takes it twice: an Update that changes nothing."""
        message = sent.message
        return message.code == n.POST and message.path == ("rd", self.location) and not message.query

    def _heard_again(self, data: bytes) -> None:
        """See whether this answers what was played. Whoever waits for it has sent it, too."""
        message = decode(data)
        sent = self._played.get((message.mid, message.token))
        if sent is None or n.is_request(message.code) or message.mid in self._waiting:
            return
        sent.answered += 1
        self._fleet.taken += 1
        if sent.number <= sent.session.safe or sent.answered > 1:
            what = f"{n.dotted(sent.message.code)} /{'/'.join(sent.message.path)}, {sent.number:#x}"
            known = f"up to {sent.session.safe:#x} it can't; answered {sent.answered} times"
            self._lost(Violation(f"the daemon took a record of {self.endpoint} again ({what}; {known})"))

    # What the association asks and tells

    def report(self, text: str, _detail: bool) -> None:
        """Keep a line of it."""
        self._model.note(f"{self.endpoint} {text}")

    def joined(self, session: Session) -> None:
        """Know of a new session."""
        self.handshakes += 1
        self.sessions.append(session)

    def may_shake(self) -> bool:
        """Whether it is allowed to take its session for lost; that is a violation where the daemon must have it."""
        session, up = self.session, self._fleet.up()
        if session is None or not session.sure:
            return True
        if up > _PATIENCE:
            self._lost(Violation(f"the daemon does not answer in a session of {self.endpoint} that it had stored"))
        return False

    def _lost(self, violation: Violation) -> None:
        self.on_violation(violation)
        for waiting in {*self._waiting.values(), *self._tokens.values()}:
            if not waiting.called:
                waiting.errback(violation)

    def left(self, *, killed: bool) -> None:
        """The daemon is gone, and with it what it has not stored."""
        super().left(killed=killed)
        for session in self.sessions:
            session.over(killed=killed)
        current = self.session
        if current is not None and not current.sure:
            self._association.reboot()


class SecureFleet:
    """What all devices have in common: their keys, their network, and what was done; ``server`` is the secure port."""

    def __init__(self, directory: Path, server: tuple[str, int], seed: int, **network: float) -> None:
        self._keys = directory / "fleet.csv"
        self._random = Random(seed)
        self._context = Context((SUITE,), server=False)
        self.devices: list[SecureTorturedDevice] = []
        self.records = self.replays = self.safe = self.taken = 0
        self.network = Network(server, seed, **network)
        self.network.taps = {}
        self._port = reactor.listenUDP(0, self.network, interface="127.0.0.1")
        self._daemon: Daemon | None = None
        self.settings = (
            f"coaps.listen={server[0]}:{server[1]}",
            f"security.psk={self._keys}",
            "coaps.handshake-wait=500ms",
        )

    def device(self, name: str, model: Model, random: Random, *, sleepy: bool) -> SecureTorturedDevice:
        """Make a device; every third one has no Connection ID, one gives the daemon one, one wants one, too."""
        key = self._random.randbytes(_KEY)
        with self._keys.open("a", encoding="ascii") as file:
            file.write(f"{name},{key.hex()},{name}\n")
        terms = ClientTerms(self._context, name.encode(), key, cid=_CIDS[len(self.devices) % len(_CIDS)])
        where = ("127.0.0.1", self._port.getHost().port)
        made = SecureTorturedDevice(self, terms, name, where, model, random, sleepy=sleepy)
        self.devices.append(made)
        self.network.taps[made.address[1]] = made
        return made

    def attach(self, daemon: Daemon) -> None:
        """Know the daemon."""
        self._daemon = daemon

    def up(self) -> float:
        """For how many seconds the daemon has served now."""
        daemon = self._daemon
        return reactor.seconds() - daemon.since if daemon is not None and daemon.up else 0.0

    def life(self) -> int:
        """How often the daemon was started."""
        return self._daemon.lives if self._daemon is not None else 0

    async def play(self) -> None:
        """Play to a daemon that has just started what others were sent before."""
        for device in self.devices:
            device.play()
        await deferLater(reactor, _MOMENT)

    async def close(self) -> None:
        """Let the network be gone."""
        await self.network.close()

    def text(self) -> str:
        """The figures."""
        return (
            f"{sum(device.handshakes for device in self.devices)} handshakes, {self.records} records looked at, "
            f"{self.replays} played again after a restart, {self.safe} of these long after they were stored, "
            f"{self.taken} of the others taken"
        )
