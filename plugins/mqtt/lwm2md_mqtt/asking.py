"""Requests from the broker: taken, asked of the device through the daemon, and answered, now and later.

RULES: every request that has a topic to answer to is answered, once if its operation ends within ``wait``, else twice:
with the state that it is in, when that is durable, and with its end. Who was told "queued" gets the end, also after a
restart of the daemon: what the answer needs is kept until the broker has it. How much is open at once is bounded.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final, Protocol

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from lwm2md_mqtt import messages, requests
from lwm2md_mqtt.messages import Message
from lwm2md_mqtt.options import Options
from lwm2md_mqtt.requests import BadRequest
from lwm2md_mqtt.topics import Address, TopicError

COUNTERS: Final = ("requests", "requests_refused", "requests_ignored", "answers")
ENDS: Final = ("operation.done", "operation.failed")
_LONGEST_ID: Final = 1024
_LONGEST_WAIT: Final = 3600.0
_FORGOTTEN: Final = "the operation was forgotten"


class Submitted(Protocol):
    """An operation that was taken, as the context gives it."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        ...

    def document(self) -> dict[str, Any]:
        """It, as the API shows it."""
        ...

    def ended(self) -> Deferred[dict[str, Any]]:
        """Fire when it has ended."""
        ...

    def keep(self) -> Deferred[bool]:
        """Make it durable."""
        ...


class Context(Protocol):
    """What of the plugin's context is needed here."""

    reactor: Any
    log: Any

    def submit(self, endpoint: str, request: Mapping[str, Any]) -> Deferred[Any]:
        """Ask something of a device."""
        ...

    def operation(self, identifier: str) -> dict[str, Any] | None:
        """An operation by its id."""
        ...

    def subscribe(self, types: Sequence[str], handler: Callable[..., Any], *, name: str) -> Any:
        """Get events."""
        ...

    def keep(self, key: str, value: bytes | None) -> Deferred[bool]:
        """Keep something over a restart."""
        ...

    def kept(self) -> Deferred[list[tuple[str, bytes]]]:
        """What was kept."""
        ...


class _Owed(msgspec.Struct, frozen=True):
    """What the answer to a request needs beside its operation."""

    topic: str
    id: msgspec.Raw


class _Request:
    """One request that has not been answered finally."""

    __slots__ = ("address", "id", "operation", "over", "owed")

    def __init__(self, address: Address) -> None:
        self.address = address
        self.id = requests.NO_ID
        self.operation: Submitted | None = None
        self.owed = False
        self.over = False


