"""Hellos: what a client asks for and a server chose, and the cookie between them (RFC 5246 section 7.4.1, RFC 6347
section 4.2.1).

RULES: a ClientHello without a valid cookie costs one parse, one hash and an answer that is not larger; nothing of it is
kept, and OpenSSL hears nothing of it. A cookie vouches for the address and for what the client may not change between
its two hellos; it is good for one to two periods. Of a ClientHello in several fragments the first has to have all that:
then it is answered, or known to be good, without its rest (`assembling`). Extensions are read as RFC 9146 (54) and RFC
7627 (23) say, and only of who has shown where it is; others are OpenSSL's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from hashlib import blake2s
from hmac import compare_digest
from typing import Final, NamedTuple

from lwm2md.security.dtls.handshake import CLIENT_HELLO, HEAD, HELLO_VERIFY_REQUEST, Message, fragment_head
from lwm2md.security.dtls.records import DTLS_1_0, HANDSHAKE, HEADER, plain, span

COOKIE_LENGTH: Final = 20
ROOT_LENGTH: Final = 32
_RANDOM_LENGTH: Final = 32
_SESSION_ID: Final = 2 + _RANDOM_LENGTH
"""Where it begins, with its length, behind the version and the random."""
_EXTENDED_MASTER_SECRET: Final = 23
CONNECTION_ID: Final = 54
_CONNECTION_ID: Final = CONNECTION_ID.to_bytes(2, "big")
_NO_COOKIE: Final = DTLS_1_0 + bytes((COOKIE_LENGTH,)) + bytes(COOKIE_LENGTH)
_VERIFY: Final = Message(HELLO_VERIFY_REQUEST, 0, _NO_COOKIE).hashed[:-COOKIE_LENGTH]
"""What every HelloVerifyRequest begins with: all but the cookie."""
_two_shorts: Final = struct.Struct(">HH").unpack_from


class Offer(NamedTuple):
    """What a client can do: its cipher suites, and the Connection ID that it wants in what we send: None if it does not
    offer any, empty if it wants none itself.
    """

    suites: tuple[int, ...]
    cid: bytes | None


class ClientHello(NamedTuple):
    """What a client asks for, as far as it has to be known before it has shown where it is. ``number`` is that of its
    record, which an answer takes over. ``vouched`` is what must be the same in both hellos. Only where it is ``whole``
    does `offer` tell anything.
    """

    number: int
    cookie: bytes
    vouched: bytes
    whole: bool
    body: bytes
    cookie_end: int
    compression_end: int

    def offer(self) -> Offer | None:
        """Return what the client can do; None if that is malformed."""
        body = self.body
        start = self.cookie_end + 2
        count = (body[start - 2] << 8 | body[start - 1]) // 2
        suites = struct.unpack_from(f">{count}H", body, start)
        if body.find(_CONNECTION_ID, self.compression_end) < 0:
            return Offer(suites, None)
        try:
            return Offer(suites, _cid(_extensions(body, self.compression_end).get(CONNECTION_ID)))
        except _MalformedError:
            return None


class ServerHello(NamedTuple):
    """What a server chose."""

    random: bytes
    suite: int
    cid: bytes | None
    extended_master_secret: bool


class _MalformedError(Exception):
    """Bytes that are no hello."""


def client_hello(datagram: bytes) -> ClientHello | None:
    """Return the ClientHello that a datagram begins with, or the first fragment of one; None if it is none."""
    limit = span(datagram)
    if limit < HEADER + HEAD or datagram[0] != HANDSHAKE or datagram[3:5] != b"\0\0":
        return None
    kind, length, _, offset, size = fragment_head(datagram, HEADER)
    if kind != CLIENT_HELLO or offset or size > length or HEADER + HEAD + size > limit:
        return None
    body = datagram[HEADER + HEAD : HEADER + HEAD + size]
    try:
        session_end = _SESSION_ID + 1 + body[_SESSION_ID]
        cookie_end = session_end + 1 + body[session_end]
        suites_end = cookie_end + 2 + (body[cookie_end] << 8 | body[cookie_end + 1])
        compression_end = suites_end + 1 + body[suites_end]
    except IndexError:
        return None
    if compression_end > len(body) or session_end > _SESSION_ID + 1 + _RANDOM_LENGTH or (suites_end - cookie_end) % 2:
        return None
    return ClientHello(
        int.from_bytes(datagram[5:11], "big"),
        body[session_end + 1 : cookie_end],
        body[:session_end] + body[cookie_end:compression_end],
        size == length,
        body,
        cookie_end,
        compression_end,
    )


def server_hello(body: bytes) -> ServerHello | None:
    """Return what the body of a ServerHello says; None if it is malformed."""
    try:
        session_end = _SESSION_ID + 1 + body[_SESSION_ID]
        suite = body[session_end] << 8 | body[session_end + 1]
        found = _extensions(body, session_end + 3)
        return ServerHello(body[2:_SESSION_ID], suite, _cid(found.get(CONNECTION_ID)), _EXTENDED_MASTER_SECRET in found)
    except (IndexError, _MalformedError):
        return None


def _extensions(data: bytes, at: int) -> dict[int, bytes]:
    """Return the extensions that are all the rest of a hello, unless there are none. Raises _MalformedError."""
    found: dict[int, bytes] = {}
    size = len(data)
    if at == size:
        return found
    if at + 2 > size or at + 2 + (data[at] << 8 | data[at + 1]) != size:
        raise _MalformedError
    at += 2
    while at + 4 <= size:
        kind, length = _two_shorts(data, at)
        end = at + 4 + length
        if end > size:
            raise _MalformedError
        found[kind] = data[at + 4 : end]
        at = end
    if at != size:
        raise _MalformedError
    return found


def _cid(extension: bytes | None) -> bytes | None:
    if extension is None:
        return None
    if not extension or extension[0] != len(extension) - 1:
        raise _MalformedError
    return extension[1:]


class Cookies:
    """Makes and checks the cookies of HelloVerifyRequests. ``period`` (seconds) is how long one secret serves.

    All secrets follow from one, the ``root``: who keeps it knows the cookies of a life before, so that a client need
    not wait for the end of a handshake that nobody else has begun.
    """

    def __init__(self, random: Callable[[int], bytes], period: float = 60.0) -> None:
        self.root = random(ROOT_LENGTH)
        self._period = period
        self._turn = -1
        self._secret = self._before = self._drawn(0)

    def keep(self, root: bytes) -> None:
        """Have the secrets that follow from this."""
        self.root, self._turn = root, -1

    def cookie(self, address: bytes, hello: ClientHello, now: float) -> bytes:
        """Return the cookie for a client at this address that says this hello."""
        self._rotate(now)
        return _cookie(self._secret, address, hello)

    def valid(self, address: bytes, hello: ClientHello, now: float) -> bool:
        """Return whether a hello has a cookie that was made for it."""
        if len(hello.cookie) != COOKIE_LENGTH:
            return False
        self._rotate(now)
        return compare_digest(hello.cookie, _cookie(self._secret, address, hello)) or compare_digest(
            hello.cookie, _cookie(self._before, address, hello)
        )

    def challenge(self, address: bytes, hello: ClientHello, now: float) -> bytes:
        """Return the HelloVerifyRequest, as a datagram, that answers a hello without a valid cookie."""
        return plain(HANDSHAKE, hello.number, _VERIFY + self.cookie(address, hello, now), DTLS_1_0)

    def _rotate(self, now: float) -> None:
        turn = int(now // self._period)
        if turn != self._turn:
            self._secret, self._before, self._turn = self._drawn(turn), self._drawn(turn - 1), turn

    def _drawn(self, turn: int) -> blake2s:
        return blake2s(key=blake2s(b"%d" % turn, key=self.root).digest(), digest_size=COOKIE_LENGTH)


def _cookie(secret: blake2s, address: bytes, hello: ClientHello) -> bytes:
    # With a key it is a MAC by itself (RFC 7693 section 2.9), and takes half the time of an HMAC.
    work = secret.copy()
    work.update(bytes((len(address),)) + address + hello.vouched)
    return work.digest()
