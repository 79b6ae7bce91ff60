"""Copies of a SQLite database, and putting one in its place: plain blocking calls.

RULES: nothing here opens or closes the file of a database that is in use but SQLite itself: closing any descriptor of
it would give up the locks that SQLite holds. A copy is one file: its journal is not a write-ahead log.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import quote

_PAGES: Final = 256
"""Pages that are copied in one step: a megabyte."""
_NAP: Final = 0.005
"""Seconds that a step waits for a database that is locked for a moment."""


def scratch(path: Path) -> Path:
    """A new name beside a database."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def tidy(path: Path) -> None:
    """Remove what was left beside a database by transfers that did not end, and a name too many of the database."""
    with contextlib.suppress(OSError):
        for each in path.parent.iterdir():
            left = each.name.startswith(f".{path.name}.")
            if left or (each.name.startswith(f"{path.name}.before-") and path.exists() and each.samefile(path)):
                each.unlink()


def copy(path: Path, target: Path, progress: Callable[[int, int], None]) -> None:
    """Copy a database as it is now into a new file, while others write. What ``progress`` raises ends it."""
    os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copied,
        ):
            # What is read from here on is what is there now: without that each commit would let it begin anew.
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(copied, pages=_PAGES, progress=lambda _, left, of: progress(of - left, of), sleep=_NAP)
            copied.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def check(connection: sqlite3.Connection, scripts: Sequence[str]) -> str | None:
    """Read a whole database that has the newest schema; what is wrong with it, None if nothing is."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as pattern:
        for script in scripts:
            pattern.executescript(script)
        if _schema(connection) != _schema(pattern):
            return "has other tables than its version"
    found = str(connection.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if found == "ok" else f"damaged ({found})"


def swap(path: Path, source: Path) -> Path:
    """Put a database in the place of another, both in use by nobody; the name of the other from then on."""
    for each in (path, source):
        _unlog(each)
    aside = path.with_name(f"{path.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    _sync(source)
    os.link(path, aside)
    os.replace(source, path)
    _sync(path.parent)
    return aside


def _unlog(path: Path) -> None:
    """Bring what is in a write-ahead log into the database: a log that stays would be taken for that of another."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    if mode != "delete" or path.with_name(path.name + "-wal").exists():
        raise sqlite3.OperationalError("the write-ahead log can't be closed")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _schema(connection: sqlite3.Connection) -> set[tuple[str, ...]]:
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return set(rows.fetchall())
