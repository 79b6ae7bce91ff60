"""Which datagrams belong to a device or to a range of addresses, and which hold a secret.

RULES: a datagram belongs to a device when it comes from or goes to the peer of its registration, or to the peer whose
request named the device last: a Register or bootstrap request by its ``ep``, an Update or De-register by the
registration. So a trace follows a device to a new address, and shows who else takes its name. Devices behind one
address can't be told apart. Payloads to and from Security, OSCORE and COSE objects (0, 21, 23) are secrets.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network
from typing import Final, Protocol

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.message import FormatError, decode
from lwm2md.net.addresses import FAMILY_4, PREFIX_4, PREFIX_6
from lwm2md.server.records import Registration
from lwm2md.tracing.ring import Name, Seen

Find = Callable[[str], Registration | None]
"""Finds the live registration of an Endpoint Client Name."""

Identify = Callable[[bytes], str | None]
"""Gives the identity that a peer has proved, None on plain CoAP."""

Locate = Callable[[bytes], bytes]
"""Gives the address where a peer is that is named by its session; empty for others, and if it is not known."""

_SECRET: Final = frozenset({"0", "21", "23"})
_MOST_TOKENS: Final = 1024
_NAMING: Final = (("rd",), ("bs",))


class Wanted(Protocol):
    """What a trace records."""

    def wants(self, data: bytes, peer: bytes, incoming: bool) -> bool:
        """Tell whether this datagram is to be recorded."""

    def concerns(self, address: bytes, identity: str) -> bool:
        """Tell whether what is told of a handshake is to be recorded."""


class ByEndpoint:
    """The datagrams of one device, whatever its address is at the moment."""

    __slots__ = ("_endpoint", "_find", "_mark", "_named")

    def __init__(self, endpoint: str, find: Find) -> None:
        self._endpoint = endpoint
        self._find = find
        self._mark = b"ep=" + endpoint.encode("utf-8", "replace")
        self._named: bytes | None = None

    def wants(self, data: bytes, peer: bytes, incoming: bool) -> bool:
        """Tell whether this datagram is the device's."""
        registration = self._find(self._endpoint)
        key = None if registration is None else registration.id
        marked = incoming and (self._mark in data or (key is not None and key.encode() in data))
        if marked and names(data, self._endpoint, key):
            self._named = peer
            return True
        return peer == self._named or (registration is not None and peer == registration.peer)

    def concerns(self, address: bytes, identity: str) -> bool:
        """Tell whether a handshake is the device's, by the registration's identity, or the endpoint's name."""
        registration = self._find(self._endpoint)
        known = self._endpoint if registration is None else registration.identity
        return bool(identity) and identity == known

    def name(self) -> Name:
        """Return how the ring finds the device."""
        registration = self._find(self._endpoint)
        key = None if registration is None else registration.id
        marks = (self._mark,) if key is None else (self._mark, key.encode())
        peer = None if registration is None else registration.peer
        return Name(peer, marks, lambda data: names(data, self._endpoint, key))


class ByIdentity:
    """The datagrams of every peer that has proved an identity, such as that of a key or certificate."""

    __slots__ = ("_identify", "_identity")

    def __init__(self, identity: str, identify: Identify) -> None:
        self._identity = identity
        self._identify = identify

    def wants(self, data: bytes, peer: bytes, incoming: bool) -> bool:
        """Tell whether the peer has that identity."""
        return self._identify(peer) == self._identity

    def concerns(self, address: bytes, identity: str) -> bool:
        """Tell whether it is that identity that shakes hands."""
        return identity == self._identity


class ByNetwork:
    """The datagrams from and to the addresses of a network; raises ValueError for what is no address or prefix."""

    __slots__ = ("_end", "_family", "_locate", "_mask", "_network", "_start", "text")

    def __init__(self, text: str, locate: Locate = lambda _peer: b"") -> None:
        network = ip_network(text.strip(), strict=False)
        self.text = str(network)
        self._locate = locate
        self._family = network.version
        self._start = PREFIX_4 if self._family == FAMILY_4 else PREFIX_6
        self._end = self._start + network.max_prefixlen // 8
        self._mask = int(network.netmask)
        self._network = int(network.network_address)

    def wants(self, data: bytes, peer: bytes, incoming: bool) -> bool:
        """Tell whether the peer is in the network."""
        return self.concerns(self._locate(peer) or peer, "")

    def concerns(self, address: bytes, identity: str) -> bool:
        """Tell whether the address is in the network."""
        if address[0] != self._family:
            return False
        return int.from_bytes(address[self._start : self._end], "big") & self._mask == self._network


def names(data: bytes, endpoint: str, registration_id: str | None) -> bool:
    """Tell whether a datagram is a request in which a device says that it is ``endpoint``."""
    try:
        message = decode(data)
    except FormatError:
        return False
    path = message.path
    if not n.is_request(message.code) or path[:1] not in _NAMING:
        return False
    if len(path) == 1:
        return f"ep={endpoint}" in message.query
    return len(path) == 2 and path[1] == registration_id


class Secrets:
    """Finds what must not be shown: payloads of requests for secret Objects, and of their answers.

    Datagrams have to come in their order, because an answer is known by the token of its request only.
    """

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        self._tokens: dict[tuple[bytes, bytes], None] = {}

    def without(self, seen: Seen) -> Seen:
        """Return the datagram, its payload overwritten where it is a secret."""
        try:
            message = decode(seen.data)
        except FormatError:
            return seen
        key = (seen.peer, message.token)
        if n.is_request(message.code):
            secret = _first_number(message.path) in _SECRET
            if secret:
                self._remember(key)
            else:
                self._tokens.pop(key, None)
        else:
            secret = key in self._tokens and n.is_response(message.code)
        if not secret or not message.payload:
            return seen
        size = len(message.payload)
        return attrs.evolve(seen, data=seen.data[:-size] + bytes(size), hidden=True)

    def _remember(self, key: tuple[bytes, bytes]) -> None:
        self._tokens[key] = None
        if len(self._tokens) > _MOST_TOKENS:
            del self._tokens[next(iter(self._tokens))]


def _first_number(path: tuple[str, ...]) -> str | None:
    """The Object of a path, which may stand below an alternate root."""
    return next((segment for segment in path if segment.isdecimal()), None)
