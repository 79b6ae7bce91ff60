"""Lists of addresses: to listen on (``host:port`` or ``[v6]:port``), or networks (``10.0.0.0/8``).

RULES: items are separated by commas or lines; hosts are IP addresses, because a daemon must not wait for a name server
before it listens; ``localhost`` is 127.0.0.1. Port 0 is any free port. An empty list is off.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from lwm2md.config.values import BadValue, Kind, split_list

_EXPECTED = "addresses like 127.0.0.1:5683 or [::1]:5683, ports 0 to 65535"
_BRACKETED = re.compile(r"\[(?P<host>[^\[\]]*)\]:(?P<port>[0-9]{1,5})", re.ASCII)
_PLAIN = re.compile(r"(?P<host>[^\[\]:]*):(?P<port>[0-9]{1,5})", re.ASCII)


class Address(NamedTuple):
    """Where to listen: an IP address without brackets, with its scope if it has one, and a port."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen() -> Kind:
    """Lists of addresses, as a tuple of ``Address``; no address twice, but for port 0."""
    return Kind("addresses", _parse, lambda value: ", ".join(map(str, value)), "IP:PORT, [IPv6]:PORT")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks() -> Kind:
    """Lists of networks; an address stands for itself."""
    return Kind("networks", _parse_networks, lambda value: ", ".join(map(str, value)), "ADDRESS or ADDRESS/BITS")


def _parse_networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ipaddress.ip_network(item) for item in split_list(text))
    except ValueError:
        raise BadValue("networks like 10.0.0.0/8 or fd00::/8, no bits set beyond the prefix") from None


def _parse(text: str) -> tuple[Address, ...]:
    found: list[Address] = []
    for item in split_list(text):
        address = _address(item)
        if address.port and address in found:
            raise BadValue(f"every address once ({address} is there twice)")
        found.append(address)
    return tuple(found)


def _address(text: str) -> Address:
    match = _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)
    if match is None or int(match["port"]) > 65535 or not text.isprintable():
        raise BadValue(_EXPECTED, _guess(text))
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"]
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise BadValue(_EXPECTED, _guess(text)) from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        raise BadValue(_EXPECTED, f"{address.ipv4_mapped}:{match['port']}")
    return Address(str(address), int(match["port"]))


def _guess(text: str) -> str | None:
    host, _, port = text.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
        return None
    if host in {"", "*"}:
        return f"0.0.0.0:{port}" if ":" in text else f"127.0.0.1:{port}"
    try:
        return f"[{ipaddress.IPv6Address(host)}]:{port}"
    except ValueError:
        return None
