"""What is at the Locations of requests: found by what follows their token, for a whole batch of datagrams at once.

RULES: a Confirmable POST whose options and payload are those bytes, as the encoder writes them, is known whole. Where
the extension was compiled it does the same, and has the processor fetch what it does not have at hand of many while it
waits for one; importing it is no I/O.
"""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Datagram
from lwm2md.coap.message import MAX_TOKEN

__all__ = ("CONFIRMABLE_POSTS", "Places", "PlainPlaces", "QuickPlaces")

V = TypeVar("V")
_HEADER: Final = 4
_TOKEN_LENGTH: Final = 0x0F
CONFIRMABLE_POSTS: Final = frozenset(bytes((0x40 | length, numbers.POST)) for length in range(MAX_TOKEN + 1))
"""The first two bytes of every Confirmable POST: those of a CoAP message of version 1 with a token of 0 to 8 bytes."""


class Places(Protocol[V]):
    """A mapping of Locations, encoded as options, to whatever is there."""

    def __len__(self) -> int:
        """How many there are."""

    def __setitem__(self, key: bytes, value: V) -> None:
        """Put something there."""

    def get(self, key: bytes) -> V | None:
        """What is there, None if nothing is."""

    def pop(self, key: bytes, default: None, /) -> V | None:
        """Forget what is there, and return it; ``default`` if nothing is."""

    def find_all(self, batch: list[Datagram]) -> list[V | None]:
        """For each datagram what is at the Location that it names, None where it is no Confirmable POST to one."""


class PlainPlaces(dict[bytes, V]):
    """The one that needs no extension."""

    def find_all(self, batch: list[Datagram]) -> list[V | None]:
        """For each datagram what is at the Location that it names, None where it is no Confirmable POST to one."""
        get = self.get
        return [
            get(data[_HEADER + (data[0] & _TOKEN_LENGTH) :]) if data[:2] in CONFIRMABLE_POSTS else None
            for data, _ in batch
        ]


try:
    from lwm2md.coap._places import Places as QuickPlaces
except ImportError:  # no compiler where it was installed
    QuickPlaces = PlainPlaces  # type: ignore[assignment, misc]
