"""The daemon of the torture: started again and again on one state directory and one pair of ports, and killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
from twisted.internet.task import deferLater

from tests import web
from tests.processes import ROOT, reactor
from tests.torture.model import Violation

SETTINGS: Final = (
    "queue.awake=1s",
    "queue.timeout=5s",
    "queue.ttl=10m",
    "coap.ack-timeout=300ms",
    "coap.max-retransmit=4",
    "limits.operations-kept=1000000",
    "storage.events=1000000",
    "storage.flush-interval=5s",
    "lwm2md.stop-wait=300ms",
)
"""Short times, so that much happens between two kills, and nothing is forgotten for want of room."""
_STEP: Final = 0.01
_PATIENCE: Final = 60.0
_BAD: Final = re.compile(r"Traceback|Unhandled|a decision failed|row of the storage is left out")


@attrs.frozen
class Place:
    """Where a daemon listens: ports on an address of the loopback network that nobody is given while it is down."""

    host: str
    coap: int
    coaps: int
    api: int

    @classmethod
    def find(cls) -> Place:
        """A place where nobody is. It is no part of what a seed says again."""
        random = Random()
        host = f"127.{random.randrange(64, 128)}.{random.randrange(256)}.{random.randrange(1, 255)}"
        coap, coaps = _port(host, socket.SOCK_DGRAM), _port(host, socket.SOCK_DGRAM)
        return cls(host, coap, coaps, _port(host, socket.SOCK_STREAM))


class Daemon:
    """One daemon in many lives. ``environment`` is for its process, ``settings`` are of the form section.key=value."""

    def __init__(
        self,
        directory: Path,
        place: Place,
        settings: Sequence[str] = (),
        environment: Mapping[str, str] = {},
    ) -> None:
        self.state = directory / "state"
        self.log = directory / "daemon.log"
        self.lives = 0
        self.coap = (place.host, place.coap)
        self.url = f"http://{place.host}:{place.api}"
        self.token = ""
        self.up = False
        self.since = 0.0
        self.pid: int | None = None
        listen = (
            f"coap.listen={place.host}:{place.coap}",
            f"api.listen={place.host}:{place.api}",
            f"lwm2md.state={self.state}",
        )
        self._arguments = [word for each in (*listen, *SETTINGS, *settings) for word in ("--set", each)]
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        )

    def spawn(self) -> None:
        """Start the next life; it does not serve yet."""
        self.log.unlink(missing_ok=True)
        self.pid = int(self._order("start", str(self.log), self._arguments))
        self.lives += 1

    async def ready(self) -> None:
        """Wait until it serves. Raises Violation where it ends before."""
        end = reactor.seconds() + _PATIENCE
        while "api on http" not in (text := self.text()):
            if (status := self._order("gone", self.pid)) is not None:
                self.pid = None
                raise Violation(f"it does not start (status {status}):\n{text[-4000:]}")
            if reactor.seconds() > end:
                raise Violation(f"it did not start in {_PATIENCE:g} s:\n{text[-4000:]}")
            await deferLater(reactor, _STEP)
        token = (self.state / "admin.token").read_text("ascii").strip()
        if token != (self.token or token):
            raise Violation("the administrator's token is another one")
        self.token = token
        self.up, self.since = True, reactor.seconds()

    def kill(self, how: int = signal.SIGKILL) -> None:
        """End this life."""
        self.up = False
        if self.pid is not None:
            self._order("kill", self.pid, int(how))
            self.pid = None

    def signal(self, how: int) -> None:
        """Send a signal, and wait for nothing."""
        self._order("signal", self.pid, int(how))

    def gone(self) -> int | None:
        """The status that this life ended with, None while it lives."""
        status: int | None = self._order("gone", self.pid)
        if status is not None:
            self.up, self.pid = False, None
        return status

    async def stop(self) -> None:
        """End this life in order, as an operator does. Raises Violation where that takes too long, or fails."""
        self.up = False
        self.signal(signal.SIGTERM)
        end = reactor.seconds() + _PATIENCE
        while (status := self.gone()) is None:
            if reactor.seconds() > end:
                raise Violation(f"it did not stop in {_PATIENCE:g} s:\n{self.text()[-4000:]}")
            await deferLater(reactor, _STEP)
        if status != signal.SIGTERM:
            raise Violation(f"it did not stop in order (status {status}):\n{self.text()[-4000:]}")

    def close(self) -> None:
        """End it for good."""
        self.kill()
        assert self._nursery.stdin is not None
        self._nursery.stdin.close()
        self._nursery.wait(10)

    def text(self) -> str:
        """The log of this life."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def check_log(self) -> None:
        """Raise Violation where an exception was logged in this life."""
        text = self.text()
        found = _BAD.search(text)
        if found is not None:
            raise Violation(f"it logged:\n{text[text.rfind(chr(10), 0, found.start()) + 1 :][:4000]}")

    async def api(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """One request as the administrator: status and document. Raises what the network does."""
        headers = {"Authorization": f"Bearer {self.token}", **how.pop("headers", {})}
        return await web.document(method, self.url + path, headers=headers, **how)

    def _order(self, *order: object) -> Any:
        assert self._nursery.stdin is not None and self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps(order) + "\n")
        self._nursery.stdin.flush()
        return json.loads(self._nursery.stdout.readline())


def _port(host: str, kind: socket.SocketKind) -> int:
    random = Random()
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
