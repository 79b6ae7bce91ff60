"""What a storage may offer beside its contract: a consistent copy of all that it holds, in one file, and the way back.

RULES: a storage that offers it has the methods of `Snapshots`; one that has them not is told so to whoever asks for a
backup. A copy is made while the storage is in use, and holds nobody up who reads or writes. The way back is all or
nothing: whatever fails, and whenever the power does, either the state before or that of the file is there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

from twisted.internet.defer import Deferred

from lwm2md.storage.interface import Storage

Progress = Callable[[int, int], None]
"""``progress(done, of)``: how far a copy is, in units of the storage; called on the reactor's thread."""


@runtime_checkable
class Snapshots(Protocol):
    """A storage that can be copied and put back. Every Deferred may fail with ``StorageError``."""

    def scratch(self) -> Path:
        """Return the name of a new file for a copy, where there is as much room as for the storage itself.

        What is left of such files is removed when the storage is opened.
        """
        ...

    def snapshot(self, target: Path, progress: Progress) -> Deferred[None]:
        """Write everything as it is at one moment into a new file. Cancelling ends it, and leaves no file."""
        ...

    def staged(self, source: Path, *, check: bool) -> Storage:
        """Return a storage on such a file, not opened yet; its ``open`` fails where it is none, or a newer one.

        It brings an older one up to date, and with ``check`` reads it whole, and fails where anything is damaged.
        """
        ...

    def swap(self, source: Path) -> Deferred[Path]:
        """Let a file that was staged be the state from the next ``open`` on, in a storage that is closed.

        Returns the name under which the state before is kept: a file of the same kind.
        """
        ...
