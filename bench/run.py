"""Measure, and print each figure as a ratio of a baseline of the same run: ``python -m bench.run [NAME ...]``.

Baseline and daemon take turns, five pairs, each process on one core and the load generator on the other.
"""

from __future__ import annotations

import argparse
import base64
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial

from bench import fleet, million, sleepers
from bench.servers import (
    Running,
    ask,
    baseline,
    build,
    daemon,
    load,
    load_waiting,
    load_words,
    processor_time,
    reader,
)

DEVICES = 1000
WINDOW = 64
IN_FLIGHT = 500
CONNECTIONS = 32
ENROLLED = 20_000
"""Devices that register for each second that was asked for: about what one second takes."""
STORED = "device.registered,device.deregistered,device.expired,device.value,operation.done,operation.failed"
RETURNING = 100_000
SLEEPERS, COMMANDS = 100_000, 5
ACCEPTED, CREATED, TEN_MILLION = 202, 201, 10_000_000
PATH = "/v1/devices/bench-%06d/resources/3303/0/5700"


def _echo(seconds: float) -> float:
    with baseline("udp") as server:
        return load("echo", server.port, DEVICES, seconds, WINDOW)


def _updates(seconds: float) -> float:
    with daemon() as server:
        return load("update", server.port, DEVICES, seconds, WINDOW)


def _updates_one_by_one(seconds: float) -> float:
    with daemon("coap.batched=no") as server:
        return load("update", server.port, DEVICES, seconds, WINDOW)


def _updates_of_many(seconds: float) -> float:
    with daemon() as server:
        return load("update", server.port, 100 * DEVICES, seconds, WINDOW)


def _updates_told(seconds: float) -> float:
    with daemon() as server, reader(server, STORED):
        return load("update", server.port, DEVICES, seconds, WINDOW)


def _registers(seconds: float) -> float:
    devices = round(ENROLLED * seconds)
    with daemon() as server, reader(server, STORED):
        before = processor_time(server.process)
        rate = load("enroll", server.port, devices, 0, IN_FLIGHT)
        _tell(server, before, devices, "a Register")
        return rate


def _tell(server: Running, before: float, count: float, what: str) -> None:
    used = processor_time(server.process) - before
    print(f"  {used / count * 1e6:.1f} us of processor time {what}")


def _return(pairs: int, seconds: float) -> None:
    """All devices of a fleet register within a moment, and again each second until they are served."""
    with daemon() as server:
        before, began = processor_time(server.process), time.monotonic()
        load("enroll", server.port, RETURNING, 0, RETURNING)
        passed, used = time.monotonic() - began, processor_time(server.process) - before
        print(
            f"return: {RETURNING:,} devices register at once and again each second, and are back after {passed:.1f} s;"
        )
        print(f"  {used:.1f} s of processor time, {server.resident() / (1 << 20):,.0f} MiB resident")


def _page(seconds: float) -> float:
    with baseline("http") as server:
        return load("http", server.port, CONNECTIONS, seconds, "/", "none")


def _reads(seconds: float) -> float:
    with daemon() as server:
        return load("read", server.api, CONNECTIONS, seconds, PATH, server.token, server.port)


def _pairs(
    name: str, target: str, ours: Callable[[float], float], base: Callable[[float], float]
) -> Callable[..., None]:
    def run(pairs: int, seconds: float) -> None:
        ratios = []
        for _ in range(pairs):
            below, above = base(seconds), ours(seconds)
            ratios.append(above / below)
            print(f"  {name}: {above:,.0f}/s, baseline {below:,.0f}/s, ratio {ratios[-1]:.2f}", flush=True)
        print(f"{name}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), asked: {target}")

    return run


def _push(seconds: float) -> float:
    """Blocks per second while one body of a mebibyte goes to each of a hundred devices."""
    devices, path = 100, "/v1/devices/bench-{:06d}/operations?wait=0"
    value = base64.b64encode(bytes(1 << 20)).decode()
    body = {"op": "write", "path": "/19/0/0/0", "value": value, "format": "opaque", "timeout": 600, "force": True}
    with daemon("limits.body-size=4MiB") as server, load_waiting("push", server.port, devices) as process:
        for number in range(devices):
            assert ask(server, "POST", path.format(number), body) == ACCEPTED
        assert process.stdout is not None
        return float(process.stdout.readline())


def _notifications(kind: str) -> Callable[[float], float]:
    """Notifications per second that reach a reader of events, each of them stored."""

    def run(seconds: float) -> float:
        with daemon() as server:
            arguments = (server.port, DEVICES, seconds, IN_FLIGHT, server.api, server.token, kind)
            with load_waiting("notify", *arguments) as process:
                for number in range(DEVICES):
                    path = f"/v1/devices/bench-{number:06d}/observations/3303/0/5700"
                    assert ask(server, "PUT", path, {}) == CREATED
                assert process.stdout is not None
                before = processor_time(server.process)
                rate = float(process.stdout.readline())
                _tell(server, before, rate * seconds, "a notification")
                return rate

    return run


