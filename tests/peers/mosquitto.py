"""Eclipse Mosquitto, the broker: started with a configuration of its own, asked and listened to by its own clients.

RULES: a test has its own broker in its own directory, on a free port of 127.0.0.1. Nothing is dropped for want of
room. What was published is shown by mosquitto_sub, never by the library that published it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from tests.processes import Process, directory, free_port

BROKER = "/usr/sbin/mosquitto"
_CLIENTS = ("mosquitto_pub", "mosquitto_sub", "mosquitto_passwd")
_LIMITS = ("max_inflight_messages 0", "max_queued_messages 0", "log_type all", "log_dest stderr")
_SHOWN = "%t %p"
_SUBSCRIBED = r"^Subscribed \(mid|^Client \S+ received SUBACK"


def install() -> list[str]:
    """The paths of broker and clients. They come from apt: raises `FileNotFoundError` that says so."""
    found = [path for name in (BROKER, *_CLIENTS) if (path := shutil.which(name))]
    if len(found) <= len(_CLIENTS):
        raise FileNotFoundError("mosquitto is missing: apt-get install mosquitto mosquitto-clients")
    return found


@attrs.define
class Mosquitto:
    """A running broker. ``options`` of its clients say how to come in: user, password, certificates."""

    case: TestCase
    process: Process
    place: Path
    port: int
    lines: tuple[str, ...]
    options: tuple[str, ...] = ()

    @classmethod
    async def start(cls, case: TestCase, *lines: str, port: int | None = None, place: Path | None = None) -> Mosquitto:
        """Start it and wait until it listens; ``lines`` are more of its configuration."""
        place = place or directory(case)
        port = port or free_port(socket.SOCK_STREAM)
        access = () if any(line.startswith("password_file") for line in lines) else ("allow_anonymous true",)
        # It gives up root's rights otherwise, and can't write into the test's directory then.
        own = ("user root", f"listener {port} 127.0.0.1", *access, *_LIMITS)
        kept = ("persistence true", f"persistence_location {place}/", "autosave_interval 0")
        config = place / "mosquitto.conf"
        config.write_text("\n".join((*own, *kept, *lines)) + "\n", encoding="utf-8")
        process = Process.start(case, [BROKER, "-c", str(config)])
        await process.await_line(r"mosquitto version \S+ running")
        return cls(case, process, place, port, lines)

    @property
    def url(self) -> str:
        """Where it is, for ``[plugin:mqtt] url``."""
        return f"mqtt://127.0.0.1:{self.port}"

    async def again(self) -> Mosquitto:
        """Start another one on the same port with what this one had kept, after it was stopped or killed."""
        broker = await Mosquitto.start(self.case, *self.lines, port=self.port, place=self.place)
        broker.options = self.options
        return broker

    async def listen(self, *filters: str, options: Sequence[str] = ()) -> Listener:
        """Start mosquitto_sub with QoS 1 and wait until it is subscribed."""
        words = [word for each in filters for word in ("-t", each)]
        command = [*self._client("mosquitto_sub"), "-d", "-q", "1", "-F", _SHOWN, *options, *words]
        process = Process.start(self.case, ["/usr/bin/stdbuf", "-oL", *command])
        await process.await_line(_SUBSCRIBED)
        return Listener(process)

    async def count(self, name: str, *filters: str) -> Listener:
        """Start a mosquitto_sub whose subscription survives a kill of this broker, and that comes back by itself."""
        words = [word for each in filters for word in ("-t", each)]
        command = [*self._client("mosquitto_sub"), "-q", "1", "-F", _SHOWN, "-i", name, "-c", "-x", "3600", *words]
        process = Process.start(self.case, ["/usr/bin/stdbuf", "-oL", *command])
        await self.process.await_line(f"Sending SUBACK to {name}$")
        since = self.process.mark()
        self.process.signal(signal.SIGUSR1)
        await self.process.await_line("Saving in-memory database", since=since)
        return Listener(process)

    async def publish(self, topic: str, payload: str | bytes = b"", *options: str) -> None:
        """Run mosquitto_pub with QoS 1 to its end."""
        data = payload.encode() if isinstance(payload, str) else payload
        file = directory(self.case) / "payload"
        file.write_bytes(data)
        command = [*self._client("mosquitto_pub"), "-q", "1", "-t", topic, "-f", str(file), *options]
        process = Process.start(self.case, command)
        status = await process.wait()
        assert status == 0, process.output()

    def _client(self, name: str) -> list[str]:
        return [f"/usr/bin/{name}", "-h", "127.0.0.1", "-p", str(self.port), "-V", "5", *self.options]


@attrs.define
class Listener:
    """A mosquitto_sub: what it has shown, message by message."""

    process: Process

    def messages(self) -> list[tuple[str, str]]:
        """Topics and payloads so far, in order."""
        found = (line.partition(" ") for line in self.process.lines if not line.startswith(("Client ", "Subscribed ")))
        return [(topic, payload) for topic, _, payload in found]

    async def message(self, pattern: str, *, since: int = 0) -> Any:
        """The payload, decoded, of the first message from line ``since`` on whose line matches."""
        found = await self.process.await_line(pattern, since=since)
        _, _, payload = found.string.partition(" ")
        return json.loads(payload)

    def mark(self) -> int:
        """The number of lines so far."""
        return self.process.mark()


def write_passwords(file: Path, **users: str) -> Path:
    """Write a file of users and passwords as mosquitto has them; returns its path."""
    file.touch(mode=0o600)
    for user, password in users.items():
        subprocess.run(["/usr/bin/mosquitto_passwd", "-b", str(file), user, password], check=True, env=dict(os.environ))
    return file
