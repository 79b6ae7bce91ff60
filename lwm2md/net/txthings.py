"""Serves trees of txthings' `CoAPResource` objects, unmodified, beside the paths of the server.

RULES: of txthings only the resources and the message type are used; datagrams, blocks, retransmissions and the delivery
of notifications are the engine's. A resource may be slow, wrong or silent: every request gets an answer, an exception
becomes a code and one record of the log for each class of resource and of exception, and none of it reaches the engine.
Segments of a path are looked up as bytes, as txthings has them on the wire, and as text, as its examples have them.
Notifications are Confirmable, as those of txthings are: an observer that is gone is found at the next change.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine, IncomingRequest, Response
from lwm2md.coap.message import Message, options, uint
from lwm2md.net.addresses import unpack
from lwm2md.net.driver import Deadlines
from lwm2md.server.neighbour import RESERVED

with warnings.catch_warnings():
    # Release 0.3.0 compares numbers with `is`, which the compiler tells whoever imports it first.
    warnings.simplefilter("ignore", SyntaxWarning)
    from txthings import coap, error

_ENGINES: Final = frozenset(
    {
        numbers.BLOCK1,
        numbers.BLOCK2,
        numbers.SIZE1,
        numbers.SIZE2,
        numbers.ECHO,
        numbers.NO_RESPONSE,
        numbers.REQUEST_TAG,
    }
)
_SEQUENCES: Final = 0xFFFFFF
_LONGEST_UINT: Final = 4
_LONGEST_QUESTION: Final = 1024
_STATES: Final = (numbers.CONTENT, numbers.VALID)
_REGISTER: Final = 0
_DEREGISTER: Final = 1

_NOT_FOUND: Final = Response(numbers.NOT_FOUND)
_NOT_ALLOWED: Final = Response(numbers.METHOD_NOT_ALLOWED)
_NOT_IMPLEMENTED: Final = Response(numbers.NOT_IMPLEMENTED)
_FAILED: Final = Response(numbers.INTERNAL_SERVER_ERROR)
_SILENT: Final = Response(numbers.SERVICE_UNAVAILABLE, b"no answer in time", options(max_age=60))

Render = Callable[[Any, Any], Any]
"""Lets a resource render a request, and returns or raises what that does."""


def _render(target: Any, asked: Any) -> Any:
    return target.render(asked)


class Trees:
    """The trees that one engine serves; a neighbour of the server.

    `settle` is called when a late answer or a notification waits to be sent. A resource that has not answered after
    `patience` seconds has its Deferred cancelled. Beyond `observers` observations, and where the request that has to be
    kept is longer than a kilobyte, a request for one is answered without it being made.
    """

    def __init__(
        self,
        engine: Engine,
        settle: Callable[[], None],
        clock: IReactorTime,
        *,
        patience: float = 60.0,
        observers: int = 10_000,
    ) -> None:
        self.counters = {"requests": 0, "failures": 0, "silent": 0}
        self._engine = engine
        self._settle = settle
        self._clock = clock
        self._patience = patience
        self._limit = observers
        self._roots: list[Any] = []
        self.renders: dict[Any, Render] = {}
        self._deadlines = Deadlines(clock)
        self._waiting: set[_Rendering] = set()
        self._observers: dict[tuple[bytes, bytes], _Observer] = {}
        self._triggered: dict[_Observer, None] = {}
        self._turn: IDelayedCall | None = None
        self._told: set[tuple[type, type]] = set()
        self._log = Logger()

    def mount(self, root: Any, render: Render | None = None) -> None:
        """Serve the tree below `root` too, its resources rendered by `render`.

        Raises ValueError if one of its paths is the server's.
        """
        claimed = sorted({_text(name) for name in root.children} & (RESERVED - {".well-known"}))
        if claimed:
            raise ValueError(f"/{claimed[0]} is a path of the daemon's own")
        self._roots.append(root)
        self.renders[root] = render or _render

    def unmount(self, root: Any) -> None:
        """Serve a tree no longer; who observes it gets no more notifications."""
        self._roots.remove(root)
        del self.renders[root]
        for observer in tuple(self._observers.values()):
            if observer.root is root:
                observer.end()

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer a request from the first tree that has its path, or return None and respond later."""
        self.counters["requests"] += 1
        observe = request.message.observe if request.message.code == numbers.GET else None
        if observe == _DEREGISTER:
            self._end(request)
        rendering = _Rendering(self, request)
        rendering.start(self._answer, self._observed if observe == _REGISTER else None)
        rendering.late = rendering.response is None
        return rendering.response

    def links(self) -> str:
        """Return what the trees list of themselves."""
        found: list[str] = []
        for root in self._roots:
            try:
                root.generateResourceList(found, _ResourcePath())
            except Exception:
                self._report(root, Failure())  # type: ignore[no-untyped-call]
        return ",".join(link.replace("<>", "</>", 1) for link in found)

    def close(self) -> None:
        """Give up what is unanswered and forget all observers."""
        for rendering in tuple(self._waiting):
            rendering.wake(0.0)
        for observer in tuple(self._observers.values()):
            observer.end()
        self._deadlines.stop()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    # What renderings and observers call

    def find(self, asked: Any) -> Any:
        """Return the resource that a request is for. Raises `error.NoResource`, and whatever a resource does."""
        for root in self._roots:
            asked.root, asked.prepath, asked.postpath = root, [], _segments(asked)
            try:
                return _descend(root, asked)
            except error.NoResource:
                continue
        raise error.NoResource

    def wait(self, rendering: _Rendering) -> None:
        """Cancel a rendering when the patience is over."""
        self._waiting.add(rendering)
        self._deadlines.set(rendering, self._clock.seconds() + self._patience)

    def over(self, rendering: _Rendering) -> None:
        """Forget a rendering that waited."""
        if rendering in self._waiting:
            self._waiting.discard(rendering)
            self._deadlines.remove(rendering)

    def fault(self, target: Any, failure: Failure) -> Response:
        """Return what an exception is answered with."""
        if isinstance(failure.value, error.NoResource):
            return _NOT_FOUND
        if isinstance(failure.value, error.UnallowedMethod | error.UnsupportedMethod):
            return _NOT_ALLOWED
        if isinstance(failure.value, error.NotImplemented):
            return _NOT_IMPLEMENTED
        if isinstance(failure.value, CancelledError):
            self.counters["silent"] += 1
            return _SILENT
        self._report(target, failure)
        return _FAILED

    def triggered(self, observer: _Observer) -> None:
        """Notify an observer in the next turn, once, however often its resource changes in this one."""
        self._triggered[observer] = None
        self._soon()

    def send(self, observer: _Observer, response: Response) -> None:
        """Send a notification; one without a success is the last."""
        request = observer.request
        more = response.code in _STATES
        if more:
            response = observer.numbered(response)
        else:
            observer.end()
        self._engine.notify(
            request.peer,
            request.message.token,
            response,
            confirmable=True,
            on_result=observer.delivered if more else None,
            now=self._clock.seconds(),
        )
        self._soon()

    def forget(self, observer: _Observer) -> None:
        """Take that an observer has ended."""
        self._triggered.pop(observer, None)
        if self._observers.get(observer.key) is observer:
            del self._observers[observer.key]

    def _answer(self, rendering: _Rendering, response: Response) -> None:
        rendering.response = response
        if rendering.late:
            self._engine.respond(rendering.request, response, self._clock.seconds())
            self._soon()

    def _observed(self, rendering: _Rendering, response: Response) -> Response:
        """Make or renew an observation, where that is possible and there is room for it."""
        if not rendering.target.observable or response.code not in _STATES or not _is_short(rendering.request.message):
            return response
        known = self._end(rendering.request)
        if len(self._observers) >= self._limit:
            return response
        observer = _Observer(self, rendering, 0 if known is None else known.sequence)
        self._observers[observer.key] = observer
        if rendering.changed():
            observer.trigger()
        return observer.numbered(response)

    def _end(self, request: IncomingRequest) -> _Observer | None:
        observer = self._observers.get((request.peer, request.message.token))
        if observer is not None:
            observer.end()
        return observer

    def _soon(self) -> None:
        """Send what there is in the next turn: a resource may be in the middle of anything in this one."""
        if self._turn is None:
            self._turn = self._clock.callLater(0, self._take_turn)

    def _take_turn(self) -> None:
        triggered, self._triggered = self._triggered, {}
        for observer in triggered:
            observer.render()
        self._turn = None
        self._settle()
        if self._triggered:
            self._soon()

    def _report(self, target: Any, failure: Failure) -> None:
        self.counters["failures"] += 1
        key = (type(target), type(failure.value))
        if key not in self._told:
            self._told.add(key)
            self._log.failure("resource {resource} failed; told once", failure, resource=type(target).__qualname__)


