"""What the tests of the server share: a real core and engine, a link in memory, a storage that can be held back.

RULES: no reactor and no clock but `Bench.now`, in Unix seconds. A commit is carried out at once unless the test says
`hold`; then nothing happens until `release`. `restart` throws everything away but what was committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.resources import files
from itertools import count

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Engine
from lwm2md.coap.message import Message, Options, decode, encode, options
from lwm2md.events import Event
from lwm2md.lwm2m.models import parse
from lwm2md.server import telling
from lwm2md.server.core import Server
from lwm2md.server.effects import Commit, Sample, Told
from lwm2md.server.parameters import NAME
from lwm2md.server.records import Operation, OperationRequest
from lwm2md.server.restoring import RESTORED
from lwm2md.server.settings import ServerSettings
from lwm2md.server.state import Environment, PeerDescription

START = 1_767_225_600.0
LINKS = "</1/0>,</3/0>,</5/0>,</3303/0>"
MODELS = parse((files("lwm2md.lwm2m") / "models.txt").read_text(encoding="utf-8"))

Tables = dict[str, dict[str, bytes]]


def peer(number: int) -> bytes:
    """The key of an address; other numbers are other addresses."""
    return b"peer-%d" % number


class Bench:
    """A server with all around it. ``wanted`` says whether live events have a reader.

    Not ``short``, everything that devices tell goes the long way.
    """

    def __init__(
        self,
        settings: ServerSettings | None = None,
        tables: Tables | None = None,
        now: float = START,
        *,
        short: bool = True,
    ) -> None:
        self.now = now
        self.settings = settings or ServerSettings(flush_interval=5.0)
        self.tables: Tables = tables if tables is not None else {name: {} for name in RESTORED}
        self.events: list[Event] = []
        self.live: list[Event] = []
        self.samples: list[Sample] = []
        self.identities: dict[bytes, str] = {}
        self.held: list[Commit] = []
        self.holding = False
        self.failing = False
        self.wanted = True
        self.errors: list[str] = []
        self.devices: dict[bytes, FakeDevice] = {}
        self.unheard: list[tuple[bytes, bytes]] = []
        self._seed = count(1)
        self.mids = count(100)
        self.environment = Environment(self._random, self._describe, lambda _: self.wanted, self.live.append)
        self.server = Server(self.settings, MODELS, self.environment)
        self.engine = Engine(
            self.server,
            self._random,
            on_error=self.errors.append,
            glance=self.server.glance,
            notice=self.server.notice if short else None,
            apart=NAME if short else b"",
        )
        self.server.attach(self.engine)

    def restart(self, downtime: float = 0.0) -> tuple[Bench, list[str]]:
        """Another server on what was committed, and the faults that it found in it."""
        other = Bench(self.settings, self.tables, self.now + downtime)
        other._seed, other.mids = self._seed, self.mids
        faults = []
        for table in RESTORED:
            faults += other.server.restore(table, sorted(self.tables[table].items()), other.now)
        for device in self.devices.values():
            device.bench = other
        other.devices = self.devices
        other.server.start(other.now)
        other.tick()
        return other, faults

    def device(self, endpoint: str, number: int = 1) -> FakeDevice:
        """A device at an address, not registered yet."""
        return FakeDevice(self, endpoint, number)

    def registered(self, endpoint: str = "d", number: int = 1, *query: str, links: str = LINKS) -> FakeDevice:
        """A device that has registered with LwM2M 1.1 and a lifetime of 300 s."""
        device = self.device(endpoint, number)
        answer = device.register("lwm2m=1.1", "lt=300", *query, links=links)
        assert answer is not None
        assert answer.code == n.CREATED, answer
        return device

    def submit(self, endpoint: str, op: str, path: str | None, **fields: object) -> Operation:
        """Ask for an operation, and let it leave."""
        request = OperationRequest(op=op, path=path, **fields)  # type: ignore[arg-type]
        operation = self.server.submit(endpoint, request, self.now)
        self.settle()
        return operation

    def hold(self) -> None:
        """Let commits wait from now on."""
        self.holding = True

    def release(self, *, ok: bool = True, only: int | None = None) -> None:
        """Let what was held succeed or fail; ``only`` so many of them, and further ones go on being held."""
        self.holding = only is not None
        held, self.held = self.held[:only], self.held[len(self.held) if only is None else only :]
        for commit in held:
            self._carry_out(commit, ok)
        self.settle()

    def settle(self) -> None:
        """Carry out effects and datagrams until there are no more."""
        while True:
            out = self.engine.take()
            commits = self.server.effects[:]
            self.server.effects.clear()
            if not out and not commits:
                return
            for commit in commits:
                if self.holding:
                    self.held.append(commit)
                else:
                    self._carry_out(commit, not self.failing)
            self._send(out)

    def receive(self, data: bytes, sender: bytes) -> None:
        """Take a datagram."""
        self._send(self.engine.receive([(data, sender)], self.now))
        self.settle()

    def advance(self, seconds: float) -> None:
        """Let time pass, and everything happen that is due."""
        end = self.now + seconds
        while True:
            due = [at for at in (self.engine.next_deadline(), self.server.next_deadline()) if at is not None]
            if not due or min(due) > end:
                break
            self.now = max(self.now, min(due))
            self.tick()
        self.now = end

    def tick(self) -> None:
        """Do what is due now."""
        self._send(self.engine.expire(self.now))
        self.server.expire(self.now)
        self.settle()

    def kinds(self) -> list[str]:
        """The types of the stored events so far."""
        return [event.type for event in self.events]

    def _carry_out(self, commit: Commit, ok: bool) -> None:
        if ok:
            told = Told(self.now, False, []) if commit.told is None else commit.told
            writes, samples, _ = telling.rows(told)
            for write in (*commit.writes, *writes):
                if write.value is None:
                    self.tables[write.table].pop(write.key, None)
                else:
                    self.tables[write.table][write.key] = write.value
            self.events += (*commit.events, *telling.events(told))
            self.samples += (*commit.samples, *samples)
        if commit.resume is not None:
            commit.resume(ok, self.now)

    def _send(self, out: list[tuple[bytes, bytes]]) -> None:
        for data, receiver in out:
            device = self.devices.get(receiver)
            if device is None:
                self.unheard.append((data, receiver))
                continue
            answer = device.take(data)
            if answer is not None:
                self._send(self.engine.receive([(answer, receiver)], self.now))

    def _random(self, size: int) -> bytes:
        return hashlib.sha256(str(next(self._seed)).encode()).digest()[:size]

    def _describe(self, sender: bytes) -> PeerDescription:
        return PeerDescription(sender.decode(), "coap", self.identities.get(sender))


@attrs.define
class Answer:
    """What a device answers to one request."""

    code: int = n.CONTENT
    payload: bytes = b""
    content_format: int | None = None
    observe: int | None = None
    max_age: int | None = None
    location: tuple[str, ...] = ()


class FakeDevice:
    """A device by hand: it answers requests by `answers`, by code and path, and is silent where it has none."""

    def __init__(self, bench: Bench, endpoint: str, number: int) -> None:
        self.bench = bench
        self.endpoint = endpoint
        self.answers: dict[tuple[int, str], Answer] = {}
        self.requests: list[Message] = []
        self.replies: list[Message] = []
        self.heard: list[Message] = []
        self.location = ""
        self.on_request: Callable[[Message], None] | None = None
        self.peer = b""
        self.move(number)

    def move(self, number: int) -> None:
        """Be at another address from now on; the one before stays deaf."""
        if self.bench.devices.get(self.peer) is self:
            del self.bench.devices[self.peer]
        self.peer = peer(number)
        self.bench.devices[self.peer] = self

    def register(self, *query: str, links: str = LINKS, content_format: int | None = 40) -> Message | None:
        """Register; the answer, if one came at once."""
        asked = (f"ep={self.endpoint}", *query) if self.endpoint else query
        answer = self.request(n.POST, "rd", query=asked, payload=links.encode(), content_format=content_format)
        if answer is not None and answer.code == n.CREATED:
            self.location = answer.location[1]
        return answer

    def update(self, *query: str, links: str = "") -> Message | None:
        """Update; the answer, if one came at once."""
        return self.request(n.POST, f"rd/{self.location}", query=query, payload=links.encode())

    def deregister(self) -> Message | None:
        """De-register; the answer, if one came at once."""
        return self.request(n.DELETE, f"rd/{self.location}")

    def request(
        self,
        code: int,
        path: str,
        *,
        query: tuple[str, ...] = (),
        payload: bytes = b"",
        content_format: int | None = None,
        kind: int = n.CON,
        mid: int | None = None,
    ) -> Message | None:
        """Send a request; the answer, if one came at once."""
        asked = options(path=path.split("/"), query=query, content_format=content_format)
        number = next(self.bench.mids) if mid is None else mid
        token = b"t%d" % number
        self.send(Message(kind, code, number, token, asked, payload))
        return self.answer(token)

    def answer(self, token: bytes | None = None) -> Message | None:
        """The newest answer, or that with a token."""
        found = [each for each in self.replies if token is None or each.token == token]
        return found[-1] if found else None

    def notify(
        self,
        token: bytes,
        sequence: int | None,
        payload: bytes = b"21.5",
        *,
        code: int = n.CONTENT,
        kind: int = n.CON,
        content_format: int | None = n.TEXT,
        max_age: int | None = None,
    ) -> int:
        """Send a notification; its message ID."""
        mid = next(self.bench.mids)
        given = options(observe=sequence, content_format=content_format, max_age=max_age)
        self.send(Message(kind, code, mid, token, given, payload))
        return mid

    def send(self, message: Message) -> None:
        """Hand a message to the server."""
        self.bench.receive(encode(message), self.peer)

    def take(self, data: bytes) -> bytes | None:
        """Hear a datagram of the server; the datagram to answer it with."""
        message = decode(data)
        self.heard.append(message)
        if n.is_response(message.code):
            self.replies.append(message)
        if not n.is_request(message.code):
            return None
        self.requests.append(message)
        if self.on_request is not None:
            self.on_request(message)
        answer = self.answers.get((message.code, "/" + "/".join(message.path)))
        return None if answer is None else self.compose(message, answer)

    def compose(self, request: Message, answer: Answer) -> bytes:
        """The datagram of a piggy-backed answer."""
        given: Options = options(
            location=answer.location,
            content_format=answer.content_format,
            observe=answer.observe,
            max_age=answer.max_age,
        )
        return encode(Message(n.ACK, answer.code, request.mid, request.token, given, answer.payload))

    def reply(self, answer: Answer) -> None:
        """Answer the newest request now."""
        self.bench.receive(self.compose(self.requests[-1], answer), self.peer)
