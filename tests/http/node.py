"""A whole daemon in one process for tests: the real core, engine and delivery, a clock of the test, a scripted device.

HTTP goes over loopback; datagrams between the engine and the device are handed over in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from itertools import count
from typing import Any, cast

import attrs
from twisted.internet.task import Clock

from lwm2md.auditing import AuditLog
from lwm2md.backup import Backups
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Engine
from lwm2md.coap.message import Message, Options, decode, encode, options
from lwm2md.config.changes import Reloaded, compare
from lwm2md.config.errors import ConfigErrors
from lwm2md.config.schema import Settings
from lwm2md.delivery import Delivery
from lwm2md.drain import Drain
from lwm2md.history import History
from lwm2md.http.authentication import hash_token
from lwm2md.http.extending import PluginRoutes
from lwm2md.http.table import ROUTES
from lwm2md.lwm2m.models import parse
from lwm2md.net.driver import Deadlines
from lwm2md.plugins.hosting import Hosting
from lwm2md.plugins.loading import Loaded, Loader
from lwm2md.plugins.managing import Managing
from lwm2md.plugins.running import Running
from lwm2md.restoration import Restoration
from lwm2md.security.sealing import Seal
from lwm2md.server.admission import UNAVAILABLE, Known
from lwm2md.server.core import Server
from lwm2md.server.effects import Commit
from lwm2md.server.records import Registration
from lwm2md.server.settings import ServerSettings
from lwm2md.server.state import Environment, PeerDescription
from lwm2md.storage.memory import MemoryStorage
from lwm2md.tracing.traces import Tracing
from lwm2md.vault import Vault

TOKEN = "test-token"
START = 1_767_225_600.0
MODELS = parse((files("lwm2md.lwm2m") / "models.txt").read_text(encoding="utf-8"))


def describe(peer: bytes) -> PeerDescription:
    """Where a peer is."""
    return PeerDescription("127.0.0.1:56830", "coap")


@attrs.define
class Answer:
    """What the scripted device answers to one request."""

    code: int
    payload: bytes = b""
    content_format: int | None = n.TEXT
    location: tuple[str, ...] = ()


class Device:
    """A device that registers and answers by a script: method and path to `Answer`; silent where ``mute``."""

    def __init__(self, node: TestNode, endpoint: str, number: int) -> None:
        self.node = node
        self.endpoint = endpoint
        self.peer = b"\x04" + bytes(6) + number.to_bytes(6, "big")
        self.answers: dict[tuple[int, str], Answer] = {}
        self.requests: list[Message] = []
        self.mute = False
        self.token = b""
        self._mid = count(1)
        self._observe = count(1)

    def register(self, links: str = "</1/0>,</3/0>,</5/0>,</3303/0>", *query: str, version: str = "1.1") -> None:
        """Register with the server, and see that it is taken."""
        given = (f"ep={self.endpoint}", "lt=300", f"lwm2m={version}", *query)
        asked = options(path=("rd",), query=given, content_format=40)
        self.send(Message(n.CON, n.POST, next(self._mid), b"r", asked, links.encode()))

    def notify(self, payload: bytes) -> None:
        """Send a notification with text to the observation made last."""
        given = options(observe=next(self._observe) + 1, content_format=n.TEXT)
        self.send(Message(n.NON, n.CONTENT, next(self._mid), self.token, given, payload))

    def send(self, message: Message) -> None:
        """Hand a message to the server."""
        self.node.receive([(encode(message), self.peer)])

    def take(self, data: bytes) -> bytes | None:
        """Answer a datagram of the server."""
        message = decode(data)
        if not 0 < message.code < 0x40:
            return None
        self.requests.append(message)
        if self.mute:
            return None
        answer = self.answers.get((message.code, "/" + "/".join(message.path)), Answer(n.NOT_FOUND, b"", None))
        observing = message.observe == 0 and answer.code == n.CONTENT
        if observing:
            self.token = message.token
        given: Options = options(
            location=answer.location,
            content_format=answer.content_format if answer.payload else None,
            observe=1 if observing else None,
        )
        return encode(Message(n.ACK, answer.code, message.mid, message.token, given, answer.payload))


class TestNode:
    """The daemon as `lwm2md.http` sees it."""

    __test__ = False

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.clock = Clock()
        self.reactor: Any = self.clock
        self.waits = Deadlines(self.clock)
        self.clock.advance(START)
        self.storage = MemoryStorage()
        self.storage.open()
        self.delivery = Delivery(self.storage, self.clock)
        self.delivery.start()
        self.history = History(self.storage, self.clock, 86400.0, 1000)
        environment = Environment(self.random, describe, self.delivery.wants, self.delivery.publish)
        self.server = Server(ServerSettings(queue_limit=3), MODELS, environment)
        self.engine = Engine(self.server, self.random)
        self.server.attach(self.engine)
        self.tracing = Tracing(
            self._registration, lambda _: None, self._store, self.random, budget=1 << 20, most=2, trace_size=1 << 20
        )
        self._random = count(1)
        self.vault = Vault(self.storage, Seal(None, self.random), self.delivery.submit, self.clock, self.random)
        self.audit = AuditLog(self.storage, self.clock, 1000)
        self.server.gate.grant = self._grant
        self.drain = Drain(self.server, self.delivery, self.clock, self.settle)
        self.backups = Backups(self.storage)
        self.restoration: Restoration | None = None
        self.clock_jumps: Mapping[str, int] = {"forward": 2, "backward": 1}
        self.found: Settings | ConfigErrors = self.settings
        self.started = START
        self.ready = True
        self.version = "0.1.0"
        self.admin_token_hash = hash_token(TOKEN)
        self.devices: dict[bytes, Device] = {}
        self._numbers = count(1)
        self.delivery.on_settled = self.settle
        self.routes = PluginRoutes(ROUTES, lambda routes: None)
        self.plugins = Running(Hosting(cast(Any, self)), self.storage, Loaded(), self.settings.plugins)
        self.managing = Managing(self.plugins, lambda: self.settings, lambda: self.settings, Loader())

    def random(self, size: int) -> bytes:
        """Bytes that never repeat."""
        return next(self._random).to_bytes(size, "big")

    def device(self, endpoint: str, *, registered: bool = True) -> Device:
        """A new device, registered unless told otherwise."""
        device = Device(self, endpoint, next(self._numbers))
        self.devices[device.peer] = device
        if registered:
            device.register()
        return device

    def _registration(self, endpoint: str) -> Registration | None:
        device = self.server.devices.get(endpoint)
        return None if device is None else device.registration

    def _grant(self, names: tuple[str, ...], then: Known) -> None:
        self.vault.grant(names, lambda grant: then(grant, self.now()), lambda: then(UNAVAILABLE, self.now()))

    def _store(self, commit: Commit) -> None:
        self.delivery.submit((commit,))

    def settle_soon(self) -> None:
        """The same at once."""
        self.settle()

    def reload(self) -> Reloaded:
        """Take ``found`` for what is in the files."""
        if isinstance(self.found, ConfigErrors):
            raise self.found
        reloaded = compare(self.settings, self.found)
        self.settings = reloaded.settings
        return reloaded

    def receive(self, batch: list[tuple[bytes, bytes]]) -> None:
        """Datagrams arrive."""
        self.tracing.received(batch, self.now())
        self._exchange(self.engine.receive(batch, self.now()))
        self.settle()

    def advance(self, seconds: float) -> None:
        """Let time go by."""
        self.clock.advance(seconds)
        self.server.expire(self.now())
        self.tracing.expire(self.now())
        self._exchange(self.engine.expire(self.now()))
        self.settle()

    def now(self) -> float:
        """The test's time."""
        return self.clock.seconds()

    def settle(self) -> None:
        """Commit what the core decided and carry datagrams, until there is nothing more."""
        while self.server.effects:
            effects = list(self.server.effects)
            self.server.effects.clear()
            self.delivery.submit(effects)
        self._exchange(self.engine.take())

    def listeners(self) -> Sequence[Mapping[str, str]]:
        """One listener."""
        return [{"transport": "coap", "address": "127.0.0.1:5683"}]

    def counters(self) -> Mapping[str, float]:
        """Counters of all parts."""
        parts = (("coap", self.engine.counters), ("server", self.server.counters), ("delivery", self.delivery.counters))
        return {f"{part}_{name}": value for part, counters in parts for name, value in counters.items()}

    def _exchange(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        if datagrams:
            self.tracing.sent(datagrams, self.now())
        for data, peer in datagrams:
            device = self.devices.get(peer)
            answer = device.take(data) if device is not None else None
            if answer is not None:
                self.receive([(answer, peer)])
