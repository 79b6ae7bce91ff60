"""Seeded mutations of real datagrams at a running daemon, and what must hold during and after it.

RULES: a batch is over when the daemon answered a ping behind it and the API's requests beside it: nothing sleeps, and
nothing is lost unseen. What must hold: the daemon answers, logs no exception and counts none, its memory stays flat
once its small limits are reached, and afterwards a device that is new to it registers and is read. Otherwise the exit
status is 1, with the seed and the last datagrams.
"""

from __future__ import annotations

import argparse
import select
import sys
import tempfile
import time
from collections import deque
from http.client import HTTPException
from pathlib import Path
from random import Random
from typing import Final

from tests.fuzz.caller import Caller, Reader
from tests.fuzz.daemon import SMALL_LIMITS, ZEROS, Api, Daemon, Device, Lost
from tests.fuzz.peers import Attacker, connected
from tests.fuzz.peers import Device as Scripted

BATCH: Final = 100
_ATTACKERS: Final = 16
_SCRIPTED: Final = 16
_KEPT: Final = 400
_CALLS: Final = 5
_MOMENT: Final = 0.002
_PING_SECONDS: Final = 10.0
_GROWTH_KIB: Final = 8 * 1024
_SHOWN_METRICS: Final = (
    "udp_received",
    "coap_malformed",
    "coap_notifications",
    "coap_bad_responses",
    "coap_timeouts",
    "udp_dropped",
)
_SIMULATED: Final = "simulated"


class Run:
    """One attack: who takes part, and what was sent last."""

    def __init__(self, daemon: Daemon, random: Random) -> None:
        self.daemon = daemon
        self.sent = 0
        self.random = random
        self.last: deque[tuple[str, bytes]] = deque(maxlen=_KEPT)
        known = ["none"] * _ATTACKERS
        self.attackers = [Attacker(number, daemon.coap, random, known) for number in range(_ATTACKERS)]
        self.devices = [Scripted(number, daemon.coap, random) for number in range(_SCRIPTED)]
        scripted = [device.endpoint for device in self.devices]
        self.caller = Caller(daemon.connection(), [_SIMULATED], scripted, Random(random.random()))
        self.reader = Reader(daemon.connection())
        self._pings = connected(daemon.coap)
        self._asked = self._answered = 0

    def attack(self, count: int) -> None:
        """Send ``count`` datagrams, answers to the daemon's requests among them. Raises Lost."""
        end = self.sent + count
        while self.sent < end:
            self.caller.let(_CALLS)
            self._batch()
            self._await_ping(behind=1)
            self._settle()
            while self.caller.behind:
                select.select([device.socket for device in self.devices], [], [], _MOMENT)
                self._settle()
            self.daemon.check_log()
            failure = self.caller.failure or self.reader.failure
            if failure:
                raise Lost(failure)
        self._await_ping(behind=0)

    def _settle(self) -> None:
        for attacker in self.attackers:
            attacker.settle()
        for device in self.devices:
            for data in device.settle():
                self._note(device.name, data)

    def _batch(self) -> None:
        random = self.random
        for _ in range(BATCH):
            draw = random.random()
            if draw < 0.6:
                attacker = random.choice(self.attackers)
                self._note(attacker.name, attacker.attack())
            else:
                device = random.choice(self.devices)
                self._note(device.name, device.register() if draw > 0.99 else device.notify())

    def _note(self, name: str, data: bytes) -> None:
        self.sent += 1
        self.last.append((name, data))

    def _await_ping(self, behind: int) -> None:
        """Ping, and wait until all pings but the last ``behind`` were answered."""
        self._asked += 1
        self._pings.send(b"\x40\x00" + (self._asked & 0xFFFF).to_bytes(2, "big"))
        while self._answered < self._asked - behind:
            if not select.select([self._pings], [], [], _PING_SECONDS)[0]:
                self.daemon.check_log()
                raise Lost(f"no answer to a ping in {_PING_SECONDS:g} s")
            answer = self._pings.recv(16)
            if answer != b"\x70\x00" + ((self._answered + 1) & 0xFFFF).to_bytes(2, "big"):
                raise Lost(f"a ping was answered with {answer.hex()}")
            self._answered += 1


