"""A device and a bare engine as its server, joined in memory, for the tests of this package."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine
from lwm2md.coap.interfaces import IncomingRequest, Received, Response
from lwm2md.coap.message import Message, Options, options
from lwm2md.device.client import Client
from lwm2md.device.objects import Settings, instances, of_object, supported
from lwm2md.device.requests import Outcome
from lwm2md.device.tree import Resources, Supported, Tree
from lwm2md.device.unit import Unit
from lwm2md.device.world import World, stream
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.execute import Arguments
from lwm2md.lwm2m.models import Models, parse
from lwm2md.lwm2m.paths import Path

SERVER = b"server"
DEVICE = b"device"
NOW = 1_700_000_000.0


@cache
def models() -> Models:
    """The models that the project ships."""
    return parse(files("lwm2md.lwm2m").joinpath("models.txt").read_text("utf-8"))


def known(version: str, *numbers_: int) -> Mapping[int, Supported]:
    """The usual Objects of a device and others."""
    more = {number: of_object(models(), version, number) for number in numbers_}
    return {**supported(models(), version), **more}


def counting() -> Callable[[int], bytes]:
    """Bytes that count up: reproducible, and different each time."""
    numbers_ = itertools.count(1)
    return lambda size: next(numbers_).to_bytes(8, "big")[-size:].rjust(size, b"\0")


class Bench:
    """The Objects of a device and what answers requests on them, without an engine."""

    def __init__(
        self,
        version: str = "1.1",
        *,
        settings: Settings | None = None,
        more: tuple[int, ...] = (),
        objects: Mapping[int, Supported] | None = None,
    ) -> None:
        self.settings = settings or Settings("test-device", 300, version)
        self.unit = Unit(
            self.settings,
            objects or known(self.settings.version, *more),
            instances(self.settings),
            World(stream("test-device"), 10.0, NOW),
            execute=self._execute,
            now=NOW,
            root=self.settings.root,
        )
        self.tree = self.unit.tree
        self.simulation = self.unit.simulation
        self.observers = self.unit.observers
        self.requests = self.unit.requests
        self.executed: list[tuple[Path, Arguments]] = []

    def _execute(self, unit: Unit, path: Path, arguments: Arguments, now: float) -> None:
        self.executed.append((path, arguments))

    def ask(
        self,
        code: int,
        path: str,
        *,
        query: tuple[str, ...] = (),
        content: int | None = None,
        accept: int | None = None,
        observe: int | None = None,
        payload: bytes = b"",
        token: bytes = b"t",
        extra: tuple[tuple[int, bytes], ...] = (),
    ) -> Outcome:
        """What the device makes of a request."""
        segments = tuple(path.split("/")[1:]) if path != "/" else ()
        made = options(path=segments, query=query, content_format=content, accept=accept, observe=observe, extra=extra)
        return self.requests.handle(Message(numbers.CON, code, 1, token, made, payload), NOW)

    def code(self, code: int, path: str, **rest: object) -> str:
        """The dotted code that a request is answered with."""
        return numbers.dotted(self.ask(code, path, **rest).response.code)  # type: ignore[arg-type]


class Registrar:
    """A server of few words: it answers what a test tells it to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Message] = []
        self.answers: dict[int, Response] = {}
        self.silent = False

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Accept everything, or answer what was set for the method."""
        message = request.message
        self.requests.append(message)
        if message.code in self.answers:
            return self.answers[message.code]
        if message.code == numbers.DELETE:
            return Response(numbers.DELETED)
        if message.path[-1:] == ("rd",):
            location = ("rd", f"id{len(self.requests)}")
            return Response(numbers.CREATED, b"", options(location=location))
        return Response(numbers.CHANGED)

    def unexpected(self, peer: bytes, message: Message, now: float) -> bool:
        """Reset what nobody asked for."""
        return True


class Pair:
    """A device and a server with a link between them, and a clock that the test moves."""

    def __init__(self, settings: Settings | None = None, *more: int) -> None:
        self.now = NOW
        self.errors: list[str] = []
        self.lines: list[str] = []
        self.settings = settings or Settings("test-device", 300)
        self.registrar = Registrar()
        self.server = Engine(self.registrar, counting(), on_error=self.errors.append)
        objects = known(self.settings.version, *more)
        self.model = Tree(objects, {}).model
        self.device = Client(
            self.settings,
            supported=objects,
            server=SERVER,
            world=World(stream(self.settings.endpoint), 10.0, NOW),
            random=counting(),
            report=lambda text, detail: self.lines.append(text),
            now=NOW,
            on_error=self.errors.append,
        )

    def start(self) -> None:
        """Let the device register."""
        self.deliver(self.device.start(self.now))

    def deliver(self, to_server: list[tuple[bytes, bytes]]) -> None:
        """Carry datagrams to and fro until both are silent."""
        while to_server:
            if self.registrar.silent:
                return
            back = self.server.receive([(data, DEVICE) for data, _ in to_server], self.now)
            to_server = self.device.receive([(data, SERVER) for data, _ in back], self.now)

    def settle(self) -> None:
        """Do what is due now on both sides."""
        for data, _ in self.server.take():
            self.deliver(self.device.receive([(data, SERVER)], self.now))
        self.deliver(self.device.expire(self.now))
        for data, _ in self.server.expire(self.now):
            self.deliver(self.device.receive([(data, SERVER)], self.now))

    def advance(self, seconds: float) -> None:
        """Move the clock from one deadline of either side to the next."""
        end = self.now + seconds
        while True:
            dues = [due for due in (self.device.next_deadline(), self.server.next_deadline()) if due is not None]
            due = min(dues, default=end + 1)
            if due > end:
                break
            self.now = max(self.now, due)
            self.settle()
        self.now = end
        self.settle()

    def ask(self, code: int, path: str, payload: bytes = b"", **rest: Any) -> Message:
        """Send a request to the device and return its answer."""
        outcomes: list[Received | str] = []
        segments = path.split("/")[1:] if path != "/" else ()
        self.server.request(
            DEVICE,
            code,
            options(path=segments, **rest),
            payload,
            on_outcome=lambda result, now: outcomes.append(result),
            now=self.now,
        )
        for data, _ in self.server.take():
            self.deliver(self.device.receive([(data, SERVER)], self.now))
        [result] = outcomes
        assert isinstance(result, Received), result
        return result.message

    def observe_all(self, *paths: str) -> list[Message]:
        """Observe several paths at once; the list into which the first answer and all notifications go."""
        payload = formats.encode_paths(numbers.SENML_CBOR, [Path.parse(path) for path in paths])
        return self._observe(numbers.FETCH, options(content_format=numbers.SENML_CBOR), payload)[1]

    def observe(self, path: str) -> tuple[bytes, list[Message]]:
        """Observe a path; the token, and the list into which the first answer and all notifications go."""
        return self._observe(numbers.GET, options(path=path.split("/")[1:]))

    def _observe(self, code: int, made: Options, payload: bytes = b"") -> tuple[bytes, list[Message]]:
        seen: list[Message] = []

        def first(result: Received | str, now: float) -> None:
            assert isinstance(result, Received), result
            seen.append(result.message)

        token = self.server.observe(
            DEVICE,
            code,
            made,
            payload,
            on_outcome=first,
            on_notification=lambda received, fresh: seen.append(received.message),
            now=self.now,
        )
        for data, _ in self.server.take():
            self.deliver(self.device.receive([(data, SERVER)], self.now))
        return token, seen


def everything(tree: Tree) -> dict[Path, Resources]:
    """A copy of all Instances in a tree."""
    places = [Path((number, instance)) for number in tree.supported for instance in tree.instances(number)]
    return {place: tree.copy(place) for place in places}