class Requests:
    """Takes requests and answers them with ``answer``, which calls back when the broker has the answer."""

    def __init__(
        self,
        context: Context,
        options: Options,
        wants: Callable[[str], bool],
        answer: Callable[[Message, Callable[[], None] | None], None],
    ) -> None:
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.open = 0
        self._context = context
        self._options = options
        self._topics = options.topics
        self._wants = wants
        self._answer = answer
        self._restored: dict[str, _Owed] = {}
        self._ends: Any = None
        self._waits = _Waits(context.reactor)
        self._stopped = False

    def start(self) -> Deferred[None]:
        """Take up what was owed when the daemon ended."""
        return self._context.kept().addCallback(self._take_up)

    def stop(self) -> None:
        """Ask nothing any more."""
        self._stopped = True
        self._waits.stop()

    def take(self, topic: str, payload: bytes) -> None:
        """Take a request as the broker delivers it."""
        try:
            address = self._topics.parse(topic)
        except TopicError:
            self.counters["requests_ignored"] += 1
            return
        if not self._wants(address.endpoint):
            self.counters["requests_ignored"] += 1
            return
        self.counters["requests"] += 1
        request = _Request(address)
        try:
            self._ask(request, payload)
        except BadRequest as error:
            request.id = requests.identity(payload)
            self._refuse(request, error)

    def _ask(self, request: _Request, payload: bytes) -> None:
        options, address = self._options, request.address
        if len(payload) > options.request_size:
            raise BadRequest(f"the payload is longer than {options.request_size} bytes", "4.13", "too-large")
        body = requests.body(payload)
        if len(bytes(body.id)) > _LONGEST_ID:
            raise BadRequest(f"the id is longer than {_LONGEST_ID} bytes", "4.13", "too-large")
        request.id = body.id
        if self._stopped:
            raise BadRequest("the daemon is about to stop", "5.03", "stopping")
        if self.open >= options.pending:
            raise BadRequest(f"{self.open} requests are open already", "5.03", "overloaded")
        asked = requests.operation(address, body)
        wait = options.wait if body.wait is msgspec.UNSET else min(max(body.wait, 0.0), _LONGEST_WAIT)
        self.open += 1
        taken = self._context.submit(address.endpoint, asked)
        taken.addCallbacks(self._taken, self._not_taken, (request, wait), {}, (request,))

    def _taken(self, operation: Submitted, request: _Request, wait: float) -> None:
        request.operation = operation
        operation.ended().addCallback(self._ended, request)
        if not request.over:
            self._waits.add(wait, lambda: self._late(request, operation))

    def _not_taken(self, failure: Failure, request: _Request) -> None:
        self.open -= 1
        code = getattr(failure.value, "code", None)
        if code is None:
            self._context.log.failure("a request from the broker could not be asked", failure)
            self._refuse(request, BadRequest("something went wrong here", "5.00", "internal-error"))
            return
        self._refuse(request, messages.refused(code, str(failure.value)))

    def _late(self, request: _Request, operation: Submitted) -> None:
        """It takes longer: say so when that is durable."""
        if not request.over:
            operation.keep().addCallback(self._durable, request, operation)

    def _durable(self, durable: bool, request: _Request, operation: Submitted) -> None:
        if request.over or not durable:
            return  # the end comes, and tells that it was not stored
        owed = _Owed(self._topics.response(request.address), request.id)
        self._context.keep(operation.id, msgspec.json.encode(owed)).addCallback(self._tell, request, operation)

    def _tell(self, kept: bool, request: _Request, operation: Submitted) -> None:
        request.owed = kept
        if request.over:
            self._settle(operation.id)
        else:
            self._say(self._topics.response(request.address), messages.answer(request.id, operation.document()))

    def _ended(self, document: dict[str, Any], request: _Request) -> None:
        request.over = True
        self.open -= 1
        identifier = document["id"]
        then = (lambda: self._settle(identifier)) if request.owed else None
        self._say(self._topics.response(request.address), messages.answer(request.id, document), then)

    def _refuse(self, request: _Request, error: BadRequest) -> None:
        self.counters["requests_refused"] += 1
        self._say(self._topics.response(request.address), messages.refusal(request.id, error))

    def _say(self, topic: str, payload: bytes, then: Callable[[], None] | None = None) -> None:
        self.counters["answers"] += 1
        self._answer(Message(topic, payload, "responses"), then)

    def _settle(self, identifier: str) -> None:
        """The broker has the answer: nothing is owed any more."""
        self._context.keep(identifier, None)

    # After a restart

    def _take_up(self, rows: Sequence[tuple[str, bytes]]) -> None:
        for identifier, row in rows:
            try:
                self._restored[identifier] = msgspec.json.decode(row, type=_Owed)
            except ValueError:
                self._settle(identifier)
        if self._restored:
            self._ends = self._context.subscribe(ENDS, self._look, name="requests")
            self._look(())

    def _look(self, _: object) -> Deferred[None] | None:
        """Answer those whose operation has ended."""
        for identifier, owed in tuple(self._restored.items()):
            document = self._context.operation(identifier)
            if document is None:
                gone = BadRequest(_FORGOTTEN, "5.04", "outcome-unknown")
                self._pay(identifier, owed, messages.refusal(owed.id, gone))
            elif messages.ended(document["state"]):
                self._pay(identifier, owed, messages.answer(owed.id, document))
        if not self._restored and self._ends is not None:
            self._ends.close()
            self._ends = None
        return None

    def _pay(self, identifier: str, owed: _Owed, payload: bytes) -> None:
        del self._restored[identifier]
        self._say(owed.topic, payload, lambda: self._settle(identifier))


class _Waits:
    """Calls that are due later, with one timer for all of them."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._timer: IDelayedCall | None = None

    def add(self, seconds: float, call: Callable[[], None]) -> None:
        """Call this in so many seconds."""
        heapq.heappush(self._heap, (self._reactor.seconds() + seconds, next(self._order), call))
        self._set()

    def stop(self) -> None:
        """Call nothing any more."""
        self._heap.clear()
        self._set()

    def _set(self) -> None:
        due = self._heap[0][0] if self._heap else None
        if self._timer is not None and self._timer.active():
            if due is not None and self._timer.getTime() <= due:
                return  # it looks again then
            self._timer.cancel()
        self._timer = None
        if due is not None:
            self._timer = self._reactor.callLater(max(0.0, due - self._reactor.seconds()), self._wake)

    def _wake(self) -> None:
        self._timer = None
        now = self._reactor.seconds()
        while self._heap and self._heap[0][0] <= now:
            heapq.heappop(self._heap)[2]()
        self._set()
