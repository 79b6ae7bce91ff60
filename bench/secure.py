"""DTLS as a whole: ``python -m bench.secure [--short] [updates handshakes memory restart flood]``.

Daemon and baseline (`dtlsecho`) take turns, each on a core of its own; the load is generated here, on the other. It is
slower than they are, so rates would say nothing: what is compared is the processor time that the server takes for the
same datagrams, which come in bursts of 64. Records of devices are sealed before, by the keys of their handshakes.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

import attrs

from bench.dtlsecho import KEY
from bench.servers import LOAD_CORE, SERVER_CORE, Running, daemon, free_port, processor_time
from bench.shaking import BURST, DEVICES, Caught, Device, dial, enough, name, register
from lwm2md.chance import Chance
from lwm2md.coap.message import Message, encode, options
from lwm2md.coap.numbers import CHANGED, CON, POST
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.paths import Path as ResourcePath
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.calling import ClientHandshake, ClientTerms
from lwm2md.net.handshakes import Timing
from lwm2md.net.openssl import Context
from lwm2md.security.dtls.records import CID_LENGTH
from lwm2md.security.dtls.session import PEER, DtlsSession
from lwm2md.security.dtls.stored import StoredSession
from lwm2md.security.dtls.suites import BY_NAME
from lwm2md.security.identity import Identity
from lwm2md.security.sealing import Seal
from lwm2md.server import stored
from lwm2md.server.effects import Write
from lwm2md.server.records import Registration
from lwm2md.server.registrationrows import registration_row
from lwm2md.storage._database import Database
from lwm2md.storage.interface import Batch

SESSIONS: Final = 50_000
CCM_8: Final = BY_NAME["PSK-AES128-CCM8"]
_PATHS: Final = ("/1/0", "/3/0", "/4/0", "/5/0", "/6/0", "/7/0", "/3303/0", "/3303/1", "/3304/0", "/3315/0")
_SPREAD: Final = 2048
_DAY: Final = 86400.0
_ROUNDS: Final = 30
_SETTLED: Final = 100_000
_SOURCES: Final = 250

chance = Chance()


@contextmanager
def secure_daemon(count: int, *settings: str, prepare: Callable[[Path, int], None] | None = None) -> Iterator[Running]:
    """The daemon with a secure port, and keys for so many devices; ``port`` is the secure one."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as keys:
        keys.writelines(f"{name(number)},{KEY.hex()},{name(number)}\n" for number in range(count))
        keys.flush()
        port = free_port()
        chosen = (f"coaps.listen=127.0.0.1:{port}", f"security.psk={keys.name}", *settings)
        inner = None if prepare is None else lambda state, _: prepare(state, port)
        with daemon(*chosen, prepare=inner) as server:
            yield attrs.evolve(server, port=port)


