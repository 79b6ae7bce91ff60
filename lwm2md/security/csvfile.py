"""Credentials in a file of comma-separated values: IDENTITY,KEY,ENDPOINT, and what else a first line names.

RULES: UTF-8 by RFC 4180; empty lines and those that begin with ``#`` are nothing. A first line whose first field is
``identity`` names the columns. Everything that is wrong is told, with its line; nothing that is told holds a key.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

import attrs

from lwm2md.security.credentials import BadCredential, Credential, Key, Kind, Scope, checked_identity, key_of, kind_of

COLUMNS: Final = ("identity", "key", "endpoint", "scope", "note")
_DEFAULT: Final = COLUMNS[:3]
_SCOPES: Final[dict[str, Scope]] = {"": "registration", "registration": "registration", "bootstrap": "bootstrap"}
_LONGEST_LINE: Final = 8192
_SEPARATOR: Final = "\x00"


@attrs.frozen(slots=True)
class Row:
    """One credential of a file. ``key`` is hex and never shown; ``endpoints`` are globs, between spaces in the file."""

    line: int
    identity: str
    key: str = attrs.field(repr=False)
    endpoints: tuple[str, ...] = ()
    scope: Scope = "registration"
    note: str = ""

    @property
    def type(self) -> Kind:
        """What kind of credential it is, which its identity shows."""
        return kind_of(self.identity)


class Packed:
    """Rows by identity, in as little memory as there may be: a file of a million is no reason to swap."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[str, bytes] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Packed) and self._rows == other._rows

    def __hash__(self) -> int:
        return hash(len(self._rows))

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __contains__(self, identity: object) -> bool:
        return identity in self._rows

    def add(self, row: Row) -> None:
        """Keep a row."""
        kept = (str(row.line), row.key, " ".join(row.endpoints), row.scope, row.note)
        self._rows[row.identity] = _SEPARATOR.join(kept).encode()

    def get(self, identity: str) -> Row | None:
        """The row of an identity."""
        packed = self._rows.get(identity)
        if packed is None:
            return None
        line, key, endpoints, scope, note = packed.decode().split(_SEPARATOR, 4)
        return Row(int(line), identity, key, tuple(endpoints.split()), _SCOPES[scope], note)

    def credential(self, identity: str) -> Credential | None:
        """The credential that the row of an identity stands for."""
        packed = self._rows.get(identity)
        if packed is None:
            return None
        _, key, endpoints, scope, note = packed.decode().split(_SEPARATOR, 4)
        keys = (Key(bytes.fromhex(key)),) if key else ()
        return Credential(identity, kind_of(identity), _SCOPES[scope], tuple(endpoints.split()), keys, note=note)


@attrs.frozen(slots=True)
class Fault:
    """What is wrong in a line."""

    line: int
    field: str
    text: str

    def __str__(self) -> str:
        """The fault as people read it."""
        return f"line {self.line}: {self.field}: {self.text}"


def read(text: str) -> Iterator[Row | Fault]:
    """Each line of a file as what it says, or what is wrong with it; an identity that comes twice is wrong."""
    columns: tuple[str, ...] = _DEFAULT
    seen: dict[str, int] = {}
    first = True
    for line, fields in _lines(text):
        if isinstance(fields, str):
            yield Fault(line, "line", fields)
            continue
        if first and fields[0].strip().lower() == COLUMNS[0]:
            columns = tuple(field.strip().lower() for field in fields)
            first = False
            yield from _unknown(line, columns)
            continue
        first = False
        if len(fields) > len(columns):
            yield Fault(line, "line", f"{len(fields)} fields where {', '.join(columns)} are expected")
            continue
        found = _row(line, dict(zip(columns, (field.strip() for field in fields), strict=False)))
        if isinstance(found, Row):
            before = seen.setdefault(found.identity, line)
            if before != line:
                found = Fault(line, "identity", f"is in line {before} already")
        yield found


def _lines(text: str) -> Iterator[tuple[int, list[str] | str]]:
    for number, line in enumerate(io.StringIO(text.removeprefix("\ufeff")), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if len(line) > _LONGEST_LINE or "\x00" in line:
            yield number, f"a line of at most {_LONGEST_LINE} characters, none of them NUL, is expected"
            continue
        try:
            yield number, next(csv.reader([line], strict=True))
        except csv.Error:
            yield number, "quotes don't fit"


def _unknown(line: int, columns: tuple[str, ...]) -> Iterator[Fault]:
    for column in columns:
        if column not in COLUMNS:
            yield Fault(line, "header", f"a column that is none of {', '.join(COLUMNS)}")
    if len(set(columns)) != len(columns):
        yield Fault(line, "header", "a column that is there twice")


def _row(line: int, fields: dict[str, str]) -> Row | Fault:
    try:
        identity = fields["identity"]
        kind = kind_of(identity)
        checked_identity(identity, kind)
        key = fields.get("key", "")
        if kind == "psk":
            key_of(key)
        elif key:
            raise BadCredential("key", "there is none of this kind")
        if fields.get("scope", "") not in _SCOPES:
            raise BadCredential("scope", "registration or bootstrap is expected")
    except BadCredential as error:
        return Fault(line, error.field, str(error))
    endpoints = tuple(fields.get("endpoint", "").split())
    return Row(line, identity, key, endpoints, _SCOPES[fields.get("scope", "")], fields.get("note", ""))
