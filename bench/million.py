"""A million registered devices in one daemon: ``python -m bench.run million``, or ``python -m bench.million DEVICES``.

The fleet is written into a state directory as the product itself would have left it (a registration of ten links, a
device and a refresh for each, through the product's own encoding), then a real daemon is started on it. What counts is
when it answers its first Update, when it has taken up everybody, what it takes of memory, and what an Update costs in
processor time beside one of a thousand devices. The longest that an Update had to wait is looked for while the daemon
is still reading the fleet back, and later while it writes a million refreshes behind.
"""

from __future__ import annotations

import os
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

from bench.servers import Running, ask, build, daemon, load_words, processor_time
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.objectlists import ObjectLists
from lwm2md.server.records import NO_LABELS, Device, Registration
from lwm2md.server.refreshes import ALIVE
from lwm2md.server.registrationrows import refresh_row, registration_row
from lwm2md.storage._database import Database
from lwm2md.storage.interface import Batch

LINKS = b"</1/0>,</3/0>,</4/0>,</5/0>,</6/0>,</7/0>,</3303/0>,</3303/1>,</3304/0>,</3315/0>"
FEW, MILLION = 1000, 1_000_000
WINDOW = 64
_DAY, _HOUR = 86400.0, 3600.0
_AT_ONCE = 50_000
_PORT = 20_000
_UPDATE = b"\xb2rd\x0d\x03million%09d"
_STRIDE = 618_033
_TRY, _PATIENCE = 0.1, 30.0
SECONDS, ROUNDS, MINUTE, SWEEPS = 3.0, 3, 60.0, 12.0
HTTP_OK = 200


def prepare(state: Path, port: int, *, devices: int) -> None:
    """Write ``devices`` that were last heard of by a daemon at ``port`` within the last hour."""
    database = Database(state / "lwm2md.sqlite")
    database.open()
    for rows in (_registrations, _devices, _refreshes):
        writes = rows(port, devices, time.time())
        while batch := tuple(islice(writes, _AT_ONCE)):
            database.commit(Batch(batch))
    database.commit(Batch((Write(stored.META, ALIVE, str(time.time()).encode()),)))
    database.close()


def _registrations(port: int, devices: int, now: float) -> Iterator[Write]:
    for registration in _fleet(port, devices):
        registration.updated_at = now - _DAY / 2
        yield Write(stored.REGISTRATIONS, registration.endpoint, registration_row(registration))


def _devices(port: int, devices: int, now: float) -> Iterator[Write]:
    for number in range(devices):
        endpoint = _endpoint(number)
        yield Write(stored.DEVICES, endpoint, stored.device_row(Device(endpoint, last_seen=now - _DAY / 2)))


def _refreshes(port: int, devices: int, now: float) -> Iterator[Write]:
    for number, registration in enumerate(_fleet(port, devices)):
        registration.updated_at = now - _HOUR * number / devices
        yield Write(stored.REFRESHES, registration.endpoint, refresh_row(registration))


def _fleet(port: int, devices: int) -> Iterator[Registration]:
    """One record that is each of the devices in its turn."""
    objects = ObjectLists().read(LINKS, "1.1")
    now = time.time()
    one = Registration(
        "", "", b"", "coap", None, "1.1", int(_DAY), "U",
        queue_mode=False, sms=None, objects=objects, labels=NO_LABELS,
        registered_at=now - _DAY / 2, updated_at=now,
    )  # fmt: skip
    for number in range(devices):
        one.id, one.endpoint, one.peer = f"million{number:09d}", _endpoint(number), _peer(port, number)
        yield one


def _endpoint(number: int) -> str:
    return f"urn:imei:35{number:013d}"


def _peer(port: int, number: int) -> bytes:
    return pack(Endpoint("127.0.0.1", port), Endpoint(_host(number), _PORT))


def _host(number: int) -> str:
    number += 1 << 16
    return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def measure(devices: int = MILLION) -> None:
    """Start daemons on a fleet of a thousand and on the large one, and print what they take."""
    few, many = _run(FEW), _run(devices)
    print(f"processor time of an Update of {FEW:,} devices / of {devices:,}: {few / many:.2f}, asked: >= 0.7")


def _run(devices: int) -> float:
    """The microseconds of processor time that the daemon has for an Update."""
    first = _First(devices)
    prepared = partial(prepare, devices=devices)
    with daemon(prepare=prepared, meanwhile=first.await_answer) as server:
        while ask(server, "GET", "/health/ready") != HTTP_OK:
            time.sleep(0.1)
        ready, used = time.monotonic() - first.began, processor_time(server.process)
        print(f"{devices:,} devices: the first Update is answered after {first.answered:.1f} s, the longest of those")
        print(f"  while the fleet is taken up waits {first.longest * 1e3:.0f} ms; ready after {ready:.1f} s of which")
        print(
            f"  {used:.1f} s of processor time; {server.resident() / devices:,.0f} bytes resident a device", flush=True
        )
        each = _cost(server, devices)
        print(f"  {each:.2f} us of processor time an Update, {_sweep(server, devices)}", flush=True)
        return each


def _cost(server: Running, devices: int) -> float:
    """Of a large fleet all of a flush interval counts, with the refreshes that are written behind."""
    costs = []
    rounds, seconds = (ROUNDS, SECONDS) if devices <= FEW else (1, MINUTE)
    for _ in range(rounds):
        before = processor_time(server.process)
        _, rate = again(server, devices, seconds)
        costs.append((processor_time(server.process) - before) / (rate * seconds) * 1e6)
    return statistics.median(costs)


def _sweep(server: Running, devices: int) -> str:
    """How long an Update waits at most while all those refreshes are written behind."""
    longest, _ = again(server, devices, SWEEPS, "probe")
    return f"one waits {longest:.0f} ms at most while the refreshes are written"


def again(server: Running, devices: int, seconds: float, mode: str = "again") -> tuple[float, float]:
    """Update devices; the milliseconds of the one that waited longest, and the rate."""
    longest, rate = load_words(mode, server.port, devices, seconds, WINDOW)
    return float(longest), float(rate)


class _First:
    """Updates of one device after the other, in no order, while the daemon starts: when does it begin to answer?"""

    def __init__(self, devices: int) -> None:
        self._devices = devices
        self.began = self.answered = self.longest = 0.0

    def await_answer(self, port: int, api: int) -> None:
        """Send Updates until one was answered, and then until the API is there; the last device's comes first."""
        self.began = time.monotonic()
        number = self._devices - 1
        while not self.answered or not _listens(api):
            sent = time.monotonic()
            self._update(port, number)
            if self.answered:
                self.longest = max(self.longest, time.monotonic() - sent)
                number = (number + _STRIDE) % self._devices

    def _update(self, port: int, number: int) -> None:
        """Send a device's Update until it is answered, or for a moment where none was yet."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.bind((_host(number), _PORT))
            device.settimeout(_TRY)
            device.connect(("127.0.0.1", port))
            token = os.urandom(4)
            device.send(b"\x44\x02" + os.urandom(2) + token + _UPDATE % number)
            until = time.monotonic() + (_PATIENCE if self.answered else _TRY)
            while time.monotonic() < until:
                try:
                    if device.recv(64)[4:8] == token:
                        self.answered = self.answered or time.monotonic() - self.began
                        return
                except OSError:  # nothing yet
                    time.sleep(_TRY / 10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    build()
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else MILLION)
