"""The processes that are measured: the baselines and the daemon, each pinned to one core, on ports of their own."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

SERVER_CORE = "0"
LOAD_CORE = "1"
LOAD = Path(tempfile.gettempdir()) / f"lwm2md-bench-{os.getuid()}" / "load"


_SCHEDULED = 2
_connections: dict[int, http.client.HTTPConnection] = {}


@attrs.frozen
class Running:
    """A server under test. ``api`` and ``token`` are those of the daemon's API, 0 and empty for a baseline."""

    port: int
    process: subprocess.Popen[bytes]
    api: int = 0
    token: str = ""

    def resident(self) -> int:
        """Resident memory in bytes."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the server has ended")


def build() -> None:
    """Compile the load generator."""
    LOAD.parent.mkdir(mode=0o700, exist_ok=True)
    source = Path(__file__).with_name("load.c")
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-o", str(LOAD), str(source)], check=True)


def load(*arguments: object) -> float:
    """Run the load generator to its end; the rate that it printed."""
    return float(load_words(*arguments)[-1])


def load_words(*arguments: object) -> list[str]:
    """Run the load generator to its end; what it printed."""
    command = ["taskset", "-c", LOAD_CORE, str(LOAD), *map(str, arguments)]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    return result.stdout.split()


@contextmanager
def load_waiting(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run the load generator until it says that it is ready, and end it afterwards."""
    process = subprocess.Popen(["taskset", "-c", LOAD_CORE, str(LOAD), *map(str, arguments)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def baseline(kind: str) -> Iterator[Running]:
    """A bare Twisted echo (``udp``) or twisted.web resource (``http``)."""
    port = free_port(socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    with _process([sys.executable, "-m", "bench.echo", kind, str(port)]) as process:
        time.sleep(1)
        yield Running(port, process)


def processor_time(process: subprocess.Popen[bytes]) -> float:
    """Seconds of processor time that a process has used."""
    # The clock that clock_getcpuclockid(3) finds: /proc counts in hundredths of a second, too coarse for short runs.
    return time.clock_gettime((~process.pid << 3) | _SCHEDULED)


@contextmanager
def daemon(
    *settings: str,
    prepare: Callable[[Path, int], None] | None = None,
    meanwhile: Callable[[int, int], None] | None = None,
) -> Iterator[Running]:
    """The daemon with its defaults, SQLite included, in a state directory of its own, which may be prepared.

    ``meanwhile`` gets its ports, of devices and of the API, as soon as it was started.
    """
    state = tempfile.mkdtemp(prefix="lwm2md-bench-")
    port, api = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
    if prepare is not None:
        prepare(Path(state), port)
    chosen = (f"lwm2md.state={state}", f"coap.listen=127.0.0.1:{port}", f"api.listen=127.0.0.1:{api}", *settings)
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "lwm2md"]
    for setting in chosen:
        command += ["--set", setting]
    try:
        with _process(command) as process:
            if meanwhile is not None:
                meanwhile(port, api)
            _await_port(api)
            yield Running(port, process, api, Path(state, "admin.token").read_text().strip())
    finally:
        shutil.rmtree(state)


@contextmanager
def reader(server: Running, types: str) -> Iterator[None]:
    """Somebody who reads the events of some types, and throws them away."""
    command = [
        "taskset",
        "-c",
        LOAD_CORE,
        "curl",
        "-sN",
        "-o",
        "/dev/null",
        "-H",
        f"Authorization: Bearer {server.token}",
    ]
    with subprocess.Popen([*command, f"http://127.0.0.1:{server.api}/v1/events?types={types}"]) as process:
        time.sleep(0.5)
        try:
            yield
        finally:
            process.kill()


def ask(server: Running, method: str, path: str, body: object = None) -> int:
    """One request to the daemon's API over a connection that is kept; the status."""
    connection = _connections.setdefault(server.api, http.client.HTTPConnection("127.0.0.1", server.api, timeout=60))
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"}
    connection.request(method, path, data, headers)
    response = connection.getresponse()
    response.read()
    return response.status


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=60)


def _await_port(port: int) -> None:
    for _ in range(1200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the daemon does not answer")


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    """A port that nobody has, of UDP unless another kind of socket is named."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
