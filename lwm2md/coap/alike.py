"""Requests that are alike but for one argument of their query, such as a name: one is decoded for all.

Rules: options have one encoding each (RFC 7252 3.1). So what comes before the argument says how long it is, and with
what follows it says all else: options, payload, and that `request_fault` has nothing to object to. There are so many
shapes at most, of so many bytes; when there are more, the oldest is forgotten.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Shape
from lwm2md.coap.message import Message, encode_body
from lwm2md.coap.options import request_fault

_MOST: Final = 1024
_LONGEST: Final = 2048


class Alike:
    """The shapes of requests that came lately; ``start`` is how the argument begins that tells them apart."""

    __slots__ = ("_lengths", "_shapes", "_start")

    def __init__(self, start: bytes) -> None:
        self._start = start
        self._lengths: dict[bytes, int] = {}
        self._shapes: dict[tuple[bytes, bytes], Shape] = {}

    def find(self, rest: bytes) -> tuple[Shape, bytes] | None:
        """The shape and the argument of a request, by what follows its token; None where it has to be decoded."""
        place = rest.find(self._start)
        head = rest[:place]
        length = self._lengths.get(head)
        if place < 0 or length is None:
            return None
        end = place + length
        argument = rest[place:end]
        shape = self._shapes.get((head, rest[end:]))
        return (shape, argument) if shape is not None and len(argument) == length and argument.isascii() else None

    def learn(self, rest: bytes, message: Message) -> Shape | None:
        """Remember the shape of a request that was decoded; None where it is none of these, or not fine."""
        options = message.options
        places = [place for place, option in enumerate(options) if self._is_argument(option)]
        if len(places) != 1 or len(rest) > _LONGEST or request_fault(message.code, options) is not None:
            return None
        (place,) = places
        argument = options[place][1]
        end = len(encode_body(options[: place + 1], b""))
        head, tail = rest[: end - len(argument)], rest[end:]
        if rest.find(self._start) != len(head):
            return None
        if len(self._shapes) >= _MOST:
            del self._shapes[next(iter(self._shapes))]
        if len(self._lengths) >= _MOST:
            self._lengths.clear()
        self._lengths[head] = len(argument)
        shape = self._shapes[head, tail] = Shape(options[:place], options[place + 1 :], message.payload)
        return shape

    def _is_argument(self, option: tuple[int, bytes]) -> bool:
        return option[0] == numbers.URI_QUERY and option[1].startswith(self._start)
