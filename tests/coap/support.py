"""What the tests of the engine share: a recording handler, a countable source of chance, datagrams by hand."""

from __future__ import annotations

from collections.abc import Callable

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine, Glance, IncomingRequest, Limits, Notice, Parameters, Received, Response
from lwm2md.coap.message import Message, Options, decode, encode

PEER = b"peer-a"
OTHER = b"peer-b"
CHANGED = Response(numbers.CHANGED)


class Recorder:
    """A handler that answers with `answer` and keeps what it was given."""

    def __init__(self) -> None:
        self.answer: Response | Exception | None = CHANGED
        self.eager: Callable[[IncomingRequest, float], None] | None = None
        self.reset = True
        self.fail_unexpected = False
        self.requests: list[IncomingRequest] = []
        self.strays: list[Message] = []

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer as told."""
        self.requests.append(request)
        if self.eager is not None:
            self.eager(request, now)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def unexpected(self, peer: bytes, message: Message, now: float) -> bool:
        """Decide as told."""
        self.strays.append(message)
        if self.fail_unexpected:
            raise RuntimeError("stray")
        return self.reset


class Chance:
    """Counts up, so that every token and message ID is known to the test."""

    def __init__(self) -> None:
        self._next = 0

    def __call__(self, length: int) -> bytes:
        """Return the next number; two bytes (message IDs) and 32 (much jitter) are always the same."""
        if length in (2, 32):
            return b"\x10\x00" * (length // 2)
        self._next += 1
        return self._next.to_bytes(length, "big")


class Bench:
    """An engine with everything around it that a test looks at."""

    def __init__(
        self,
        parameters: Parameters | None = None,
        limits: Limits | None = None,
        glance: Glance | None = None,
        notice: Notice | None = None,
    ) -> None:
        self.handler = Recorder()
        self.acknowledge = True
        self.errors: list[str] = []
        self.outcomes: list[tuple[Received | str, float]] = []
        self.notifications: list[tuple[Received, bool]] = []
        self.results: list[tuple[str | None, float]] = []
        self.engine = Engine(
            self.handler, Chance(), parameters, limits, on_error=self.errors.append, glance=glance, notice=notice
        )

    def send(self, message: Message | bytes, now: float = 0.0, peer: bytes = PEER) -> list[Message]:
        """Hand one datagram to the engine and return what it sends."""
        data = message if isinstance(message, bytes) else encode(message)
        return [decode(out) for out, _ in self.engine.receive([(data, peer)], now)]

    def ask(
        self, now: float = 0.0, peer: bytes = PEER, code: int = numbers.GET, **more: bool | float
    ) -> Message | None:
        """Send a request; return the datagram that left, None if it is queued."""
        timeout = more.get("timeout")
        self.engine.request(
            peer,
            code,
            on_outcome=self.outcome,
            now=now,
            confirmable=bool(more.get("confirmable", True)),
            timeout=None if timeout is None else float(timeout),
        )
        return self.sent()

    def observe(self, now: float = 0.0, token: bytes | None = None) -> Message:
        """Send an observe request and return it."""
        self.engine.observe(
            PEER, numbers.GET, on_outcome=self.outcome, on_notification=self.notification, now=now, token=token
        )
        message = self.sent()
        if message is None:
            raise AssertionError("the request was queued")
        return message

    def sent(self) -> Message | None:
        """Return the one datagram in the outbox, or None."""
        out = self.engine.take()
        if len(out) > 1:
            raise AssertionError(out)
        return decode(out[0][0]) if out else None

    def expire(self, now: float) -> list[Message]:
        """Let time pass to `now`; return what is sent then."""
        return [decode(out) for out, _ in self.engine.expire(now)]

    def outcome(self, result: Received | str, now: float) -> None:
        """Keep an outcome."""
        self.outcomes.append((result, now))

    def notification(self, received: Received, fresh: bool) -> None:
        """Keep a notification, and acknowledge it unless told not to."""
        self.notifications.append((received, fresh))
        if self.acknowledge:
            self.engine.acknowledge(received, received.now)

    def result(self, result: str | None, now: float) -> None:
        """Keep the result of a notification of ours."""
        self.results.append((result, now))


def run_out(bench: Bench, limit: float = 1000.0) -> list[tuple[float, Message]]:
    """Follow the engine's deadlines until it has none; return what it sent and when."""
    sent: list[tuple[float, Message]] = []
    while (when := bench.engine.next_deadline()) is not None and when < limit:
        sent += [(when, message) for message in bench.expire(when)]
    return sent


def request(mid: int, token: bytes = b"tokn", kind: int = numbers.CON, found: Options = ()) -> Message:
    """Return a POST."""
    return Message(kind, numbers.POST, mid, token, found)


def reply(to: Message, code: int = numbers.CONTENT, found: Options = (), payload: bytes = b"") -> Message:
    """Return the piggy-backed response to a request."""
    return Message(numbers.ACK, code, to.mid, to.token, found, payload)


def ack(to: Message) -> Message:
    """Return the empty acknowledgement of a message."""
    return Message(numbers.ACK, numbers.EMPTY, to.mid)


def rst(to: Message) -> Message:
    """Return the Reset of a message."""
    return Message(numbers.RST, numbers.EMPTY, to.mid)