def check_metrics(api: Api) -> dict[str, float]:
    """The metrics. Raises Lost where one of our mistakes was counted."""
    found = api.metrics()
    counted = {name: found[name] for name in ZEROS if found[name]}
    if counted:
        raise Lost(f"it counted {counted}")
    return found


def check_service(daemon: Daemon, directory: Path, api: Api) -> None:
    """Make room, and let a device register that is new to the daemon, and read it. Raises Lost."""
    for item in api.json("GET", "/v1/devices?limit=100")["items"]:
        if item["endpoint"] != _SIMULATED:
            api.text("DELETE", f"/v1/devices/{_quoted(item['endpoint'])}")
    fresh = Device(directory, daemon.coap, "fresh")
    try:
        for endpoint in ("fresh", _SIMULATED):
            status, text = api.text("GET", f"/v1/devices/{endpoint}/resources/3/0/0")
            if status != 200 or '"lwm2md"' not in text:
                raise Lost(f"{endpoint} is not read any more: {status} {text}")
    finally:
        fresh.stop()


def _quoted(text: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415

    return quote(text, safe="")


def fuzz(run: Run, directory: Path, count: int) -> str:
    """The whole attack; returns the line that sums it up. Raises Lost."""
    daemon = run.daemon
    api = daemon.connection()
    for device in run.devices:
        device.register()
    run.reader.start()
    run.caller.start()
    began = time.monotonic()
    warm = 0
    steps = max(3, count // 5000)
    tenth = -(-steps // 10)
    for step in range(1, steps + 1):
        run.attack(count // steps)
        check_metrics(api)
        if step == (steps + 2) // 3:
            warm = daemon.resident()
        if step % tenth == 0:
            sys.stdout.write(f"{run.sent} datagrams, {daemon.resident()} KiB resident\n")
            sys.stdout.flush()
    seconds = time.monotonic() - began
    end = daemon.resident()
    run.caller.stop()
    run.reader.stop()
    check_service(daemon, directory, api)
    daemon.check_log()
    metrics = check_metrics(api)
    found = {name: metrics[f"lwm2md_{name}_total"] for name in _SHOWN_METRICS}
    summary = (
        f"{run.sent} datagrams in {seconds:.1f} s ({run.sent / seconds:.0f}/s), {run.caller.requests} API requests, "
        f"{sum(device.requests for device in run.devices)} requests answered by scripted devices, "
        f"{run.reader.events} events read; "
        f"{', '.join(f'{name} {value:.0f}' for name, value in found.items())}; "
        f"resident {warm} KiB after a third, {end} KiB at the end ({end - warm:+d})"
    )
    if end - warm > _GROWTH_KIB:
        raise Lost(f"its memory grew: {summary}")
    return summary


def main() -> int:
    """Run as the command line says and return the exit status."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Send mutated datagrams to a running daemon.")
    parser.add_argument("--count", type=int, default=200_000, help="datagrams to send (default: 200000)")
    parser.add_argument("--seed", type=int, default=None, help="the seed of all choices (default: any)")
    options = parser.parse_args()
    seed = Random().randrange(1 << 32) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="lwm2md-fuzz-") as place:
        directory = Path(place)
        daemon = Daemon(directory, SMALL_LIMITS)
        run = Run(daemon, Random(seed))
        simulated = Device(directory, daemon.coap, _SIMULATED)
        try:
            summary = fuzz(run, directory, options.count)
        except (Lost, OSError, HTTPException, AssertionError) as error:
            for name, data in run.last:
                sys.stderr.write(f"{name} {data.hex()}\n")
            sys.stderr.write(f"fuzz: FAILED, seed {seed}, after {run.sent} datagrams (the last are above): {error}\n")
            return 1
        finally:
            simulated.stop()
            daemon.stop()
    sys.stdout.write(f"fuzz: seed {seed}: {summary}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
