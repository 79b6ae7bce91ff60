"""Backups of a running daemon: one at a time, a consistent copy of all that its storage holds, in one file.

RULES: the storage makes the copy, beside its work. The file has no name any more when it is handed out, so that nothing
is left of it, however the daemon ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Literal

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lwm2md.storage.interface import Storage, StorageError
from lwm2md.storage.snapshots import Snapshots

BackupState = Literal["none", "copying", "done", "failed"]


class BusyError(Exception):
    """One is being made already."""


class UnsupportedError(Exception):
    """The storage can't be copied."""


@attrs.define
class Backups:
    """Makes copies of a storage. ``state`` is that of the last one, ``done`` and ``of`` in units of the storage.

    ``counters`` are for metrics, ``error`` says why the last one failed.
    """

    storage: Storage
    state: BackupState = "none"
    done: int = 0
    of: int = 0
    error: str | None = None
    counters: dict[str, int] = attrs.Factory(lambda: {"made": 0, "failed": 0})
    _copying: Deferred[None] | None = None

    def make(self) -> Deferred[BinaryIO]:
        """Copy all that there is; fires with the open file, and fails with StorageError. Cancelling gives it up.

        Raises BusyError and UnsupportedError.
        """
        source = able(self.storage)
        if self._copying is not None:
            raise BusyError("a backup is being made already")
        target = source.scratch()
        self.state, self.done, self.of, self.error = "copying", 0, 0, None
        self._copying = source.snapshot(target, self._progress)
        return self._copying.addCallbacks(self._copied, self._failed, callbackArgs=(target,))

    def stop(self) -> None:
        """Give up what is being made; for the daemon's end."""
        if self._copying is not None:
            self._copying.cancel()

    def _progress(self, done: int, of: int) -> None:
        self.done, self.of = done, of

    def _copied(self, _: None, target: Path) -> BinaryIO:
        self._copying = None
        self.state, self.done = "done", self.of
        self.counters["made"] += 1
        file = target.open("rb")
        target.unlink()
        return file

    def _failed(self, failure: Failure) -> Failure:
        self._copying = None
        self.state = "failed"
        self.error = str(failure.value) if isinstance(failure.value, StorageError) else "it was given up"
        self.counters["failed"] += 1
        return failure


def able(storage: Storage) -> Snapshots:
    """The storage, if it can be copied and put back. Raises UnsupportedError."""
    if not isinstance(storage, Snapshots):
        raise UnsupportedError(f"a {type(storage).__name__} can't be copied by the daemon: use its own tools")
    return storage
