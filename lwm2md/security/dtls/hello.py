"""Hellos: what a client asks for and a server chose, and the cookie between them (RFC 5246 section 7.4.1, RFC 6347
section 4.2.1).

RULES: a ClientHello without a valid cookie costs one parse, one HMAC and an answer that is not larger; nothing of it is
kept, and OpenSSL hears nothing of it. A cookie vouches for the address and for what the client may not change between
its two hellos; it is good for one to two periods. A ClientHello in several fragments is not taken: nothing is kept for
its rest. Extensions are read as RFC 9146 (54), RFC 6066 (0) and RFC 7627 (23) say; others are OpenSSL's.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from lwm2md.security.dtls.handshake import CLIENT_HELLO, HELLO_VERIFY_REQUEST, Message, fragments
from lwm2md.security.dtls.records import DTLS_1_0, HANDSHAKE, number, plain, split

COOKIE_LENGTH: Final = 20
_SECRET_LENGTH: Final = 32
_RANDOM_LENGTH: Final = 32
_NAME: Final = 0
_EXTENDED_MASTER_SECRET: Final = 23
CONNECTION_ID: Final = 54


@attrs.frozen(slots=True)
class ClientHello:
    """What a client asks for. ``number`` is that of its record, which an answer takes over.

    ``cid`` is the Connection ID it wants in what we send: None if it does not offer any, empty if it wants none itself.
    ``vouched`` is what must be the same in both hellos.
    """

    number: int
    version: bytes
    random: bytes
    session_id: bytes
    cookie: bytes
    suites: tuple[int, ...]
    vouched: bytes
    cid: bytes | None
    server_name: str
    extended_master_secret: bool


@attrs.frozen(slots=True)
class ServerHello:
    """What a server chose."""

    version: bytes
    random: bytes
    session_id: bytes
    suite: int
    cid: bytes | None
    extended_master_secret: bool


class _MalformedError(Exception):
    """Bytes that are no hello."""


class _Reader:
    """Reads bytes from the front; raises _MalformedError where they end too early."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at(self) -> int:
        return self._at

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        start = self._at
        self._at = end = start + size
        if end > len(self._data):
            raise _MalformedError
        return self._data[start:end]

    def vector(self, width: int) -> bytes:
        return self.take(int.from_bytes(self.take(width), "big"))


def client_hello(datagram: bytes) -> ClientHello | None:
    """Return the ClientHello that a datagram begins with; None if it is none, is malformed or in several fragments."""
    records, _ = split(datagram)
    if not records or records[0][0] != HANDSHAKE or number(records[0]) >> 48:
        return None
    record = records[0]
    found = fragments(record)
    if not found or found[0].kind != CLIENT_HELLO or len(found[0].body) != found[0].length:
        return None
    try:
        return _client_hello(number(record), found[0].body)
    except _MalformedError:
        return None


def _client_hello(numbered: int, body: bytes) -> ClientHello:
    reader = _Reader(body)
    version, random, session_id = reader.take(2), reader.take(_RANDOM_LENGTH), reader.vector(1)
    before = reader.at
    cookie = reader.vector(1)
    behind = reader.at
    suites = reader.vector(2)
    reader.vector(1)
    vouched = body[:before] + body[behind : reader.at]
    extensions = dict(_extensions(reader))
    if len(session_id) > _RANDOM_LENGTH or len(suites) % 2:
        raise _MalformedError
    return ClientHello(
        numbered,
        version,
        random,
        session_id,
        cookie,
        tuple(int.from_bytes(suites[at : at + 2], "big") for at in range(0, len(suites), 2)),
        vouched,
        _cid(extensions),
        _server_name(extensions.get(_NAME, b"")),
        _EXTENDED_MASTER_SECRET in extensions,
    )


def server_hello(body: bytes) -> ServerHello | None:
    """Return what the body of a ServerHello says; None if it is malformed."""
    reader = _Reader(body)
    try:
        version, random, session_id = reader.take(2), reader.take(_RANDOM_LENGTH), reader.vector(1)
        suite = int.from_bytes(reader.take(2), "big")
        reader.take(1)
        extensions = dict(_extensions(reader))
        extended = _EXTENDED_MASTER_SECRET in extensions
        return ServerHello(version, random, session_id, suite, _cid(extensions), extended)
    except _MalformedError:
        return None


def _extensions(reader: _Reader) -> Iterator[tuple[int, bytes]]:
    """Give the extensions, which may be missing altogether."""
    if not reader.left:
        return
    inner = _Reader(reader.vector(2))
    if reader.left:
        raise _MalformedError
    while inner.left:
        yield int.from_bytes(inner.take(2), "big"), inner.vector(2)


def _cid(extensions: dict[int, bytes]) -> bytes | None:
    found = extensions.get(CONNECTION_ID)
    if found is None:
        return None
    reader = _Reader(found)
    cid = reader.vector(1)
    if reader.left:
        raise _MalformedError
    return cid


def _server_name(extension: bytes) -> str:
    """Return the host name of a server_name extension, "" if there is none that can be read."""
    try:
        reader = _Reader(_Reader(extension).vector(2))
        while reader.left:
            kind, name = reader.take(1), reader.vector(2)
            if kind == b"\0":
                return name.decode("ascii")
    except (_MalformedError, UnicodeDecodeError):
        pass
    return ""


class Cookies:
    """Makes and checks the cookies of HelloVerifyRequests. ``period`` (seconds) is how long one secret serves."""

    def __init__(self, random: Callable[[int], bytes], period: float = 60.0) -> None:
        self._random = random
        self._period = period
        self._turn = float("-inf")
        self._secret = self._before = random(_SECRET_LENGTH)

    def cookie(self, address: bytes, hello: ClientHello, now: float) -> bytes:
        """Return the cookie for a client at this address that says this hello."""
        self._rotate(now)
        return _cookie(self._secret, address, hello)

    def valid(self, address: bytes, hello: ClientHello, now: float) -> bool:
        """Return whether a hello has a cookie that was made for it."""
        if len(hello.cookie) != COOKIE_LENGTH:
            return False
        self._rotate(now)
        return hmac.compare_digest(hello.cookie, _cookie(self._secret, address, hello)) or hmac.compare_digest(
            hello.cookie, _cookie(self._before, address, hello)
        )

    def challenge(self, address: bytes, hello: ClientHello, now: float) -> bytes:
        """Return the HelloVerifyRequest, as a datagram, that answers a hello without a valid cookie."""
        cookie = self.cookie(address, hello, now)
        body = DTLS_1_0 + bytes((len(cookie),)) + cookie
        return plain(HANDSHAKE, hello.number, Message(HELLO_VERIFY_REQUEST, 0, body).hashed, DTLS_1_0)

    def _rotate(self, now: float) -> None:
        if now >= self._turn:
            # After a whole period of silence the secret before is older than a cookie may become, too.
            fresh = self._random(_SECRET_LENGTH)
            self._before = fresh if now >= self._turn + self._period else self._secret
            self._secret = fresh
            self._turn = now + self._period


def _cookie(secret: bytes, address: bytes, hello: ClientHello) -> bytes:
    return hmac.digest(secret, len(address).to_bytes(1, "big") + address + hello.vouched, "sha256")[:COOKIE_LENGTH]
