"""The disk and the clock below a daemon: a kill becomes a power cut, the disk is full, broken or slow, time jumps.

RULES: `shim.c` beside this is compiled when it is needed and preloaded into the daemon. It lets every write through to
the file and keeps a journal of what was there before; after a kill `cut` undoes writes that no sync followed: all, none
but the first ones, or any, sector by sector, as a disk that loses power may.
"""

from __future__ import annotations

import mmap
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import attrs

SOURCE: Final = Path(__file__).with_name("shim.c")
_SECTOR: Final = 512
_HEAD: Final = struct.Struct("<cqqqq")
_CONTROL: Final = struct.Struct("<iiiiqii")


@attrs.frozen
class Record:
    """One change of a file: ``kind`` as shim.c has them, ``size`` that of the file before."""

    kind: str
    path: str
    offset: int
    length: int
    size: int
    new: bytes
    old: bytes


class Power:
    """Faults for a daemon with its state in ``directory``/state; ``environment`` is what its process needs."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self._journal = directory / "journal"
        library, controls = directory / "shim.so", directory / "control"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"]
        subprocess.run(command, check=True)
        controls.write_bytes(bytes(mmap.PAGESIZE))
        with controls.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.environment = {
            "LD_PRELOAD": str(library),
            "TORTURE_DIRECTORY": str(self.state),
            "TORTURE_JOURNAL": str(self._journal),
            "TORTURE_CONTROL": str(controls),
        }

    def faults(
        self, *, write: int = 0, sync: int = 0, delay: float = 0.0, lies: bool = False, clock: int = 0, read: int = 0
    ) -> None:
        """Let exactly these happen from now on.

        ``write``, ``sync`` and ``read`` are the errno with which these fail, ``delay`` seconds that a sync takes;
        a disk that ``lies`` loses what it said it had synced; ``clock`` is in seconds.
        """
        _CONTROL.pack_into(self._control, 0, write, sync, int(delay * 1000), lies, clock, read, 0)

    def cut(self, random: Random) -> int:
        """Lose what was not synced, now that the process is gone; how many writes were lost or torn."""
        pending = self._pending()
        self._journal.write_bytes(b"")
        for record in reversed(pending):
            _undo(record)
        how = random.choice(["none", "first", "any", "sectors"])
        kept = random.randrange(len(pending) + 1)
        lost = 0
        for number, record in enumerate(pending):
            whole = number < kept if how == "first" else how != "none" and random.random() < 0.5
            lost += not whole
            if whole or (how == "sectors" and record.kind == "W"):
                _redo(record, None if whole else random)
        return lost

    def _pending(self) -> list[Record]:
        """The changes that no sync followed: of a file that of its content, of the directory those of its entries."""
        records = list(_records(self._journal.read_bytes()))
        synced = {record.path: number for number, record in enumerate(records) if record.kind == "S"}
        found = []
        for number, record in enumerate(records):
            by = record.path if record.kind in "WT" else str(self.state)
            if record.kind != "S" and number > synced.get(by, -1):
                found.append(record)
        return found


def _records(data: bytes) -> Iterator[Record]:
    """The records of a journal; the last one may have been cut off, and then its change was never made."""
    at = 0
    while at + _HEAD.size <= len(data):
        kind, path_length, offset, length, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        new_length = length if kind == b"W" else 0
        old_length = {
            b"W": max(0, min(length, size - offset)),
            b"T": max(0, size - length),
            b"U": size,
        }.get(kind, 0)
        end = at + path_length + new_length + old_length
        if end > len(data):
            return
        path = data[at : at + path_length].decode()
        at += path_length
        yield Record(
            kind.decode(), path, offset, length, size, data[at : at + new_length], data[end - old_length : end]
        )
        at = end


def _undo(record: Record) -> None:
    if record.kind == "C":
        Path(record.path).unlink(missing_ok=True)
    elif record.kind == "U":
        Path(record.path).write_bytes(record.old)
    elif os.path.exists(record.path):
        descriptor = os.open(record.path, os.O_RDWR)
        os.pwrite(descriptor, record.old, record.offset)
        os.ftruncate(descriptor, record.size)
        os.close(descriptor)


def _redo(record: Record, random: Random | None) -> None:
    """Make a change again, with ``random`` only some sectors of it; to a file that was lost there is none."""
    if record.kind == "C":
        Path(record.path).touch(mode=0o600)
    elif record.kind == "U":
        Path(record.path).unlink(missing_ok=True)
    elif os.path.exists(record.path):
        descriptor = os.open(record.path, os.O_RDWR)
        if record.kind == "T":
            os.ftruncate(descriptor, record.length)
        for start in range(0, record.length if record.kind == "W" else 0, _SECTOR):
            if random is None or random.random() < 0.5:
                os.pwrite(descriptor, record.new[start : start + _SECTOR], record.offset + start)
        os.close(descriptor)
