"""Real processes under a test: start, wait for what they say, write to them, stop them.

RULES: a process belongs to a test case, which stops it in its clean-up whatever happened; it works in a directory of
its own; ports are free ones; nothing polls: every wait is for a line or an end, and shows all output when it fails.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sysconfig
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

from twisted.internet import error
from twisted.internet import reactor as _installed
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

ROOT = Path(__file__).resolve().parent.parent
"""The top of the source tree."""

reactor: Any = _installed
"""The installed reactor; its module has no useful type."""

_KEPT_LINES = 20_000
_given: set[int] = set()


class GoneError(AssertionError):
    """The process ended, or stayed silent too long, before it said what was waited for."""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port on 127.0.0.1 that nobody listens on, for UDP (the default) or TCP.

    It is below those that the system gives to whoever asks for any, and no other than any before, so that it is still
    free when it is used.
    """
    while True:
        port = SystemRandom().randrange(20_000, 32_000)
        with suppress(OSError), socket.socket(socket.AF_INET, kind) as probe:
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port


def directory(case: TestCase) -> Path:
    """A new, empty directory of the test case's own."""
    path = Path(case.mktemp()).resolve()
    path.mkdir(parents=True)
    return path


def script(name: str) -> str:
    """The path of a command that is installed in this environment, such as ``twistd``."""
    return str(Path(sysconfig.get_path("scripts")) / name)


class Process(ProcessProtocol):
    """One process; its standard output and error together are `lines`."""

    def __init__(self, command: Sequence[str]) -> None:
        self.command = list(command)
        self.lines: list[str] = []
        self.status: int | None = None
        self._partial: dict[int, bytes] = {}
        self._waiting: list[tuple[re.Pattern[str], Deferred[re.Match[str]]]] = []
        self._ends: list[Deferred[int]] = []

    @classmethod
    def start(cls, case: TestCase, command: Sequence[str], *, cwd: Path | None = None, **environment: str) -> Process:
        """Start `command` for `case` in `cwd` (default: a new directory) with `environment` beside our variables."""
        process = cls(command)
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}
        reactor.spawnProcess(
            process, process.command[0], process.command, env=variables, path=str(cwd or directory(case))
        )
        case.addCleanup(process.stop)
        return process

    @property
    def pid(self) -> int:
        """The process id; only while it runs."""
        assert self.transport is not None
        pid: int = self.transport.pid
        return pid

    def mark(self) -> int:
        """The number of lines so far: pass it to `await_line` to look at later ones only."""
        return len(self.lines)

    async def await_line(self, pattern: str, *, since: int = 0, timeout: float = 30.0) -> re.Match[str]:
        """The first line from number `since` on in which `pattern` is found, said already or to come.

        Raises `GoneError` when the process ends first or `timeout` seconds pass.
        """
        expression = re.compile(pattern)
        for line in self.lines[since:]:
            if match := expression.search(line):
                return match
        if self.status is not None:
            raise self._gone(pattern)
        found: Deferred[re.Match[str]] = Deferred()
        waiter = (expression, found)
        self._waiting.append(waiter)
        found.addTimeout(timeout, reactor, lambda _result, _timeout: Failure(self._gone(pattern)))
        try:
            return await found
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def wait(self, timeout: float = 30.0) -> int:
        """The exit status once it ended, or minus the signal that ended it. Raises `GoneError` after `timeout`."""
        if self.status is not None:
            return self.status
        ended: Deferred[int] = Deferred()
        self._ends.append(ended)
        ended.addTimeout(timeout, reactor, lambda _result, _timeout: Failure(self._gone("its end")))
        return await ended

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.transport is not None
        self.transport.write(f"{line}\n".encode())

    def signal(self, number: int) -> None:
        """Send a signal, unless it ended already."""
        if self.status is None:
            os.kill(self.pid, number)

    def kill(self) -> Deferred[int]:
        """End it at once (SIGKILL) and wait until it did."""
        self.signal(signal.SIGKILL)
        return Deferred.fromCoroutine(self.wait())

    def stop(self, grace: float = 10.0) -> Deferred[int]:
        """Ask it to end (SIGTERM), force it after `grace` seconds, and wait until it did."""
        if self.status is None:
            self.signal(signal.SIGTERM)
            force = reactor.callLater(grace, self.signal, signal.SIGKILL)
            ended: Deferred[int] = Deferred()
            self._ends.append(ended)
            ended.addBoth(_cancelling(force))
            return ended
        return Deferred.fromCoroutine(self.wait())

    def output(self) -> str:
        """Everything that it said so far."""
        return "\n".join(self.lines)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Cut what comes into lines; called by the reactor."""
        *lines, self._partial[childFD] = (self._partial.get(childFD, b"") + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace").rstrip("\r"))

    def processEnded(self, reason: Failure) -> None:
        """Note the end and fail those who still wait for a line; called by the reactor."""
        for rest in self._partial.values():
            if rest:
                self._line(rest.decode("utf-8", "replace"))
        ended = reason.value
        assert isinstance(ended, error.ProcessDone | error.ProcessTerminated)
        self.status = -ended.signal if ended.signal else ended.exitCode or 0
        waiting, self._waiting = self._waiting, []
        for expression, found in waiting:
            found.errback(self._gone(expression.pattern))
        ends, self._ends = self._ends, []
        for each in ends:
            each.callback(self.status)

    def _line(self, line: str) -> None:
        # A process that talks without end must not take the test run's memory with it.
        if len(self.lines) < _KEPT_LINES:
            self.lines.append(line)
        waiting, self._waiting = self._waiting, []
        for expression, found in waiting:
            if match := expression.search(line):
                found.callback(match)
            else:
                self._waiting.append((expression, found))

    def _gone(self, what: str) -> GoneError:
        state = "is still running" if self.status is None else f"ended with status {self.status}"
        return GoneError(f"waited for {what!r}, {' '.join(self.command[:3])}… {state} and said:\n{self.output()}")


def _cancelling(call: Any) -> Any:
    def cancel(result: Any) -> Any:
        if call.active():
            call.cancel()
        return result

    return cancel
