"""Records of the audit log: who did what when.

RULES: records are appended and never changed; the oldest go when there are more than the operator keeps. None holds a
secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

DAEMON: Final = "lwm2md"
"""Who acts where nobody asked for it."""
CREDENTIAL_PUT: Final = "credential.put"
CREDENTIAL_REMOVED: Final = "credential.removed"
CREDENTIALS_IMPORTED: Final = "credentials.imported"
ADMITTED: Final = "refused.admitted"
DISMISSED: Final = "refused.dismissed"
REFUSALS: Final = "refused.summary"
TRACE_SECRETS: Final = "trace.secrets"
TRACE_SECRETS_READ: Final = "trace.secrets-read"
ACTIONS: Final = (
    CREDENTIAL_PUT,
    CREDENTIAL_REMOVED,
    CREDENTIALS_IMPORTED,
    ADMITTED,
    DISMISSED,
    REFUSALS,
    TRACE_SECRETS,
    TRACE_SECRETS_READ,
)


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """``by`` (a principal) did ``action`` to ``subject`` at ``time`` (Unix seconds)."""

    time: float
    by: str
    action: str
    subject: str = ""
    details: Mapping[str, object] = {}


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Record).decode


def to_row(record: Record) -> bytes:
    """The record as a row of the log."""
    return _encode(record)


def from_row(row: bytes) -> Record:
    """The record of a row. Raises msgspec.DecodeError."""
    return _decode(row)
