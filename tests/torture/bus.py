"""A reader through MQTT: a real mosquitto, and what its own client was given of the log in many lives of the daemon.

RULES: every event that is stored, and each of its values, arrives; in order, where what comes again after a kill does
not count. The subscriber is a process of its own that writes down what it gets; nothing here looks into the daemon.
"""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.task import deferLater

from tests.processes import free_port, reactor
from tests.torture.daemon import Daemon
from tests.torture.model import Violation
from tests.web import ServerSentEvent

_PATIENCE: Final = 60.0
_STEP: Final = 0.01
_VALUE: Final = "device.value"
_CONFIGURATION: Final = """
user root
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
log_dest none
"""


class Bus:
    """A broker and a subscriber; ``settings`` let the daemon publish there, ``patience`` is in seconds."""

    def __init__(self, directory: Path) -> None:
        port = free_port(socket.SOCK_STREAM)
        configuration = directory / "mosquitto.conf"
        configuration.write_text(_CONFIGURATION.format(port=port), encoding="ascii")
        self.settings = (
            "plugins.enable=mqtt",
            f"plugin:mqtt.url=mqtt://127.0.0.1:{port}",
            "plugin:mqtt.events=*",
            "plugin:mqtt.shortest-pause=50ms",
        )
        self.patience = _PATIENCE
        self._written = directory / "published"
        self._where = 0
        self._ids: dict[str, None] = {}
        self._values: set[tuple[str, str, Any, Any]] = set()
        self._broker = subprocess.Popen(["/usr/sbin/mosquitto", "-c", str(configuration)], stderr=subprocess.DEVNULL)
        self._port = port
        self._subscriber: subprocess.Popen[bytes] | None = None

    async def begin(self, daemon: Daemon) -> None:
        """Subscribe, and wait until the daemon publishes. Raises Violation where it does not."""
        await self._until(self._listens, "the broker listens")
        self._subscribe()
        await self._until(lambda: "plugin mqtt runs" in daemon.text(), "the plugin runs")
        await self._until(lambda: b"/online online" in self._written.read_bytes(), "the daemon is at the broker")

    async def check(self, events: Sequence[ServerSentEvent]) -> int:
        """Wait for all of these events, and return how many facts were compared. Raises Violation."""
        facts = [fact for event in events for fact in self._facts(event)]
        await self._until(lambda: self._has(facts), "what is stored is published")
        ids = list(self._ids)
        if ids != sorted(ids):
            raise Violation("events were published in another order than they are stored in")
        return len(facts)

    def close(self) -> None:
        """End both."""
        for process in (self._subscriber, self._broker):
            if process is not None:
                process.kill()
                process.wait(10)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _subscribe(self) -> None:
        client = ("/usr/bin/mosquitto_sub", "-h", "127.0.0.1", "-p", str(self._port), "-i", "torture", "-c", "-q", "1")
        command = ["/usr/bin/stdbuf", "-oL", *client, "-F", "%t %p", "-t", "lwm2m/#"]
        with self._written.open("wb") as output:
            self._subscriber = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL)

    @staticmethod
    def _facts(event: ServerSentEvent) -> list[Any]:
        if event.type != _VALUE:
            return [event.id]
        data = event.data
        return [(data["endpoint"], row["path"], row["value"], row["time"]) for row in data["values"]]

    def _has(self, facts: list[Any]) -> bool:
        self._read()
        while facts and (facts[-1] in self._ids or facts[-1] in self._values):
            facts.pop()
        return not facts

    def _read(self) -> None:
        if self._subscriber is None:
            return
        with self._written.open("rb") as file:
            file.seek(self._where)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._where += len(data)
        for line in data.decode().splitlines():
            self._take(*line.split(" ", 1))

    def _take(self, topic: str, payload: str) -> None:
        _, endpoint, kind, *path = topic.split("/")
        if topic.endswith("/online"):
            return
        document = json.loads(payload)
        if kind == "sensor":
            self._values.add((endpoint, "/" + "/".join(path), document["value"], document["time"]))
        else:
            self._ids.setdefault(document["id"])

    async def _until(self, done: Any, what: str) -> None:
        end = reactor.seconds() + self.patience
        while not done():
            if reactor.seconds() > end:
                raise Violation(f"{what}: not within {self.patience:g} s")
            await deferLater(reactor, _STEP)
