"""Credentials: what proves an identity, and what whoever proves it may be.

RULES: a key is in no text that these objects give of themselves. An identity is one to `LONGEST` bytes of UTF-8 without
control characters; one that begins with ``x509:`` stands for certificates (see `Identity.names`), one that begins with
``nosec:`` for the leave to register without security. While a rotation overlaps a PSK identity has several keys, the
newest first; a key whose time is over is none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, Protocol

import msgspec

from lwm2md.security.identity import HASH, SAN, SERIAL, X509

Scope = Literal["registration", "bootstrap"]
Kind = Literal["psk", "x509", "nosec"]

NOSEC: Final = "nosec:"
"""What the name of a leave begins with to register as the endpoint behind it without security."""
LONGEST: Final = 255
"""Bytes of an identity at most."""
SHORTEST_KEY: Final = 8
LONGEST_KEY: Final = 64
"""Bytes of a key."""
MOST_KEYS: Final = 4
"""Keys of one identity at once."""
_UNFIT: Final = re.compile("[\x00-\x1f\ud800-\udfff]")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})+", re.ASCII)
_NAMES: Final = re.compile(r"(?:sha256:[0-9a-f]{64}|serial:[0-9a-f]+@.+|san:.+|(?!sha256:|serial:|san:).+)", re.DOTALL)


class BadCredential(ValueError):  # noqa: N818  the word of the API's `bad-credential`
    """A credential that can't be: ``field`` is wrong, for the reason that the text says; no text holds a key."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


class Keys(Protocol):
    """The keys of PSK identities, for handshakes of one scope."""

    def psk(self, identity: bytes, then: Callable[[Sequence[bytes]], None]) -> None:
        """Call ``then``, at once or later on the reactor's thread, with the keys, newest first; none if unknown.

        Asking for an identity that there is takes the same way as for one that there is not.
        """
        ...

    def decoy(self, identity: bytes) -> bytes:
        """The key that an unknown identity is tried with, so that it fails as a wrong key does."""
        ...


class Key(msgspec.Struct, frozen=True):
    """A pre-shared key, and until when it is valid (Unix seconds; None: for good)."""

    value: bytes
    until: float | None = None

    def __repr__(self) -> str:
        """The key without its value."""
        return f"Key(***, until={self.until})"


class Credential(msgspec.Struct, frozen=True, omit_defaults=True):
    """One identity. ``endpoints`` are globs of what it may register as; without any the usual rules say.

    A ``blocked`` one is known and refused. ``labels`` go to the devices that register with it. Times are Unix seconds.
    """

    identity: str
    type: Kind
    scope: Scope = "registration"
    endpoints: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    labels: Mapping[str, str] = {}
    note: str = ""
    blocked: bool = False
    created: float = 0.0
    changed: float = 0.0

    def valid(self, now: float) -> tuple[bytes, ...]:
        """The keys that are valid now, the newest first; none of a blocked one."""
        if self.blocked:
            return ()
        return tuple([key.value for key in self.keys if key.until is None or now < key.until])


_decode: Final = msgspec.msgpack.Decoder(Credential).decode
_encode: Final = msgspec.msgpack.Encoder().encode


def to_row(credential: Credential) -> bytes:
    """The credential as bytes that are still to be sealed."""
    return _encode(credential)


def from_row(row: bytes) -> Credential:
    """The credential of such bytes. Raises msgspec.DecodeError."""
    return _decode(row)


def checked_identity(text: str, kind: Kind) -> str:
    """The identity, if it can be one of a credential of this kind. Raises BadCredential."""
    if not text or _UNFIT.search(text) or len(text.encode()) > LONGEST:
        raise BadCredential("identity", f"1 to {LONGEST} bytes of UTF-8 without control characters are expected")
    if kind_of(text) != kind:
        if kind == "psk":
            raise BadCredential("identity", f"what begins with {X509} or {NOSEC} is no PSK identity")
        raise BadCredential("identity", f"the identity of type {kind} begins with {kind}:")
    if kind == "x509" and not _NAMES.fullmatch(text[len(X509) :]):
        forms = f"{X509}COMMON-NAME, {X509}{SAN}NAME, {X509}{SERIAL}HEX@ISSUER and {X509}{HASH}HEX"
        raise BadCredential("identity", f"{forms} are expected, HEX in small letters")
    return text


def kind_of(identity: str) -> Kind:
    """What kind of credential an identity stands for."""
    if identity.startswith(X509):
        return "x509"
    return "nosec" if identity.startswith(NOSEC) else "psk"


def key_of(text: str) -> bytes:
    """The key that is written in hex. Raises BadCredential, which says nothing of what was written."""
    if not _HEX.fullmatch(text) or not SHORTEST_KEY <= len(text) // 2 <= LONGEST_KEY:
        raise BadCredential("key", f"{SHORTEST_KEY} to {LONGEST_KEY} bytes in hex are expected")
    return bytes.fromhex(text)


def rotated(before: Sequence[Key], key: bytes, overlap: float, now: float) -> tuple[Key, ...]:
    """The keys after a new one: those before stay valid for ``overlap`` seconds, and never longer than they were."""
    if not overlap:
        return (Key(key),)
    until = now + overlap
    kept = [
        Key(each.value, until if each.until is None else min(each.until, until))
        for each in before
        if each.value != key and (each.until is None or each.until > now)
    ]
    return (Key(key), *kept[: MOST_KEYS - 1])
