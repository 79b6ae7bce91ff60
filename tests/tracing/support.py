"""Peers, messages and registrations for the tests of tracing."""

from __future__ import annotations

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, Options, encode, options
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.server.records import Registration

LOCAL = Endpoint("192.0.2.9", 5683)
ID = "mfrggzdfmztwq2lk"


def peer(host: str = "192.0.2.1", port: int = 1000) -> bytes:
    """A peer of the local port."""
    local = Endpoint("2001:db8::9", 5683) if ":" in host else LOCAL
    return pack(local, Endpoint(host, port))


def request(code: int, *path: str, token: bytes = b"", query: tuple[str, ...] = (), body: bytes = b"") -> bytes:
    """A Confirmable request."""
    return encode(Message(n.CON, code, 1, token, options(path=path, query=query), body))


def answer(code: int, *, mid: int = 1, token: bytes = b"", given: Options = (), body: bytes = b"") -> bytes:
    """A piggy-backed response."""
    return encode(Message(n.ACK, code, mid, token, given, body))


def register(endpoint: str) -> bytes:
    """A Register request."""
    return request(n.POST, "rd", query=(f"ep={endpoint}", "lt=60"), body=b"</1/0>")


def update(registration_id: str = ID) -> bytes:
    """An Update."""
    return request(n.POST, "rd", registration_id)


def registration(endpoint: str, at: bytes, registration_id: str = ID) -> Registration:
    """A live registration."""
    return Registration(
        id=registration_id,
        endpoint=endpoint,
        peer=at,
        transport="coap",
        identity=None,
        version="1.1",
        lifetime=60,
        binding="U",
        queue_mode=False,
        sms=None,
        objects=ObjectList("/", (), (), {}, ()),
        labels={},
        registered_at=0.0,
        updated_at=0.0,
    )
