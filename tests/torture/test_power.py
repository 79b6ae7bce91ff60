"""What the library below the daemon does to files: the torture's power cuts are what they say."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from random import Random
from typing import Any

from twisted.trial.unittest import TestCase

from tests.processes import directory
from tests.torture.power import Power

_FIRST = """
import os, sys, time
os.chdir(sys.argv[1])
directory = os.open(".", os.O_RDONLY)
def opened(name, flags=os.O_CREAT): return os.open(os.path.join(sys.argv[1], name), os.O_RDWR | flags, 0o600)
"""


class _Nothing(Random):
    """Chance that keeps nothing of what was not synced."""

    def choice(self, seq: Any) -> Any:
        """The first: nothing is kept."""
        return seq[0]


class PowerTests(TestCase):
    """Programs that write, sync or not, and end."""

    def setUp(self) -> None:
        self.power = Power(directory(self))
        self.power.state.mkdir()

    def run_program(self, program: str) -> str:
        """Run a program below the state directory; what it printed."""
        command = [sys.executable, "-c", _FIRST + program, str(self.power.state)]
        return subprocess.run(
            command, env={**os.environ, **self.power.environment}, check=True, capture_output=True, text=True
        ).stdout

    def kept(self) -> dict[str, bytes]:
        """The files that are there after a power cut that keeps nothing it need not."""
        self.power.cut(_Nothing())
        return {path.name: path.read_bytes() for path in self.power.state.iterdir()}

    def test_synced(self) -> None:
        """What was synced is there, what was written, overwritten, cut off or appended after it is not."""
        self.run_program(
            "a = opened('a'); os.write(a, b'x' * 3000); os.fsync(a); os.fsync(directory)\n"
            "os.pwrite(a, b'lost', 10); os.pwrite(a, b'lost', 2998); os.ftruncate(a, 100); os.write(a, b'y')"
        )
        self.assertEqual(self.kept(), {"a": b"x" * 3000})

    def test_names(self) -> None:
        """A new file is there when its directory was synced, a removed one as well until then."""
        self.run_program("a = opened('a'); os.fsync(a)")
        self.assertEqual(self.kept(), {})
        self.run_program("a = opened('a'); os.write(a, b'1'); os.fsync(a); os.fsync(directory)")
        self.assertEqual(self.kept(), {"a": b"1"})
        self.run_program("os.unlink(sys.argv[1] + '/a')")
        self.assertEqual(self.kept(), {"a": b"1"})
        self.run_program("os.unlink(sys.argv[1] + '/a'); os.fsync(directory)")
        self.assertEqual(self.kept(), {})

    def test_torn(self) -> None:
        """Of a large write that was not synced any sectors may be there, and no part of one."""
        self.run_program("a = opened('a'); os.write(a, b'-' * 8192); os.fsync(a); os.fsync(directory)")
        seen = set()
        for seed in range(30):
            self.run_program("a = opened('a'); os.pwrite(a, b'+' * 8192, 0)")
            self.power.cut(Random(seed))
            data = (self.power.state / "a").read_bytes()
            sectors = [data[at : at + 512] for at in range(0, 8192, 512)]
            self.assertLessEqual(set(sectors), {b"-" * 512, b"+" * 512})
            seen.add(len(set(sectors)))
            self.run_program("a = opened('a'); os.pwrite(a, b'-' * 8192, 0); os.fsync(a)")
        self.assertEqual(seen, {1, 2})

    def test_faults(self) -> None:
        """Writing, syncing and the clock fail as they are told to, and only that."""
        show = (
            "def tried(work):\n try: work(); print(0)\n except OSError as error: print(error.errno)\n"
            "a = opened('a'); tried(lambda: os.write(a, b'x')); tried(lambda: os.fsync(a)); print(int(time.time()))"
        )
        self.run_program("a = opened('a')")
        wanted: list[tuple[dict[str, Any], list[int]]] = [
            ({}, [0, 0]),
            ({"write": errno.ENOSPC}, [errno.ENOSPC, 0]),
            ({"sync": errno.EIO}, [0, errno.EIO]),
        ]
        for faults, expected in wanted:
            self.power.faults(**faults)
            self.assertEqual([int(line) for line in self.run_program(show).split()[:2]], expected)
        self.power.faults()
        now = int(self.run_program(show).split()[2])
        self.power.faults(clock=-86_400)
        self.assertLess(abs(now - 86_400 - int(self.run_program(show).split()[2])), 60)
