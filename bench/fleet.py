"""What a fleet of simulated devices costs: ``python -m bench.run fleet``.

10,000 devices in one process, with a lifetime of 60 seconds, so that each Updates every 30, and a value that changes
and is notified every 30. What counts is the processor time of that process against the clock, once all are registered
and observed. Then the same with devices that sleep: their socket is closed ten seconds after the last message, and
they wake up for each notification with another one, Update, and tell it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.servers import LOAD_CORE, SERVER_CORE, free_port, processor_time

DEVICES = 10_000
LIFETIME, INTERVAL, STAGGER = 60, 30, 30
ASLEEP = "[behaviour]\nsleep = { awake = 10 }\n"


def measure(seconds: float) -> None:
    """Run both fleets for a while and print what they take of a core."""
    _measure("fleet", seconds, ())
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as world:
        world.write(ASLEEP)
        world.flush()
        _measure("fleet that sleeps", seconds, ("--queue", "--world", world.name))


def _measure(name: str, seconds: float, options: tuple[str, ...]) -> None:
    port = free_port()
    sink = _start(LOAD_CORE, [sys.executable, "-m", "bench.sink", str(port)], subprocess.PIPE)
    time.sleep(1)
    command = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "lwm2m-device"]
    command += [*options, "--server", f"coap://127.0.0.1:{port}", "--fleet", str(DEVICES), "--stagger", str(STAGGER)]
    fleet = _start(SERVER_CORE, [*command, "--lifetime", str(LIFETIME), "--interval", str(INTERVAL)])
    try:
        limit = time.monotonic() + 4 * STAGGER
        while _counts(sink)[0] < DEVICES:
            if time.monotonic() > limit:
                raise RuntimeError(f"{_counts(sink)[0]} of {DEVICES} devices have registered")
            time.sleep(1)
        time.sleep(5)
        _, updates, notifications = _counts(sink)
        began, used = time.monotonic(), processor_time(fleet)
        time.sleep(seconds)
        registered, more, told = _counts(sink)
        wall, spent = time.monotonic() - began, processor_time(fleet) - used
        resident = _resident(fleet)
    finally:
        for process in (fleet, sink):
            process.kill()
            process.wait()
    print(f"{name}, {DEVICES:,} devices: {spent / wall:.2f} of a core, asked: < 0.5;")
    print(
        f"  {wall:.0f} s, {(more - updates) / wall:.0f} Updates/s, {(told - notifications) / wall:.0f} notifications/s,"
        f" {registered:,} registered, {resident / DEVICES / 1024:.1f} KiB resident a device"
    )


def _start(core: str, command: list[str], channel: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    root = Path(__file__).parent.parent
    return subprocess.Popen(
        ["taskset", "-c", core, *command],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=channel,
        stdout=channel,
        stderr=subprocess.DEVNULL,
    )


def _counts(sink: subprocess.Popen[bytes]) -> tuple[int, int, int]:
    """The Registers, Updates and notifications that the sink has got."""
    assert sink.stdin is not None and sink.stdout is not None
    sink.stdin.write(b"\n")
    sink.stdin.flush()
    registered, updates, notifications = map(int, sink.stdout.readline().split())
    return registered, updates, notifications


def _resident(process: subprocess.Popen[bytes]) -> int:
    """Resident memory of a process in bytes."""
    pages = Path(f"/proc/{process.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
