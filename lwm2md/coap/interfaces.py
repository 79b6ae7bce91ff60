"""What passes between the engine and the layer above it.

Rules: the upper layer sees bodies, never fragments, and never touches a datagram. A `Response` is never changed after
it was made, so a constant one may answer many requests.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from lwm2md.coap.message import Message, Options
from lwm2md.coap.terms import Terms

Peer = bytes
"""An opaque key of a remote address; CoAP only compares it."""

Datagram = tuple[bytes, Peer]
"""A datagram and the peer that it came from or goes to."""


class Acknowledged(Protocol):
    """What is told when a notification was acknowledged."""

    def acknowledged(self, key: bytes) -> None:
        """Take that; ``key`` is its message ID and token."""


Receipt = tuple[bytes, Peer, Acknowledged]
"""What names a Confirmable notification to be acknowledged: its message ID and token, who sent it, whom to tell."""


class Failure(StrEnum):
    """Why a request of ours has no response."""

    TIMEOUT = "timeout"
    RESET = "reset"
    CANCELLED = "cancelled"
    OVERLOADED = "overloaded"
    BAD_RESPONSE = "bad-response"


class Received(msgspec.Struct, gc=False):
    """A response or notification to one of our requests, with its whole body, and when it came.

    `block_size` is there where it took blocks smaller than ours, because the peer wants them so. The first response to
    an observation that is renewed may come `late`, behind a notification that is newer. What has a `receipt` is
    Confirmable and not acknowledged yet: see `Engine.acknowledge`.
    """

    peer: Peer
    message: Message
    now: float
    block_size: int | None = None
    late: bool = False
    receipt: Receipt | None = None


class Response(msgspec.Struct, frozen=True, gc=False):
    """What a handler answers: a code, the whole body, options in the order of their numbers."""

    code: int
    payload: bytes = b""
    options: Options = ()


class Shape(msgspec.Struct, eq=False, gc=False):
    """What requests have in common: the options around the argument, and the payload.

    ``meaning`` is whatever the layer above has made of it.
    """

    before: Options
    after: Options
    payload: bytes
    meaning: object = None

    def argument(self, message: Message) -> bytes:
        """The argument of a request of this shape."""
        return message.options[len(self.before)][1]


class IncomingRequest(msgspec.Struct, eq=False, gc=False):
    """A request of a peer with its whole body as payload; `received` is when it came.

    Others of its `shape` say the same but for one argument. `key`, `stage`, `terms` and `due` belong to the engine.
    """

    peer: Peer
    message: Message
    received: float
    key: bytes
    stage: int = 0
    terms: Terms | None = None
    due: float | None = None
    shape: Shape | None = None


Outcome = Callable[[Received | str, float], None]
"""Takes the response, or the `Failure` that came instead, and the time."""

Progress = Callable[[int, int], None]
"""Takes how many bytes of a request's body the peer has, and how many there are."""

Notification = Callable[[Received, bool], None]
"""Takes a notification and whether it is fresh; False means a newer one was seen before (RFC 7641 3.4).

Every one must be passed to `Engine.acknowledge`, at once or when its value is safe; until then the peer repeats it.
"""

Delivery = Callable[[str | None, float], None]
"""Takes None for a notification that was delivered (or sent, if Non-confirmable), else the failure, and the time."""


class Glance(Protocol):
    """Answers Confirmable POSTs that are known whole by what follows their token: options and payload, as the encoder
    writes them. Nearly all of a fleet's traffic is of that kind.
    """

    def find_all(self, batch: list[Datagram]) -> Sequence[Any]:
        """Return for each datagram its subject, None where nothing is known by it."""

    def take(self, subject: Any, peer: Peer, now: float) -> int:
        """Take the POST about a subject, with its peer and the time; return the code of the answer.

        The answer has no options and no payload. 0 stands for a request that has to be decoded; it does, too, where
        what came earlier in the batch has made an end of the subject.
        """


class Notice(Protocol):
    """Takes the newest notification of an observation, as nearly all are: whole, and with a Content-Format."""

    def __call__(
        self,
        subject: object | None,
        receipt: Receipt,
        content_format: int,
        payload: bytes,
        *,
        confirmable: bool,
        now: float,
    ) -> object | None:
        """Return None if it was not taken: then nothing has happened, and it comes as a `Notification`.

        Anything else is kept for the observation, and comes as the ``subject`` of the next one. A Confirmable one is to
        be acknowledged by its ``receipt``, after this call.
        """


class Handler(Protocol):
    """The upper layer."""

    def handle(self, request: IncomingRequest, now: float) -> Response | None:
        """Answer a request, or return None and answer later with `Engine.respond`."""

    def unexpected(self, peer: Peer, message: Message, now: float) -> bool | None:
        """Take a response or notification whose token nobody waits for; return True to have it Reset.

        None lets it go unanswered, so that it comes again.
        """
