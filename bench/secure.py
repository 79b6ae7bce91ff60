"""DTLS, each figure as a ratio of a bare pyOpenSSL echo of the same run: ``python -m bench.secure [NAME ...]``.

- **updates**: Updates of 1,000 devices against records echoed, 64 under way, PSK with AES-128-CCM-8.
- **handshakes**: of new devices, 32 at once, until the session stands, against those of the echo; both with cookies.
- **flood**: Updates while hellos come from addresses that nobody hears at, ten times as many a second as handshakes
  were made, against Updates without.
- **restart**: sessions with Connection ID and registrations; then the daemon ends and starts again, every device sends
  an Update, and what is counted is how many were answered without another handshake.

Baseline and daemon take turns; each process has one core and the load the other. Beside each rate stands the processor
time of the server, which other work on the machine does not change as much.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.secureload import KEY, name
from bench.servers import LOAD_CORE, Running, _process, daemon, free_port, processor_time

DEVICES = 1000
MANY = 100_000


def load(server: Running, kind: str, count: int, seconds: float) -> tuple[float, float]:
    """Run the load; return the rate that it printed and the microseconds of processor time that each took."""
    command = [sys.executable, "-m", "bench.secureload", kind, str(server.port), str(count), str(seconds)]
    with subprocess.Popen(["taskset", "-c", LOAD_CORE, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before = processor_time(server.process)
        rate = float(process.stdout.readline())
        return rate, (processor_time(server.process) - before) / (rate * seconds) * 1e6


@contextmanager
def bare() -> Iterator[Running]:
    """The bare echo."""
    port = free_port()
    with _process([sys.executable, "-m", "bench.secureecho", str(port)]) as process:
        time.sleep(2)
        yield Running(port, process)


@contextmanager
def secure(*settings: str, devices: int = DEVICES, state: Path | None = None) -> Iterator[Running]:
    """The daemon with a secure port, and keys for so many devices."""
    with tempfile.TemporaryDirectory(prefix="lwm2md-bench-") as directory:
        keys = Path(directory, "keys")
        keys.write_text("".join(f"{name(number)},{KEY.hex()},\n" for number in range(devices)))
        keys.chmod(0o600)
        port = free_port()
        wide = [
            f"coaps.listen=127.0.0.1:{port}",
            f"security.psk={keys}",
            "coaps.handshake-rate=1000000",
            "coaps.handshake-rate-source=1000000",
            "coaps.half-open-source=100000",
        ]
        with daemon(*wide, *settings) as server:
            yield Running(port, server.process, server.api, server.token)


def pairs(name_: str, asked: str, count: int, run: Callable[[], tuple[float, float, float, float]]) -> None:
    """Measure baseline and daemon in turns, and print the ratios."""
    ratios = []
    for _ in range(count):
        below, below_time, above, above_time = run()
        ratios.append(above / below)
        print(
            f"  {name_}: {above:,.0f}/s ({above_time:.1f} us), baseline {below:,.0f}/s ({below_time:.1f} us), "
            f"ratio {ratios[-1]:.2f} (by processor time {below_time / above_time:.2f})",
            flush=True,
        )
    print(f"{name_}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), asked: {asked}")


def updates(seconds: float) -> tuple[float, float, float, float]:
    """Records echoed, and Updates."""
    with bare() as server:
        below = load(server, "echo", DEVICES, seconds)
    with secure() as server:
        return *below, *load(server, "update", DEVICES, seconds)


def handshakes(seconds: float) -> tuple[float, float, float, float]:
    """Handshakes of both."""
    with bare() as server:
        below = load(server, "shake", MANY, seconds)
    with secure(devices=MANY) as server:
        return *below, *load(server, "shake", MANY, seconds)


def flood(seconds: float) -> tuple[float, float, float, float]:
    """Updates undisturbed, and in a flood of hellos."""
    with secure(devices=MANY) as server:
        rate = int(load(server, "shake", MANY, seconds)[0])
        calm = load(server, "update", DEVICES, seconds)
        command = [sys.executable, "-m", "bench.secureload", "flood", str(server.port), str(10 * rate)]
        before = server.resident()
        process = subprocess.Popen(["taskset", "-c", LOAD_CORE, *command, str(seconds + 10)], stdout=subprocess.DEVNULL)
        try:
            disturbed = load(server, "update", DEVICES, seconds)
        finally:
            process.kill()
            process.wait()
        print(f"  flood of {10 * rate:,}/s: {(server.resident() - before) / 1024:+,.0f} KiB resident")
        return *calm, *disturbed


def restart(count: int) -> None:
    """Sessions over a restart."""
    state = tempfile.mkdtemp(prefix="lwm2md-bench-")
    port = free_port(socket.SOCK_DGRAM)
    chosen = (f"lwm2md.state={state}", f"coaps.listen=127.0.0.1:{port}")
    command = ["taskset", "-c", LOAD_CORE, sys.executable, "-m", "bench.secureload", "return", str(port), str(count)]
    try:
        with secure(*chosen, devices=count) as server:
            devices = subprocess.Popen([*command, "0"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            assert devices.stdout is not None
            assert devices.stdin is not None
            began = time.monotonic()
            devices.stdout.readline()
            print(f"  {count} handshakes and Registers in {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        with secure(*chosen, devices=count) as server:
            print(
                f"  serving again after {time.monotonic() - began:.1f} s, {server.resident() / 2**20:.0f} MiB resident"
            )
            devices.stdin.write("120\n")
            devices.stdin.flush()
            answered = float(devices.stdout.readline())
        print(f"restart: {answered:.0f} of {count} devices went on, asked: all")
    finally:
        devices.kill()
        devices.wait()
        shutil.rmtree(state)


def main() -> None:
    """Measure what the command line names, or all."""
    parser = argparse.ArgumentParser("python -m bench.secure")
    parser.add_argument("names", nargs="*", default=["updates", "handshakes", "flood", "restart"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--sessions", type=int, default=50_000)
    options = parser.parse_args()
    measured = {
        "updates": ("at least 1.1", updates),
        "handshakes": ("at least 0.7", handshakes),
        "flood": ("at least 0.5", flood),
    }
    for each in options.names:
        if each == "restart":
            restart(options.sessions)
        else:
            asked, run = measured[each]
            pairs(each, asked, options.pairs, lambda run=run: run(options.seconds))  # type: ignore[misc]


if __name__ == "__main__":
    main()
