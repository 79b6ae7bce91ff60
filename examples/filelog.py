"""An example plugin: a storage, ``[storage] url = filelog:PATH``: everything in memory, every change in one file.

It shows what a storage plugin has to be; for a fleet take the daemon's own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail

from lwm2md import hookimpl
from lwm2md.plugins import BadValue, StorageBackend
from lwm2md.storage.interface import Append, Batch, StorageError, Write
from lwm2md.storage.memory import MemoryStorage

API_VERSION = 1
T = TypeVar("T")


class Record(msgspec.Struct):
    """One batch as it stands in the file."""

    writes: list[Write]
    appends: list[Append]
    samples: list[tuple[str, str, int, bytes]]
    dropped: list[str]
    trims: list[tuple[str, int]] = []


class FileLog(MemoryStorage):
    """A `MemoryStorage` that reads its file when it is opened, and appends each batch to it before it answers."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file: BinaryIO | None = None

    def open(self) -> Deferred[None]:
        """Read what there is, up to a batch that was not written whole."""
        opened = super().open()
        try:
            known = self._path.read_bytes() if self._path.exists() else b""
            whole = 0
            while len(known) >= whole + 4 and len(known) >= (end := whole + 4 + _size(known, whole)):
                found = msgspec.msgpack.decode(known[whole + 4 : end], type=Record)
                super().commit(Batch(found.writes, found.appends, (), found.samples, found.dropped))
                for log, keep in found.trims:
                    super().trim(log, keep)
                whole = end
            self._file = self._path.open("ab")
            self._file.truncate(whole)
        except (OSError, msgspec.DecodeError) as error:
            return fail(StorageError(f"{self._path}: {error}"))
        return opened

    def commit(self, batch: Batch) -> Deferred[bool]:
        """Write a batch, and sync it."""
        return super().commit(batch).addCallback(self._append, batch)

    def trim(self, log: str, keep: int) -> Deferred[str]:
        """Trim, and say so in the file."""
        return super().trim(log, keep).addCallback(self._write, Record([], [], [], [], [(log, keep)]))

    def close(self) -> Deferred[None]:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        return super().close()

    def _append(self, taken: bool, batch: Batch) -> bool:
        if taken:
            self._write(
                taken, Record(list(batch.writes), list(batch.appends), list(batch.samples), list(batch.dropped))
            )
        return taken

    def _write(self, answer: T, record: Record) -> T:
        if self._file is not None:
            data = msgspec.msgpack.encode(record)
            self._file.write(len(data).to_bytes(4, "big") + data)
            self._file.flush()
            os.fsync(self._file.fileno())
        return answer


def _size(known: bytes, place: int) -> int:
    return int.from_bytes(known[place : place + 4], "big")


def _check(url: str) -> None:
    if not url.partition(":")[2]:
        raise BadValue("filelog:PATH")


def _make(url: str, state: Path, reactor: Any) -> FileLog:
    return FileLog(state / url.partition(":")[2])


@hookimpl
def lwm2md_storage_backends() -> Sequence[StorageBackend]:
    """The scheme ``filelog``."""
    return [StorageBackend("filelog", _make, _check)]