@contextmanager
def echo() -> Iterator[Running]:
    """The baseline."""
    port = free_port()
    root = Path(__file__).parent.parent
    command = ["taskset", "-c", SERVER_CORE, sys.executable, "-m", "bench.dtlsecho", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield Running(port, process)
        finally:
            process.kill()


def burst(devices: Sequence[Device], records: Sequence[Sequence[bytes]], rounds: int) -> None:
    """Send a record of each device in bursts, so many times, and wait for the answers of each."""
    for turn in range(rounds):
        for start in range(0, len(devices), BURST):
            group = devices[start : start + BURST]
            for offset, device in enumerate(group):
                device.socket.send(records[start + offset][turn])
            for device in group:
                device.socket.recv(2048)


def updates(server: Running, rounds: int, *, registers: bool) -> float:
    """Microseconds of processor time for an Update, or for the echo of as many bytes."""
    context = Context((CCM_8,), server=False)
    devices = enough(server.port, context, DEVICES)
    records = []
    for number, device in enumerate(devices):
        location = register(device, number) if registers else "0" * 16
        extra = options(path=("rd", location))
        texts = [encode(Message(CON, POST, 100 + turn, b"", extra, b"")) for turn in range(rounds + 1)]
        records.append([device.seal(text) for text in texts])
    device = devices[0]
    device.socket.send(records[0].pop())
    if registers:
        assert device.answer().code == CHANGED
    else:
        device.socket.recv(2048)
    before = processor_time(server.process)
    burst(devices, records, rounds)
    return (processor_time(server.process) - before) / (rounds * DEVICES) * 1e6


def handshakes(server: Running, count: int) -> float:
    """Microseconds of processor time for a handshake."""
    context = Context((CCM_8,), server=False)
    # The baseline knows an address for good, so that none may come again.
    devices = enough(server.port, context, BURST)
    before = processor_time(server.process)
    devices += enough(server.port, context, count)
    used = processor_time(server.process) - before
    for device in devices:
        device.socket.close()
    return used / count * 1e6


def compare(what: str, asked: float, measure: Callable[[Running, bool], float], pairs: int) -> None:
    """Print the ratio of baseline and daemon."""
    ratios = []
    for _ in range(pairs):
        with echo() as server:
            below = measure(server, False)
        with secure_daemon(DEVICES, "coaps.handshake-rate=100000", "coaps.handshake-rate-source=100000") as server:
            above = measure(server, True)
        ratios.append(below / above)
        print(f"  {what}: {above:.1f} us, baseline {below:.1f} us, ratio {ratios[-1]:.2f}", flush=True)
    print(f"{what}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), asked: {asked}")


# Fleets that are written into the state of a daemon


def fleet(count: int, *, sessions: bool) -> tuple[Callable[[Path, int], None], list[DtlsSession]]:
    """What writes a registered fleet, with its sessions or without; and the other ends of the sessions."""
    ends: list[DtlsSession] = []

    def prepare(state: Path, port: int) -> None:
        database = Database(state / "lwm2md.sqlite")
        database.open()
        seal = Seal(None, chance)
        writes: list[Write] = []
        for number in range(count):
            row, session, end = _member(number, port)
            writes.append(row)
            if sessions:
                key = session.peer[1:].hex()
                writes.append(Write("sessions", key, seal.seal(StoredSession.of(session).to_bytes(), key)))
                ends.append(end)
            if len(writes) > 20_000:
                database.commit(Batch(tuple(writes)))
                writes.clear()
        database.commit(Batch(tuple(writes)))
        database.close()

    return prepare, ends


def _member(number: int, port: int) -> tuple[Write, DtlsSession, DtlsSession]:
    now = time.time()
    objects = ObjectList("/", (), tuple(map(ResourcePath.parse, _PATHS)), {}, ())
    peer = PEER + number.to_bytes(CID_LENGTH, "big")
    registration = Registration(
        f"secure{number:06d}", name(number), peer, "coaps", name(number), "1.1", int(_DAY), "U",
        queue_mode=False, sms=None, objects=objects, labels={}, registered_at=now, updated_at=now,
    )  # fmt: skip
    block = chance(CCM_8.block_length)
    swapped = block[16:32] + block[:16] + block[36:40] + block[32:36]
    address = pack(Endpoint("127.0.0.1", port), Endpoint("127.0.0.1", 10_000 + number))
    session = DtlsSession(peer, address, CCM_8, block, Identity("psk", name(number)), own_cid=True)
    session.seen = now
    end = DtlsSession(b"", b"", CCM_8, swapped, Identity("psk", "server"), cid=peer[1:])
    return Write(stored.REGISTRATIONS, name(number), registration_row(registration)), session, end


def memory(count: int) -> None:
    """Print what an idle session takes beside its registration."""
    resident = []
    for sessions in (False, True):
        prepare, _ = fleet(count, sessions=sessions)
        with secure_daemon(1, prepare=prepare) as server:
            time.sleep(1)
            resident.append(server.resident())
    print(f"memory of an idle session: {(resident[1] - resident[0]) / count:.0f} bytes of {count:,}, asked: 1024")


def restart(count: int) -> None:
    """Print how many of a fleet go on after a restart, each with an Update, and how many shake hands."""
    prepare, ends = fleet(count, sessions=True)
    began = time.perf_counter()
    with secure_daemon(1, prepare=prepare) as server:
        took = time.perf_counter() - began
        sockets = [dial(server.port) for _ in range(min(count, _SPREAD))]
        devices = [Device(sockets[number % len(sockets)], end) for number, end in enumerate(ends)]
        good = 0
        for start in range(0, count, BURST):
            group = devices[start : start + BURST]
            for offset, device in enumerate(group):
                extra = options(path=("rd", f"secure{start + offset:06d}"))
                device.socket.send(device.seal(encode(Message(CON, POST, 7, b"", extra, b""))))
            good += sum(device.answer().code == CHANGED for device in group)
    print(f"restart with {count:,} sessions: {good:,} went on, up after {took:.1f} s (writing them included)")


def flood(seconds: float, hellos: int) -> None:
    """Print what a flood of hellos from forged addresses takes of the memory, and what it leaves to devices."""
    with secure_daemon(DEVICES) as server:
        context = Context((CCM_8,), server=False)
        devices = enough(server.port, context, DEVICES)
        locations = [register(device, number) for number, device in enumerate(devices)]
        resident = server.resident()
        with _flooded(server, hellos):
            time.sleep(seconds)
            alone = server.resident() - resident
        filled = _fill(server, devices, locations) - resident - alone
        before = _rate(devices, locations, seconds)
        resident = server.resident()
        with _flooded(server, hellos):
            left = _rate(devices, locations, seconds)
            grown = server.resident() - resident
    print(
        f"flood of {hellos:,} hellos/s: {left / before:.2f} of {before:,.0f} Updates/s left, asked: 0.5; memory grew "
        f"by {alone / 1e6:.1f} MB from the start, by {grown / 1e6:.1f} MB beside Updates once these had filled what is "
        f"bounded ({filled / 1e6:.1f} MB, the message ring for the most part)"
    )


@contextmanager
def _flooded(server: Running, hellos: int) -> Iterator[None]:
    command = [sys.executable, "-c", f"from bench.secure import _flood; _flood({server.port}, {hellos})"]
    with subprocess.Popen(["taskset", "-c", LOAD_CORE, *command]) as process:
        time.sleep(1)
        try:
            yield
        finally:
            process.kill()


def _fill(server: Running, devices: Sequence[Device], locations: Sequence[str]) -> int:
    """Send Updates until they let the memory grow no more; the resident memory then."""
    resident = 0
    for _ in range(_ROUNDS):
        before, resident = resident, server.resident()
        if resident - before < _SETTLED:
            break
        _rate(devices, locations, 2.0)
    return resident


def _rate(devices: Sequence[Device], locations: Sequence[str], seconds: float) -> float:
    """Updates a second that are answered; one that is lost is not sent again."""
    done, turn, began = 0, 0, time.perf_counter()
    for device in devices:
        device.socket.settimeout(0.1)
    while time.perf_counter() - began < seconds:
        turn += 1
        for start in range(0, len(devices), BURST):
            group = devices[start : start + BURST]
            for offset, device in enumerate(group):
                extra = options(path=("rd", locations[start + offset]))
                device.socket.send(
                    device.seal(encode(Message(CON, POST, chance(1)[0] << 8 | turn % 256, b"", extra, b"")))
                )
            for device in group:
                with suppress(TimeoutError):
                    device.socket.recv(2048)
                    done += 1
    return done / (time.perf_counter() - began)


def _flood(port: int, rate: int) -> None:
    """Send hellos of one client after another, which never hears the answer."""
    caught = Caught(dial(port))
    terms = ClientTerms(Context((CCM_8,), server=False))
    ClientHandshake(caught, b"", PEER + bytes(CID_LENGTH), Timing(), 0.0, terms).start(0.0)
    sockets = [_forged(number) for number in range(_SOURCES)]
    number = 0
    due = time.perf_counter()
    while True:
        for forged in sockets:
            forged.sendto(caught.datagrams[0], ("127.0.0.1", port))
        # Nobody who floods comes from the same address twice for long.
        for _ in range(_SOURCES // 10):
            sockets[number % _SOURCES].close()
            sockets[number % _SOURCES] = _forged(number)
            number += 1
        due += len(sockets) / rate
        time.sleep(max(0.0, due - time.perf_counter()))


def _forged(number: int) -> socket.socket:
    forged = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    forged.bind((f"127.{1 + number % 200}.{number % 251}.{1 + number // 251 % 250}", 0))
    return forged


def main() -> None:
    """Measure what the command line names, everything by default."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--short", action="store_true")
    chosen = parser.parse_args()
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    short = chosen.short
    every: dict[str, Callable[[], None]] = {
        "updates": partial(
            compare, "Updates over DTLS", 1.1,
            lambda server, ours: updates(server, 40 if short else 400, registers=ours), 1 if short else 5,
        ),
        "handshakes": partial(
            compare, "handshakes", 0.7, lambda server, _: handshakes(server, 640 if short else 3200), 1 if short else 5
        ),
        "memory": partial(memory, 5000 if short else SESSIONS),
        "restart": partial(restart, 5000 if short else SESSIONS),
        "flood": partial(flood, 2 if short else 10, 10_000),
    }  # fmt: skip
    for wanted in chosen.names or every:
        every[wanted]()


if __name__ == "__main__":
    main()
