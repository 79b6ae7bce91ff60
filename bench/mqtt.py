"""What MQTT costs: ``python -m bench.mqtt [--pairs N] [--seconds S]`` on two cores, with a real mosquitto.

*updates*: Updates of 1,000 devices with the plugin connected, as a share of those without, in turns. *values*: values
that devices notify, stored and published with QoS 1, until a subscriber has the last of them, as a share of what a bare
paho publisher gets to the same subscriber with the same messages, QoS and window. The daemon and the bare publisher
have one core, everything else the other.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import attrs
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from bench.servers import LOAD_CORE, SERVER_CORE, ask, build, daemon, free_port, load, load_waiting, processor_time

DEVICES: Final = 1000
WINDOW: Final = 64
NOTIFYING: Final = 500
IN_FLIGHT: Final = 1000
CREATED: Final = 201
TOPIC: Final = "lwm2m/bench-{:06d}/sensor/3303/0/5700"
VALUE: Final = b'{"value":21.5,"time":"2026-11-22T06:00:53.914Z","unit":"Cel"}'
_BROKER: Final = """
user root
listener {port} 127.0.0.1
allow_anonymous true
max_inflight_messages 0
max_queued_messages 0
log_dest none
"""


@attrs.define
class Counter:
    """A mosquitto_sub, and how many messages it has printed."""

    process: subprocess.Popen[bytes]
    count: int = 0

    def read(self) -> None:
        """Count until it ends."""
        assert self.process.stdout is not None
        while data := self.process.stdout.read1(1 << 20):  # type: ignore[attr-defined]
            self.count += data.count(b"\n")

    def wait_for(self, count: int, seconds: float = 120.0) -> None:
        """Wait until it has so many."""
        end = time.monotonic() + seconds
        while self.count < count:
            if time.monotonic() > end:
                raise RuntimeError(f"only {self.count} of {count} messages have come")
            time.sleep(0.002)


@contextmanager
def broker() -> Iterator[tuple[int, Counter]]:
    """A mosquitto, and a subscriber to all values; its port and the counter."""
    port = free_port(socket.SOCK_STREAM)
    with tempfile.TemporaryDirectory(prefix="lwm2md-bench-") as place:
        config = Path(place, "mosquitto.conf")
        config.write_text(_BROKER.format(port=port), encoding="ascii")
        on_its_core = ("taskset", "-c", LOAD_CORE)
        server = subprocess.Popen([*on_its_core, "/usr/sbin/mosquitto", "-c", str(config)])
        time.sleep(0.5)
        words = ("-h", "127.0.0.1", "-p", str(port), "-t", "lwm2m/+/sensor/#", "-F", "x")
        subscriber = subprocess.Popen([*on_its_core, "/usr/bin/mosquitto_sub", *words], stdout=subprocess.PIPE)
        time.sleep(0.5)
        counter = Counter(subscriber)
        thread = threading.Thread(target=counter.read, daemon=True)
        thread.start()
        try:
            yield port, counter
        finally:
            for process in (subscriber, server):
                process.kill()
                process.wait()
            thread.join()


def plugin(port: int) -> tuple[str, ...]:
    """The settings of a daemon with the plugin."""
    return (
        "plugins.enable=mqtt",
        f"plugin:mqtt.url=mqtt://127.0.0.1:{port}",
        f"plugin:mqtt.in-flight={IN_FLIGHT}",
        "plugin:mqtt.protocol=3.1.1",
        "storage.events=1000000",
    )


def updates(*, connected: bool, seconds: float) -> float:
    """Updates per second, with the plugin or without."""
    if not connected:
        with daemon() as server:
            return load("update", server.port, DEVICES, seconds, WINDOW)
    with broker() as (port, _), daemon(*plugin(port)) as server:
        time.sleep(1)
        return load("update", server.port, DEVICES, seconds, WINDOW)


def values(seconds: float) -> tuple[float, int]:
    """Values per second from devices to the subscriber, and how many there were; tells the daemon's processor time."""
    with (
        broker() as (port, counter),
        daemon(*plugin(port)) as server,
        load_waiting("notify", server.port, DEVICES, seconds, NOTIFYING, 0, "-", "con") as process,
    ):
        for number in range(DEVICES):
            assert ask(server, "PUT", f"/v1/devices/bench-{number:06d}/observations/3303/0/5700", {}) == CREATED
        counter.wait_for(DEVICES)
        before, used = counter.count, processor_time(server.process)
        while counter.count == before:
            time.sleep(0.001)
        began = time.monotonic()
        assert process.stdout is not None
        sent = int(process.stdout.readline())
        ingested = time.monotonic() - began
        counter.wait_for(before + sent)
        took = time.monotonic() - began
        used = processor_time(server.process) - used
        each = f"{used / sent * 1e6:.1f} us of processor time each"
        print(f"  values: {sent:,} taken in {ingested:.1f} s and through in {took:.1f} s, {each}", flush=True)
        return sent / took, sent


def bare(count: int) -> float:
    """Values per second from a bare publisher to the subscriber."""
    with broker() as (port, counter):
        command = ("taskset", "-c", SERVER_CORE, sys.executable, "-m", "bench.mqtt", "--publish", str(count))
        began = time.monotonic()
        process = subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        counter.wait_for(count)
        took = time.monotonic() - began
        used = float(process.stdout.readline())
        process.wait()
        print(f"  bare: {count / took:,.0f}/s, {used / count * 1e6:.1f} us of processor time each", flush=True)
        return count / took


def publish(port: int, count: int) -> None:
    """The bare publisher: paho alone, no more on the way than its window, one thread."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311)
    client.max_inflight_messages_set(0)
    away = 0

    def arrived(*_: object) -> None:
        nonlocal away
        away -= 1

    client.on_publish = arrived
    client.on_socket_register_write = lambda *_: None  # as paho's own loop has it: what is sent is sent by the loop
    client.connect("127.0.0.1", port)
    while not client.is_connected():
        client.loop(0.1)
    print("begin", flush=True)
    used, sent = time.process_time(), 0
    while sent < count or away:
        while sent < count and away < IN_FLIGHT:
            client.publish(TOPIC.format(sent % DEVICES), VALUE, 1)
            sent, away = sent + 1, away + 1
        client.loop(0.1)
    print(time.process_time() - used, flush=True)


def _print(name: str, target: str, ratios: list[float]) -> None:
    print(f"{name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), asked: {target}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], "updates", "values"], help="figures to measure")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--publish", type=int, metavar="COUNT", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.publish is not None:
        publish(options.port, options.publish)
        return
    build()
    found: dict[str, list[float]] = {"updates": [], "values": []}
    for _ in range(options.pairs):
        if "values" in (options.names or found):
            ours, count = values(options.seconds)
            theirs = bare(count)
            found["values"].append(ours / theirs)
            print(f"  values: {ours:,.0f}/s, bare publisher {theirs:,.0f}/s, ratio {ours / theirs:.2f}", flush=True)
        if "updates" in (options.names or found):
            without = updates(connected=False, seconds=options.seconds)
            connected = updates(connected=True, seconds=options.seconds)
            found["updates"].append(connected / without)
            print(
                f"  updates: {connected:,.0f}/s, without {without:,.0f}/s, ratio {connected / without:.2f}", flush=True
            )
    if found["values"]:
        _print(
            "values of 1,000 devices through mosquitto / a bare paho publisher", ">= 0.6, or 10,000/s", found["values"]
        )
    if found["updates"]:
        _print("updates of 1,000 devices with MQTT / without", ">= 0.8", found["updates"])


if __name__ == "__main__":
    main()
