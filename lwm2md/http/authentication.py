"""Who calls: bearer tokens (RFC 6750), compared by their SHA-256 in constant time.

RULES: authentication is always on. A token is never logged, shown or kept; only its hash is.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from lwm2md.http.problems import Problem

_LONGEST: Final = 4096
_CHALLENGE: Final = b'Bearer realm="lwm2md"'


def hash_token(token: str) -> bytes:
    """What is kept of a token: the SHA-256 of its UTF-8."""
    return hashlib.sha256(token.encode("utf-8")).digest()


def require_token(header: bytes | None, expected: bytes) -> None:
    """Return when ``Authorization`` carries the token whose hash is ``expected``; else raise `Problem`."""
    if header is None:
        raise _refused("the header Authorization: Bearer TOKEN is missing", b"")
    scheme, _, token = header.partition(b" ")
    if scheme.lower() != b"bearer":
        raise _refused("the Authorization scheme is Bearer", b"")
    token = token.strip()
    if len(token) > _LONGEST or not hmac.compare_digest(hashlib.sha256(token).digest(), expected):
        raise _refused("the token is not valid", b', error="invalid_token"')


def _refused(detail: str, more: bytes) -> Problem:
    return Problem("unauthorized", detail, headers=((b"WWW-Authenticate", _CHALLENGE + more),))
