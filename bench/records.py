"""What a DTLS record costs, and what a session that sleeps: ``python -m bench.records [RECORDS] [SESSIONS]``.

For each cipher: one record opened and its answer sealed, by OpenSSL through memory BIOs as a bare pyOpenSSL echo does
it, and by our record layer in batches of 64 of as many devices, without and with a Connection ID. Processor time of
this thread, each the best of several runs, all in turn in one process. Then the resident memory of idle sessions, in a
process of its own, with their identities and all entries of the table, and the time of a restart that takes them back.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lwm2md.security.dtls.records import APPLICATION_DATA
from lwm2md.security.dtls.session import DtlsSession, own_keys
from lwm2md.security.dtls.sessions import Limits, Sessions
from lwm2md.security.dtls.stored import StoredSession
from lwm2md.security.dtls.suites import BY_NAME, Suite
from lwm2md.security.dtls.traffic import Datagram, Traffic
from lwm2md.security.identity import Identity
from tests.security.dtls.pair import Handshake

SUITES: Final = (
    "PSK-AES128-CCM8",
    "PSK-AES128-CCM",
    "PSK-AES128-GCM-SHA256",
    "PSK-AES256-CCM8",
    "PSK-AES256-GCM-SHA384",
    "PSK-CHACHA20-POLY1305",
)
BATCH: Final = 64
_TEXT: Final = bytes(30)  # about as long as an Update
_RUNS: Final = 5


def openssl(suite: Suite, count: int) -> Callable[[], float]:
    """Return what measures OpenSSL's echo: seconds a record."""
    shake = Handshake(suite)
    shake.shake()
    client, server = shake.client.connection, shake.server.connection

    def run() -> float:
        records = []
        for _ in range(count):
            client.send(_TEXT)
            records.append(client.bio_read(2048))
        began = time.thread_time()
        for record in records:
            server.bio_write(record)
            server.send(server.recv(2048))
            server.bio_read(2048)
        return (time.thread_time() - began) / count

    return run


def ours(suite: Suite, count: int, *, cid: bool) -> Callable[[], float]:
    """Return what measures our echo: seconds a record."""
    sessions = _sessions()
    traffic = Traffic(sessions, lambda _: None)
    devices = []
    for _ in range(BATCH):
        session, device = _pair(sessions, suite, cid=cid)
        sessions.add(session, 0.0)
        devices.append((device, session.address))

    def run() -> float:
        batches = []
        for _ in range(count // BATCH):
            batch: list[Datagram] = []
            for device, address in devices:
                record = device.seal(APPLICATION_DATA, _TEXT)
                assert record is not None
                batch.append((record, address))
            batches.append(batch)
        began = time.thread_time()
        for batch in batches:
            data, _ = traffic.receive(batch, 1.0)
            out, _ = traffic.send(data)
        took = time.thread_time() - began
        assert len(out) == BATCH
        return took / (len(batches) * BATCH)

    return run


def _sessions() -> Sessions:
    return Sessions(os.urandom, Limits(), ended=lambda *_: None, moved=lambda *_: None)


def _pair(sessions: Sessions, suite: Suite, *, cid: bool) -> tuple[DtlsSession, DtlsSession]:
    """Return a session and the one of its device."""
    peer, block = sessions.new_peer(), os.urandom(suite.block_length)
    address = b"\x04" + os.urandom(12)
    who = Identity("psk", f"urn:dev:os:{peer.hex()}")
    device = DtlsSession(peer, address, suite, own_keys(suite, block, client=True), who, cid=peer[1:] if cid else b"")
    return DtlsSession(peer, address, suite, own_keys(suite, block, client=False), who, own_cid=cid), device


def speed(count: int) -> None:
    """Print what records cost."""
    print(f"{'microseconds per record, opened and answered':<46}{'OpenSSL':>9}{'ours':>9}{'ratio':>9}{'with CID':>9}")
    for name in SUITES:
        suite = BY_NAME[name]
        runs = openssl(suite, count), ours(suite, count, cid=False), ours(suite, count, cid=True)
        best = [min(times) * 1e6 for times in zip(*([run() for run in runs] for _ in range(_RUNS)), strict=True)]
        print(f"{name:<46}{best[0]:>9.2f}{best[1]:>9.2f}{best[0] / best[1]:>9.2f}{best[2]:>9.2f}")


def memory(count: int) -> None:
    """Print what idle sessions take in this process, which must be fresh."""
    suite = BY_NAME["PSK-AES128-CCM8"]
    sessions = _sessions()
    rows = [StoredSession.of(_pair(sessions, suite, cid=True)[0]).to_bytes() for _ in range(count)]
    before = _resident()
    began = time.thread_time()
    sessions.restore([StoredSession.from_bytes(row).session() for row in rows])
    took = time.thread_time() - began
    size = (_resident() - before) / count
    print(f"{count} idle sessions: {size:.0f} bytes each; taken back from storage in {took:.2f} s")


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    """Measure and print."""
    if sys.argv[1:2] == ["memory"]:
        memory(int(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    idle = sys.argv[2] if len(sys.argv) > 2 else "50000"
    speed(count)
    subprocess.run([sys.executable, "-m", "bench.records", "memory", idle], check=True)


if __name__ == "__main__":
    main()
