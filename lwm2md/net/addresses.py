"""Peers as bytes, for engines; as socket addresses, for ports; as text, for people.

Rules: a peer is a family byte (4 or 6), the local address and port, the remote address and port, and for IPv6 the
scope. What comes before the remote address is the prefix of the port it belongs to, by which answers find their way
back; a port on the wildcard address has peers with the address that was addressed in its place. Only literal addresses
are taken, and `localhost`: a daemon must not wait for a resolver.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

FAMILY_4: Final = 4
FAMILY_6: Final = 6
PREFIX_4: Final = 7
PREFIX_6: Final = 19
_LENGTH_4: Final = 13
_LENGTHS: Final = {FAMILY_4: _LENGTH_4, FAMILY_6: 41}
_REMOTE_4: Final = struct.Struct(">BBBBH")
_MAX_PORT: Final = 65535


class Endpoint(NamedTuple):
    """One end of a conversation; `scope` is the number of the interface of a link-local IPv6 address."""

    host: str
    port: int
    scope: int = 0

    def __str__(self) -> str:
        """Return `127.0.0.1:5683`, `[::1]:5683` or `[fe80::1%2]:5683`."""
        if ":" not in self.host:
            return f"{self.host}:{self.port}"
        return f"[{self.host}%{self.scope}]:{self.port}" if self.scope else f"[{self.host}]:{self.port}"


def pack(local: Endpoint, remote: Endpoint) -> bytes:
    """Return the peer `remote` of the port bound to `local`, both of one family."""
    head = prefix(local)
    if head[0] == FAMILY_4:
        return head + socket.inet_aton(remote.host) + remote.port.to_bytes(2, "big")
    address = socket.inet_pton(socket.AF_INET6, remote.host)
    return head + address + remote.port.to_bytes(2, "big") + remote.scope.to_bytes(4, "big")


def prefix(local: Endpoint) -> bytes:
    """Return what all peers of the port bound to `local` begin with."""
    if ":" in local.host:
        return b"\x06" + socket.inet_pton(socket.AF_INET6, local.host) + local.port.to_bytes(2, "big")
    return b"\x04" + socket.inet_aton(local.host) + local.port.to_bytes(2, "big")


def prefix_of(peer: bytes) -> bytes:
    """Return the prefix of the port that `peer` belongs to; all that are named by a session have one port."""
    family = peer[0]
    return peer[: PREFIX_4 if family == FAMILY_4 else PREFIX_6 if family == FAMILY_6 else 1]


def wildcard(prefix: bytes) -> bytes:
    """Return the prefix of the wildcard port that has the port number of `prefix`."""
    return prefix[:1] + bytes(len(prefix) - 3) + prefix[-2:]


def unpack(peer: bytes) -> tuple[Endpoint, Endpoint]:
    """Return the local and the remote end; raise ValueError if `peer` was not made by `pack`."""
    if not peer or _LENGTHS.get(peer[0]) != len(peer):
        raise ValueError("not a packed peer")
    if peer[0] == FAMILY_4:
        return (
            Endpoint(socket.inet_ntoa(peer[1:5]), int.from_bytes(peer[5:7], "big")),
            Endpoint(socket.inet_ntoa(peer[7:11]), int.from_bytes(peer[11:13], "big")),
        )
    return (
        Endpoint(socket.inet_ntop(socket.AF_INET6, peer[1:17]), int.from_bytes(peer[17:19], "big")),
        Endpoint(
            socket.inet_ntop(socket.AF_INET6, peer[19:35]),
            int.from_bytes(peer[35:37], "big"),
            int.from_bytes(peer[37:41], "big"),
        ),
    )


def remote(peer: bytes) -> str:
    """Return the remote end of `peer` as text; raise ValueError if `peer` was not made by `pack`."""
    if len(peer) == _LENGTH_4 and peer[0] == FAMILY_4:
        a, b, c, d, port = _REMOTE_4.unpack_from(peer, PREFIX_4)
        return f"{a}.{b}.{c}.{d}:{port}"  # for each device that registers
    return str(unpack(peer)[1])


def show(peer: bytes) -> str:
    """Return the remote end of `peer` for people; never raises."""
    try:
        return remote(peer)
    except ValueError:
        return peer.hex()


def parse(text: str) -> Endpoint:
    """Return the endpoint that `127.0.0.1:5683`, `[::1]:5683`, `[fe80::1%2]:5683` or `localhost:5683` names.

    Raises ValueError with a text that says what is wrong.
    """
    host, separator, port = text.strip().rpartition(":")
    if not separator or not host:
        raise ValueError(f"{text!r} is no address and port such as 127.0.0.1:5683 or [::1]:5683")
    if not (port.isascii() and port.isdigit() and int(port) <= _MAX_PORT):
        raise ValueError(f"{port!r} is no port number from 0 to 65535")
    number = int(port)
    if host == "localhost":
        return Endpoint("127.0.0.1", number)
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise ValueError(f"{host!r} is no IP address (names are not looked up)") from None
    if bracketed != isinstance(address, IPv6Address):
        raise ValueError(f"{text!r}: IPv6 addresses, and only they, stand in brackets, as in [::1]:5683")
    if not isinstance(address, IPv6Address):
        return Endpoint(str(address), number)
    return Endpoint(str(address).partition("%")[0], number, interface(address.scope_id) if address.scope_id else 0)


def interface(name: str) -> int:
    """Return the number of the network interface that a zone, a name or a number, means; raise ValueError if none."""
    if name.isascii() and name.isdigit() and int(name) < 1 << 32:
        return int(name)
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise ValueError(f"{name!r} is no network interface") from None