class _Rendering:
    """One call of a resource, until it has answered; `late` once the engine does not wait any more."""

    def __init__(self, trees: Trees, request: IncomingRequest) -> None:
        self.due: float | None = None
        self.request = request
        self.response: Response | None = None
        self.late = False
        self.target: Any = None
        self.asked: Any = incoming(request)
        self._trees = trees
        self._index = 0
        self._deferred: Deferred[Any] | None = None

    def start(self, done: _Done, refine: _Refine | None = None) -> None:
        """Render; `done` gets the response, now or later, after `refine` had it if nothing went wrong."""
        rendered = maybeDeferred(self._render)
        if not rendered.called or rendered.paused:
            self._deferred = rendered
            self._trees.wait(self)
        rendered.addCallback(outgoing)
        if refine is not None:
            rendered.addCallback(lambda response: refine(self, response))
        rendered.addErrback(lambda failure: self._trees.fault(self.target, failure))
        rendered.addCallback(self._over, done)

    def wake(self, now: float) -> None:
        """Wait no more."""
        if self._deferred is not None:
            self._deferred.cancel()

    def changed(self) -> bool:
        """Tell whether the resource has changed since it was asked."""
        return bool(self.target.observe_index != self._index)

    def _render(self) -> Any:
        self.target = self._trees.find(self.asked)
        self._index = self.target.observe_index
        return self._trees.renders[self.asked.root](self.target, self.asked)

    def _over(self, response: Response, done: _Done) -> None:
        self._trees.over(self)
        done(self, response)