def _memory(pairs: int, seconds: float) -> None:
    devices = 12_000  # with a socket each, so that each is a peer of its own
    with daemon() as server:
        # What is bounded for the whole daemon is full before anything is counted: the ring of messages, remembered
        # operations, the cache of the database.
        load("update", server.port, DEVICES, 5, WINDOW)
        with load_waiting("register", server.port, devices):
            _observe_two(server, range(devices))
            before = server.resident()
            with load_waiting("register", server.port, devices, devices):
                bare = (server.resident() - before) / devices
                _observe_two(server, range(devices, 2 * devices))
                each = (server.resident() - before) / devices
    print(f"memory: {bare:,.0f} bytes resident per device of ten links, {each:,.0f} with two observations;")
    print(f"  {devices:,} devices more than as many before, asked: <= 3072")


def _wakes(seconds: float) -> float:
    """Sleepers that wake per second, each with an Update that is answered together with its first command."""
    return _woken(seconds, 0)


def _drained(seconds: float) -> float:
    """Exchanges per second of sleepers that wake: each an Update and all commands that waited for it."""
    return _woken(seconds, COMMANDS)


def _woken(seconds: float, commands: int) -> float:
    with daemon(prepare=partial(sleepers.prepare, devices=SLEEPERS, commands=COMMANDS)) as server:
        print(f"  {SLEEPERS:,} sleepers, {COMMANDS} commands each: {server.resident() / (1 << 20):,.0f} MiB resident")
        before = processor_time(server.process)
        *_, count, rate = load_words("wake", server.port, SLEEPERS, seconds, WINDOW, commands)
        used = processor_time(server.process) - before
        print(f"  {used / float(count) * 1e6:.1f} us of processor time for each")
        return float(rate)


def _observe_two(server: Running, devices: Iterable[int]) -> None:
    for number in devices:
        for instance in (0, 1):
            path = f"/v1/devices/bench-{number:06d}/observations/3303/{instance}/5700"
            assert ask(server, "PUT", path, {}) == CREATED


def _steady(pairs: int, seconds: float) -> None:
    with daemon() as server:
        load("update", server.port, DEVICES, 20, WINDOW)
        before, updates = server.resident(), 0.0
        while updates < TEN_MILLION:
            updates += load("update", server.port, DEVICES, 60, WINDOW) * 60
        grown = server.resident() - before
    print(f"growth over {updates:,.0f} updates: {grown / 1024:,.0f} KiB of {before / 1024:,.0f}, asked: none")


def _million(pairs: int, seconds: float) -> None:
    million.measure()


def _fleet(pairs: int, seconds: float) -> None:
    fleet.measure(max(60.0, seconds))


FIGURES: dict[str, Callable[[int, float], None]] = {
    "updates": _pairs("updates of 1,000 devices / UDP echo", ">= 0.8", _updates, _echo),
    "fallback": _pairs(
        "updates of 1,000 devices without the extension / UDP echo", ">= 0.5", _updates_one_by_one, _echo
    ),
    "growth": _pairs("updates of 100,000 devices / of 1,000", ">= 0.77", _updates_of_many, _updates),
    "million": _million,
    "registers": _pairs("Registers, stored and told, / UDP echo", ">= 0.15", _registers, _echo),
    "return": _return,
    "told": _pairs("updates of 1,000 devices, with a reader of events / UDP echo", ">= 0.8", _updates_told, _echo),
    "reads": _pairs("reads through /v1 / twisted.web resource", ">= 0.4", _reads, _page),
    "notifications": _pairs(
        "Confirmable notifications of 1,000 devices, stored and read / UDP echo", ">= 0.4", _notifications("con"), _echo
    ),
    "non": _pairs(
        "Non-confirmable notifications of 1,000 devices, stored and read / UDP echo",
        ">= 0.4",
        _notifications("non"),
        _echo,
    ),
    "push": _pairs("blocks of 1 MiB pushed to 100 devices / UDP echo", ">= 0.5", _push, _echo),
    "wake": _pairs("sleepers that wake, of 100,000 / UDP echo", ">= 0.25", _wakes, _echo),
    "drain": _pairs("Updates and commands of sleepers that wake / UDP echo", "none", _drained, _echo),
    "memory": _memory,
    "steady": _steady,
    "fleet": _fleet,
}


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *FIGURES], help="figures to measure")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    options = parser.parse_args()
    build()
    for name in options.names or FIGURES:
        FIGURES[name](options.pairs, options.seconds)


if __name__ == "__main__":
    main()
