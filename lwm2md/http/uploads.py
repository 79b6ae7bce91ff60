"""Bodies that go to a file as they come, however large they are.

RULES: what goes wrong with the file is told when the body is complete. A file that nobody takes over is removed.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from lwm2md.http.problems import storage_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from lwm2md.http.node import Node

ANY_SIZE: Final = 1 << 62


class FileBody:
    """A body that goes to a file; ``place`` names it, and raises `Problem` where nothing is to be sent."""

    __slots__ = ("place",)

    def __init__(self, place: Callable[[Node], Path]) -> None:
        self.place = place

    def decode(self, data: bytes) -> None:
        """Nothing: what came is in the file."""


class Upload:
    """A file that is being sent. What is written goes to the memory of the system, and seldom waits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None
        self._error: str | None = None
        try:
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        except OSError as error:
            self._error = str(error.strerror)

    def write(self, data: bytes) -> None:
        """Take a part of the body."""
        if self._file is not None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = str(error.strerror)
                self.discard()

    def take(self) -> Path:
        """Take the complete file over. Raises Problem."""
        try:
            if self._file is not None:
                self._file.close()
        except OSError as error:
            self._error = str(error.strerror)
        if self._error is not None:
            self.discard()
            raise storage_failed(f"{self.path}: {self._error}")
        self._file = None
        return self.path

    def discard(self) -> None:
        """Remove what nobody has taken over."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what it still holds has no room either
                file.close()
            self.path.unlink(missing_ok=True)