_Done = Callable[[_Rendering, Response], None]
_Refine = Callable[[_Rendering, Response], Response]


class _Observer:
    """One observer of one resource, which knows it among its `observers` and calls `trigger` when it has changed."""

    def __init__(self, trees: Trees, made_by: _Rendering, sequence: int) -> None:
        self.request = made_by.request
        self.original_request = made_by.asked
        self.root = made_by.asked.root
        self.key = (self.request.peer, self.request.message.token)
        self.sequence = sequence
        self._trees = trees
        self._place = made_by.target.observers
        self._name = (made_by.asked.remote, made_by.asked.token)
        self._rendering = False
        self._again = False
        self._ended = False
        self._place[self._name] = self

    def trigger(self) -> None:
        """Take that the resource has changed."""
        if self._rendering:
            self._again = True
        else:
            self._trees.triggered(self)

    def render(self) -> None:
        """Ask the resource for its present state, and send it."""
        self._rendering = True
        _Rendering(self._trees, self.request).start(self._rendered)

    def numbered(self, response: Response) -> Response:
        """Return a response with the next sequence number."""
        self.sequence = (self.sequence + 1) & _SEQUENCES
        return Response(response.code, response.payload, _sorted((*response.options, _observe(self.sequence))))

    def delivered(self, failure: str | None, now: float) -> None:
        """End when the observer has rejected a notification or is gone."""
        if failure is not None:
            self.end()

    def end(self) -> None:
        """Leave the resource; nothing is sent any more."""
        self._ended = True
        if self._place.get(self._name) is self:
            del self._place[self._name]
        self._trees.forget(self)

    def _rendered(self, rendering: _Rendering, response: Response) -> None:
        self._rendering = False
        if self._ended:
            return
        self._trees.send(self, response)
        if self._again and not self._ended:
            self._again = False
            self._trees.triggered(self)


class _ResourcePath(str):
    """A path to which names of resources are added, be they text or bytes."""

    __slots__ = ()

    def __add__(self, name: str | bytes) -> _ResourcePath:
        return _ResourcePath(str.__add__(self, _text(name)))


def incoming(request: IncomingRequest) -> Any:
    """Return a request as txthings' message, without the options that are the engine's business."""
    message = request.message
    asked = coap.Message(message.type, message.mid, message.code, message.payload, message.token)
    _, remote = unpack(request.peer)
    asked.remote = (ip_address(remote.host), remote.port)
    asked.protocol = None
    for number, value in message.options:
        if number not in _ENGINES:
            # Accept is 17; txthings' own table of formats has it as 16.
            kind = coap.UintOption if number == coap.ACCEPT else coap.option_formats.get(number, coap.OpaqueOption)
            if kind is not coap.UintOption or len(value) <= _LONGEST_UINT:
                option = kind(number)
                option.decode(value)
                asked.opt.addOption(option)
    return asked


def outgoing(answer: Any) -> Response:
    """Return what a resource has answered; raise TypeError where that is no response."""
    if not isinstance(answer, coap.Message) or not numbers.is_response(answer.code):
        raise TypeError(f"a resource must answer with a txthings Message that has a response code, not {answer!r}")
    found = [
        (option.number, _bytes(option.encode()))
        for option in answer.opt.optionList()
        if option.number not in _ENGINES and option.number != numbers.OBSERVE
    ]
    return Response(answer.code, _bytes(answer.payload), _sorted(found))


def _descend(resource: Any, asked: Any) -> Any:
    """Follow the path of a request down a tree, as `txthings.resource.getChildForRequest` does."""
    while asked.postpath and not resource.isLeaf:
        segment = asked.postpath.pop(0)
        asked.prepath.append(segment)
        text = segment.decode()
        resource = resource.getChildWithDefault(text if text in resource.children else segment, asked)
    return resource


def _is_short(message: Message) -> bool:
    return len(message.payload) + sum([len(value) for _, value in message.options]) <= _LONGEST_QUESTION


def _segments(asked: Any) -> list[bytes]:
    path: list[bytes] = asked.opt.uri_path
    return [] if path == [b""] else path


def _sorted(found: Iterable[tuple[int, bytes]]) -> tuple[tuple[int, bytes], ...]:
    return tuple(sorted(found, key=lambda option: option[0]))


def _observe(sequence: int) -> tuple[int, bytes]:
    return numbers.OBSERVE, uint(sequence)


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _bytes(value: str | bytes) -> bytes:
    """Return text as the examples of txthings write it as the bytes that are meant."""
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes):
        raise TypeError(f"a payload or an option of bytes or text is wanted, not {type(value).__qualname__}")
    return value
