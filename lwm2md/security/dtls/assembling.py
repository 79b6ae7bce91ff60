"""ClientHellos that come in fragments, put together (RFC 6347 section 4.2.3).

RULES: RFC 6347 section 4.2.1 lets a server refuse them; devices with small datagrams send nothing else. Nothing is kept
of who has not shown where it is: a first fragment has what a cookie is made of, and gets one (`hello`). Only the first
fragment of a hello whose cookie is good opens a place for its rest, so that a rest which overtook it is lost and sent
again. There is one place for an address, so many for a source and so many at all, each with a few KB and for a few
seconds: who needs another one, loses the oldest of its own, or nobody's but the oldest of all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs

from lwm2md.security.dtls.handshake import CLIENT_HELLO, Reassembly
from lwm2md.security.dtls.hello import ClientHello
from lwm2md.security.dtls.records import HANDSHAKE, plain

LIMIT: Final = 256
OF_SOURCE: Final = 16
_PATIENCE: Final = 10.0


@attrs.define(slots=True, eq=False)
class _Place:
    """What there is of a hello: what it begins with, its source, when it began."""

    number: int
    vouched: bytes
    source: bytes
    since: float
    received: Reassembly = attrs.Factory(Reassembly)


class Assembly:
    """Places for hellos in fragments. ``source`` says what of an address is one source, as for `guards`."""

    def __init__(self, source: Callable[[bytes], bytes], *, limit: int = LIMIT, of_source: int = OF_SOURCE) -> None:
        self._source = source
        self._limit = limit
        self._of_source = of_source
        self._places: OrderedDict[bytes, _Place] = OrderedDict()
        """By address, the oldest first."""

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, address: bytes) -> bool:
        return address in self._places

    def begin(self, address: bytes, datagram: bytes, hello: ClientHello, now: float) -> bytes | None:
        """Take the first fragment of a ``hello`` whose cookie is good; return as `add` does."""
        place = self._places.get(address)
        if place is None or place.vouched != hello.vouched:
            self._places.pop(address, None)
            source = self._source(address)
            self._make_room(source, now)
            self._places[address] = _Place(hello.number, hello.vouched, source, now)
        return self.add(address, datagram, now)

    def add(self, address: bytes, datagram: bytes, now: float) -> bytes | None:
        """Take a datagram with fragments. Return the whole hello as one datagram, once it is there."""
        place = self._places.get(address)
        if place is None or now >= place.since + _PATIENCE:
            return None
        place.received.add(datagram)
        message = next((each for each in place.received.messages() if each.kind == CLIENT_HELLO), None)
        if message is None:
            return None
        del self._places[address]
        return plain(HANDSHAKE, place.number, message.hashed)

    def _make_room(self, source: bytes, now: float) -> None:
        places = self._places
        while places and next(iter(places.values())).since + _PATIENCE <= now:
            places.popitem(last=False)
        own = [address for address, place in places.items() if place.source == source]
        if len(own) >= self._of_source:
            del places[own[0]]
        elif len(places) >= self._limit:
            places.popitem(last=False)
