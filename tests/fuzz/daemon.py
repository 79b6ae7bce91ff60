"""The daemon and simulated devices as processes, seen from outside: log, memory, metrics, API."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
_TWISTD: Final = str(Path(sysconfig.get_path("scripts")) / "twistd")
_PATIENCE: Final = 30.0
_IDLE: Final = 30.0
_SHOWN: Final = 5000
_BAD: Final = re.compile(r"Traceback|Unhandled|^\S+ (?:error|critical) ", re.MULTILINE)
_LISTEN: Final = ("coap.listen=127.0.0.1:0", "api.listen=127.0.0.1:0")
SMALL_LIMITS: Final = (
    "coap.ack-timeout=0.3s",
    "coap.max-retransmit=1",
    "queue.timeout=1s",
    "queue.limit=20",
    "limits.devices=200",
    "limits.operations-kept=500",
    "limits.twin-values-per-device=50",
    "limits.deduplication-size=2MiB",
    "limits.messages-size=2MiB",
    "limits.trace-size=256KiB",
    "storage.events=2000",
    "storage.cache-size=2MiB",
    "history.values-per-resource=20",
)
"""Limits that an attack reaches soon, and short times, so that devices that don't answer don't hold it up."""

ZEROS: Final = (
    "lwm2md_driver_errors_total",
    "lwm2md_coap_errors_total",
    "lwm2md_http_failures_total",
    "lwm2md_delivery_failures_total",
    "lwm2md_delivery_resumes_failed_total",
)
"""Metrics that count our own mistakes."""


class Lost(Exception):  # noqa: N818 - it is the daemon that is lost
    """The daemon did what it must never do; the text says what."""


def resident(pid: int) -> int:
    """Resident memory of a process in KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


class Process:
    """A process whose output goes into a file."""

    def __init__(self, log: Path, arguments: Sequence[str]) -> None:
        self._log = log
        self._seen = 0
        command = [_TWISTD, "--pidfile=", "-n", *arguments]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=log.parent, env={"PYTHONPATH": str(ROOT)}
            )

    def await_line(self, pattern: str) -> str:
        """The first group of the first line in which ``pattern`` is found."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            found = re.search(pattern, self._log.read_text("utf-8", "replace"))
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise Lost(f"waited for {pattern!r} in:\n{self._log.read_text('utf-8', 'replace')[-4000:]}")

    def check_log(self) -> None:
        """Raise Lost where something bad was logged since the last call, or the process is gone."""
        with self._log.open("rb") as stream:
            stream.seek(self._seen)
            text = stream.read().decode("utf-8", "replace")
            self._seen = stream.tell()
        bad = _BAD.search(text)
        if bad is not None:
            start = text.rfind("\n", 0, bad.start()) + 1
            raise Lost(f"it logged:\n{text[start : start + _SHOWN]}")
        if self.process.poll() is not None:
            raise Lost(f"it ended with status {self.process.returncode}")

    def resident(self) -> int:
        """Resident memory in KiB."""
        return resident(self.process.pid)

    def stop(self) -> None:
        """End it, and wait."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Daemon(Process):
    """A running ``twistd -n lwm2md`` on free ports, with further ``settings`` of the form section.key=value."""

    def __init__(self, directory: Path, settings: Sequence[str] = ()) -> None:
        self.state = state = directory / "state"
        given = [word for each in (*_LISTEN, f"lwm2md.state={state}", *settings) for word in ("--set", each)]
        super().__init__(directory / "daemon.log", ["lwm2md", *given])
        host, port = self.await_line(r"listening on coap://(\S+)").split(":")
        self.coap = host, int(port)
        self.api = self.await_line(r"api on http://(\S+?)/?\s")
        self.token = (state / "admin.token").read_text().strip()

    def connection(self) -> Api:
        """A connection to the API."""
        return Api(self.api, self.token)


class Device(Process):
    """A running ``twistd -n lwm2m-device``."""

    def __init__(self, directory: Path, server: tuple[str, int], endpoint: str) -> None:
        uri = f"coap://{server[0]}:{server[1]}"
        arguments = ["lwm2m-device", "--server", uri, "--endpoint", endpoint, "--interval", "1"]
        super().__init__(directory / f"{endpoint.replace('/', '-')}.log", arguments)
        self.await_line(r"registered at (\S+)")


class Api:
    """One kept-alive connection to the API."""

    def __init__(self, where: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(where, timeout=_PATIENCE)
        self._stream: socket.socket | None = None
        self._headers = {"Authorization": f"Bearer {token}"}
        self._used = 0.0

    def text(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        """One request: status and body."""
        data = None if body is None else json.dumps(body)
        now = time.monotonic()
        if now - self._used > _IDLE:
            self._connection.close()  # the daemon may close it in the very moment; the next request connects again
        self._used = now
        self._connection.request(method, path, data, self._headers)
        response = self._connection.getresponse()
        text = response.read().decode()
        if response.status >= 500 and response.status not in (502, 503, 504):
            raise Lost(f"{method} {path} was answered {response.status}: {text}")
        return response.status, text

    def lines(self, path: str) -> Iterator[bytes]:
        """The lines of a stream."""
        self._connection.request("GET", path, headers=self._headers)
        self._stream = self._connection.sock  # the connection forgets it once the answer has begun
        yield from self._connection.getresponse()

    def close(self) -> None:
        """End the connection, whoever reads from it."""
        if self._stream is not None:
            self._stream.shutdown(socket.SHUT_RDWR)

    def json(self, method: str, path: str, body: object = None) -> Any:
        """One request: the document."""
        return json.loads(self.text(method, path, body)[1])

    def metrics(self) -> dict[str, float]:
        """The metrics that have no labels."""
        lines = self.text("GET", "/metrics")[1].splitlines()
        return {name: float(value) for name, _, value in (line.partition(" ") for line in lines if line[0] != "#")}
