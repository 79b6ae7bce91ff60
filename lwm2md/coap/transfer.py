"""A request of ours that takes more than one message: blocks out, blocks in, an Echo (RFC 7959, RFC 9175 2.3).

Rules: blocks go out one by one; a smaller size that the peer names is taken up at once, 4.13 with a smaller size and
4.08 begin again, once each. Blocks of the response come in by byte offset; a wrong one is asked for again, a few
times; another ETag begins again, unless the request must not run twice. What goes on is one request to everybody else:
same token, one response. Nothing is sent here: `take` says what comes next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.blocks import MAX_SZX, MOST, Block, encoded, framed, merged, parse, size_of, szx_for, without
from lwm2md.coap.interfaces import Failure
from lwm2md.coap.message import Message, Options, encode_body, uint

REPEATED: Final = (numbers.UNAUTHORIZED, numbers.REQUEST_ENTITY_TOO_LARGE)
"""The codes that may make a transfer out of a request which was none."""

_REPEATABLE: Final = (numbers.GET, numbers.FETCH)
_ATTEMPTS: Final = 4
_ASKED_ONCE: Final = (numbers.OBSERVE, numbers.BLOCK2)

Step = bytes | Message | Failure | None
"""What follows the token of the next message, or the whole response, or the end, or None for nothing new."""


class Transfer:
    """The course of one request.

    `limit` is the longest body that is put together, in bytes; `szx` the size exponent to begin with.
    """

    __slots__ = (
        "_attempts",
        "_awaited",
        "_blockwise",
        "_body",
        "_code",
        "_echoed",
        "_first",
        "_frame",
        "_frame_of",
        "_limit",
        "_observe",
        "_offset",
        "_options",
        "_payload",
        "_restarted",
        "_szx",
    )

    def __init__(self, code: int, options: Options, payload: bytes, szx: int, limit: int) -> None:
        self._code = code
        self._options = options
        self._payload = payload
        self._szx = szx
        self._limit = limit
        self._blockwise = len(payload) > size_of(szx)
        self._offset = 0
        self._body = bytearray()
        self._first: Message | None = None
        self._observe: bytes | None = None
        self._attempts = 0
        self._echoed = False
        self._restarted = False
        # The options of the answer that goes without saying: the peer has the block that was sent last.
        self._awaited: Options | None = None
        # What stands before and behind the value of Block1, for options and a length of that value.
        self._frame = (b"", b"")
        self._frame_of: tuple[Options, int] | None = None

    @property
    def sent(self) -> int:
        """How many bytes of the body the peer has."""
        return self._offset

    @property
    def szx(self) -> int:
        """The size exponent of the blocks, as far as it was negotiated."""
        return self._szx

    def begin(self) -> bytes:
        """Return what follows the token of the first message, from the beginning again if something was sent."""
        self._offset = 0
        return self._out()

    def onward(self, message: Message) -> bytes | None:
        """Return the next block, if a response says that the peer has the last one and nothing else, or None."""
        if message.code != numbers.CONTINUE or message.options != self._awaited:
            return None
        self._offset += size_of(self._szx)
        return self._out()

    def take(self, message: Message, exact: bool) -> Step:
        """Take a response; `exact` says that it can only be meant for the last message, by its message ID."""
        self._awaited = None
        try:
            return self._take(message, exact)
        except ValueError:
            # The peer wants blocks so small that their numbers don't suffice.
            return Failure.BAD_RESPONSE

    def _take(self, message: Message, exact: bool) -> Step:
        code = message.code
        if code == numbers.UNAUTHORIZED and self._echoes(message):
            return self.begin() if self._first is None else self._next()
        if self._first is not None and code == numbers.REQUEST_ENTITY_INCOMPLETE:
            return self._anew(message)
        if self._first is None:
            if code == numbers.CONTINUE or (numbers.is_success(code) and self._is_more()):
                return self._continue(message, exact)
            again = self._again(message)
            if again is not None:
                return again
        value = message.get(numbers.BLOCK2)
        if value is None or not numbers.is_success(code):
            return message
        return self._collect(message, parse(value), exact)

    def _is_more(self) -> bool:
        return self._blockwise and self._offset + size_of(self._szx) < len(self._payload)

    def _out(self) -> bytes:
        """Return the block of ours at the present offset."""
        if not self._blockwise:
            return encode_body(self._options, self._payload)
        offset = self._offset
        size = size_of(self._szx)
        end = offset + size
        more = end < len(self._payload)
        number = offset // size
        value = encoded(number, more, self._szx)
        if more and number + 1 < MOST:
            self._awaited = ((numbers.BLOCK1, value),)
        if not offset:
            found = merged(self._options, (numbers.BLOCK1, value), (numbers.SIZE1, uint(len(self._payload))))
            return encode_body(found, self._payload[:size])
        if self._frame_of != (self._options, len(value)):
            self._frame_of = self._options, len(value)
            self._frame = framed(self._options, numbers.BLOCK1, len(value))
        before, behind = self._frame
        return before + value + behind + self._payload[offset:end]

    def _continue(self, message: Message, exact: bool) -> Step:
        """Go on behind a block that the peer has."""
        if not self._is_more():
            return Failure.BAD_RESPONSE
        size = size_of(self._szx)
        value = message.get(numbers.BLOCK1)
        szx = self._szx
        if value is not None:
            block = parse(value)
            if self._offset not in (block.number * size, block.offset):
                return self._once_more(exact, self._out)
            szx = min(szx, block.szx)
        elif not exact:
            return None
        self._offset += size
        self._szx = szx
        return self._out()

    def _echoes(self, message: Message) -> bool:
        """Take the Echo value of a 4.01, once; return whether there is one to repeat the request with."""
        echo = message.get(numbers.ECHO)
        if echo is None or self._echoed:
            return False
        self._echoed = True
        self._options = merged(without(self._options, (numbers.ECHO,)), (numbers.ECHO, echo))
        return True

    def _again(self, message: Message) -> bytes | None:
        """Return a beginning of another kind, if that is what the peer wants."""
        if message.code == numbers.REQUEST_ENTITY_TOO_LARGE:
            szx = _hint(message, len(self._payload))
            if 0 <= szx < self._szx:
                self._szx = szx
                self._blockwise = len(self._payload) > size_of(szx)
                return self.begin()
        elif message.code == numbers.REQUEST_ENTITY_INCOMPLETE and self._blockwise and not self._restarted:
            self._restarted = True
            return self.begin()
        return None

    def _anew(self, message: Message) -> Step:
        """Begin again, once, where the peer has lost what it was about to hand out."""
        if self._restarted or self._code not in _REPEATABLE:
            return message
        self._restarted = True
        self._first = None
        self._body.clear()
        return self.begin()

    def _collect(self, message: Message, block: Block, exact: bool) -> Step:
        """Take a block of the response."""
        if self._first is None and block.number == 0 and not block.more:
            return message
        if block.offset != len(self._body) or (block.more and len(message.payload) != block.size):
            return self._once_more(exact, self._next)
        if self._first is not None and message.get(numbers.ETAG) != self._first.get(numbers.ETAG):
            self._body.clear()
            if self._code not in _REPEATABLE:
                return Failure.BAD_RESPONSE
            if block.offset:
                return self._once_more(True, self._next)
            self._first = None
        if len(self._body) + len(message.payload) > self._limit or _announced(message) > self._limit:
            return Failure.BAD_RESPONSE
        if self._first is None:
            self._first = message
            if self._observe is None:
                self._observe = message.get(numbers.OBSERVE)
        self._body += message.payload
        self._szx = min(self._szx, block.szx)
        return self._next() if block.more else self._whole(message, self._first)

    def _next(self) -> bytes:
        """Return the request for the block at the end of what has come."""
        size = size_of(self._szx)
        asked = (numbers.BLOCK2, Block(len(self._body) // size, False, self._szx).encode())
        # With all other options, Content-Format too: some servers find the body by them.
        found = merged(without(self._options, _ASKED_ONCE), asked)
        return encode_body(found, self._payload if self._code == numbers.FETCH and not self._blockwise else b"")

    def _once_more(self, exact: bool, step: Callable[[], bytes]) -> Step:
        """Repeat the last message, a few times; what is late is none of our business."""
        if not exact:
            return None
        self._attempts += 1
        return step() if self._attempts <= _ATTEMPTS else Failure.BAD_RESPONSE

    def _whole(self, message: Message, first: Message) -> Message:
        found = without(first.options)
        if self._observe is not None and first.observe is None:
            # It began as a notification, whatever was asked for anew since.
            found = merged(found, (numbers.OBSERVE, self._observe))
        return Message(numbers.NON, first.code, message.mid, first.token, found, bytes(self._body))


def _hint(message: Message, size: int) -> int:
    """Return the size exponent that a 4.13 asks for, -1 if it asks for none."""
    value = message.get(numbers.BLOCK1)
    if value is not None:
        return parse(value).szx
    value = message.get(numbers.SIZE1)
    limit = 0 if value is None or len(value) > 4 else int.from_bytes(value, "big")
    return szx_for(limit) if limit < size else MAX_SZX


def _announced(message: Message) -> int:
    value = message.get(numbers.SIZE2)
    return 0 if value is None or len(value) > 4 else int.from_bytes(value, "big")
