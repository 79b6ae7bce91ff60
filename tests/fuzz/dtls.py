"""Mutated DTLS, in this process: ``python -m tests.fuzz.dtls --count N --seed S``.

RULES: nothing may raise; nothing may come out of a session that its peer has not put in, or twice; no session may end
or move because of a forged record; what is kept must not grow; afterwards every session goes on. Otherwise the exit
status is 1, with the seed and the last datagrams.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from lwm2md.security.dtls.assembling import Assembly
from lwm2md.security.dtls.crossing import Crossing, counters
from lwm2md.security.dtls.handshake import (
    CLIENT_KEY_EXCHANGE,
    SERVER_HELLO,
    Reassembly,
    psk_identity,
    transcript,
)
from lwm2md.security.dtls.hello import Cookies, client_hello, server_hello
from lwm2md.security.dtls.records import ALERT, APPLICATION_DATA, HANDSHAKE
from lwm2md.security.dtls.session import EPOCH_1, DtlsSession, own_keys
from lwm2md.security.dtls.sessions import Sessions
from lwm2md.security.dtls.stored import StoredSession
from lwm2md.security.dtls.suites import BY_NAME, DEFAULT, Suite
from lwm2md.security.dtls.traffic import CLOSE_NOTIFY, Datagram, Traffic
from lwm2md.security.dtls.trial import Agreed
from lwm2md.security.identity import Identity
from tests.fuzz import flights, mutate
from tests.fuzz.daemon import Lost, resident
from tests.fuzz.secure import Secure
from tests.security.dtls.pair import KEY, Handshake

_DEVICES: Final = 12
_KEPT: Final = 40
_BATCH: Final = 16
_WINDOW: Final = 64
_EXPECTED: Final = 1000
_WARM: Final = 1_000_000
_GROWTH_KIB: Final = 8 * 1024


class Talk:
    """Sessions with devices, and somebody who changes, repeats and delays what these send."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.last: deque[bytes] = deque(maxlen=_KEPT)
        self.sent = 0
        self._sessions = Sessions(random.randbytes, ended=self._over, moved=lambda *_: None)
        self._traffic = Traffic(self._sessions, lambda _: None)
        self._devices: list[DtlsSession] = []
        self._ended: list[str] = []
        self._texts: dict[tuple[bytes, bytes], None] = {}
        self._old: list[bytes] = []
        self._count = 0
        for index in range(_DEVICES):
            self._join(DEFAULT[index % 8], index)

    def _join(self, suite: Suite, index: int) -> None:
        peer, block = self._sessions.new_peer(), self.random.randbytes(suite.block_length)
        address, who = bytes((index,)), Identity("psk", f"device-{index}")
        cid, own_cid = self.random.choice((b"", b"THEIRCID")), bool(index & 1)
        keys = own_keys(suite, block, client=False)
        ours = DtlsSession(peer, address, suite, keys, who, own_cid=own_cid, cid=cid, confirmed=bool(index & 2))
        keys = own_keys(suite, block, client=True)
        self._sessions.add(ours, 0.0)
        self._devices.append(DtlsSession(peer, address, suite, keys, who, cid=peer[1:] if own_cid else b""))

    def batch(self, count: int) -> None:
        """Receive so many datagrams. Raises Lost."""
        batch: list[Datagram] = []
        for _ in range(count):
            device = self.random.choice(self._devices)
            datagram = self._said(device)
            self._old.append(datagram)
            draw = self.random.random()
            if draw < 0.8:
                datagram = flights.mutated(self.random, datagram, self._old)
            elif draw < 0.85:
                datagram = self.random.choice(self._old)
            sender = device.address if self.random.random() < 0.9 else self.random.choice(self._devices).address
            self.last.append(datagram)
            batch.append((datagram, sender))
        del self._old[:-_WINDOW]
        self.sent += count
        data, _ = self._traffic.receive(batch, float(self.sent))
        for text, peer in data:
            if (peer, text) not in self._texts:
                raise Lost(f"{text.hex()} came out of {peer.hex()}, which did not say it, or said it once")
            del self._texts[peer, text]
        for lost in [*self._texts][:-_EXPECTED]:
            del self._texts[lost]
        self._traffic.send([(b"answer", peer) for _, peer in data])
        self._traffic.take()
        if self._ended:
            raise Lost(f"a session ended: {self._ended}")

    def _said(self, device: DtlsSession) -> bytes:
        """A record of a device; of those that end a session only such as are changed afterwards would be used."""
        kind = self.random.choice((APPLICATION_DATA,) * 8 + (HANDSHAKE, ALERT))
        self._count += 1
        text = self._count.to_bytes(8, "big") + self.random.randbytes(self.random.choice((0, 8, 40)))
        if kind == APPLICATION_DATA:
            self._texts[device.peer, text] = None
        record = device.seal(kind, text if kind != ALERT else b"\x01\x5a")
        assert record is not None
        return record

    def _over(self, _session: DtlsSession, cause: str) -> None:
        self._ended.append(cause)

    def check(self) -> None:
        """Every device goes on, and can close. Raises Lost."""
        for device in self._devices:
            ours = self._sessions.by_peer[device.peer]
            address = ours.address or b"new"
            record = device.seal(APPLICATION_DATA, b"still there")
            assert record is not None
            if self._traffic.receive([(record, address)], 1e9)[0] != [(b"still there", device.peer)]:
                raise Lost(f"{ours.identity.name} is not heard any more: {self._traffic.counters}")
            closing = device.seal(ALERT, CLOSE_NOTIFY)
            assert closing is not None
            self._traffic.receive([(closing, address)], 1e9)
        if len(self._sessions) or self._sessions.by_address or self._sessions.bytes:
            raise Lost("closed sessions are still there")


class Shake:
    """Flights of real handshakes, changed on their way to everything that reads them beside OpenSSL."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.last: deque[bytes] = deque(maxlen=_KEPT)
        self.sent = 0
        self._cookies = Cookies(random.randbytes)
        self._assembly = Assembly(bytes)
        self._shakes = []
        for name, own_cid, extended in (
            ("PSK-AES128-CCM8", b"", True),
            ("PSK-AES128-CCM8", b"SERVERID", True),
            ("PSK-AES128-GCM-SHA256", b"SERVERID", False),
            ("ECDHE-PSK-CHACHA20-POLY1305", b"SERVERID", True),
        ):
            shake = Handshake(BY_NAME[name], own_cid=own_cid, cid=own_cid and b"CLIENTID", extended=extended)
            shake.shake()
            self._shakes.append(shake)

    def batch(self, count: int) -> None:
        """One handshake after the other, until so many datagrams were sent. Raises Lost."""
        while count > 0:
            shake = self.random.choice(self._shakes)
            count -= self._one(shake)

    def _one(self, shake: Handshake) -> int:
        random = self.random
        client, server = Reassembly(), Reassembly()
        crossing = Crossing(counters(), own_cid=shake.server_side.own_cid, cid=shake.server_side.cid)
        every = [datagram for datagram, _ in shake.flights]
        good = [records for datagram, sent in shake.flights if sent for records in _plain(shake, datagram)]
        passed: list[bytes] = []
        sent = 0
        for datagram, from_client in shake.flights:
            for _ in range(random.choice((1, 1, 2, 3))):
                changed = flights.mutated(random, datagram, every) if random.random() < 0.7 else datagram
                self.last.append(changed)
                sent += 1
                self._assembly.add(b"there", changed, 0.0)
                hello = client_hello(changed)
                if hello is not None:
                    self._assembly.begin(b"there", changed, hello, 0.0)
                if hello is not None and not self._cookies.valid(b"there", hello, 0.0):
                    self._cookies.challenge(b"there", hello, 0.0)
                (client if from_client else server).add(changed)
                if from_client:
                    passed += crossing.incoming(changed)
        passed += crossing.keyed(shake.suite, shake.keys(client=False))
        self._look(shake, client, server)
        for record in passed:
            if record[3:5] != b"\0\0" and record not in good:
                raise Lost(f"a record passed that nobody sealed: {record.hex()}")
        self.sent += sent
        return sent

    def _look(self, shake: Handshake, client: Reassembly, server: Reassembly) -> None:
        found = server_hello(server.find(SERVER_HELLO) or b"")
        identity = psk_identity(client.find(CLIENT_KEY_EXCHANGE) or b"")
        bound = transcript(client, server)
        if found is not None and identity and shake.suite.exchange == "psk":
            agreed = Agreed(shake.suite, shake.hello.vouched[2:34], found.random, bound)
            agreed.fitting([KEY], self.last[-1] if len(self.last[-1]) > 21 else bytes(30))


class Rows:
    """Rows of storage, damaged."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.last: deque[bytes] = deque(maxlen=_KEPT)
        self.sent = 0
        suite = BY_NAME["PSK-AES128-CCM8"]
        who = Identity("x509", "name", ("a", "b"), "01", "CN=x", "ff")
        session = DtlsSession(b"\x5d" + bytes(8), b"\x04address", suite, bytes(40), who, own_cid=True, cid=b"THEIRCID")
        self._row = StoredSession.of(session).to_bytes()

    def batch(self, count: int) -> None:
        """Read so many rows."""
        for _ in range(count):
            row = mutate.raw(self.random, self._row)
            self.last.append(row)
            try:
                session = StoredSession.from_bytes(row).session()
            except ValueError:
                continue
            session.seal(APPLICATION_DATA, b"")
        self.sent += count


def _plain(shake: Handshake, datagram: bytes) -> list[bytes]:
    """What OpenSSL may see of a datagram in epoch 1."""
    crossing = Crossing(counters(), own_cid=shake.server_side.own_cid, cid=shake.server_side.cid)
    crossing.keyed(shake.suite, shake.keys(client=False))
    return [record for record in crossing.incoming(datagram) if record[3:11] >= EPOCH_1.to_bytes(8, "big")]


class Memory:
    """What this process needs in KiB: at the start, and from when a third of the attack, or a million, is over."""

    def __init__(self, count: int, say: Callable[[str], object]) -> None:
        self._say = say
        self._found: list[tuple[int, int]] = []
        self._step = max(1, count // 10)
        self._warm = min(count // 3, _WARM)

    def look(self, sent: int) -> None:
        """Say every tenth of the way how much it is."""
        if sent >= len(self._found) * self._step:
            self._found.append((sent, resident(os.getpid())))
            self._say(f"{sent} datagrams, {self._found[-1][1]} KiB resident")

    def check(self) -> str:
        """The line about it. Raises Lost where it grew."""
        end = resident(os.getpid())
        warm = next((size for sent, size in self._found if sent >= self._warm), end)
        found = f"resident {self._found[0][1]} KiB at the start, {warm} KiB when warm, {end} KiB at the end"
        if end - warm > _GROWTH_KIB:
            raise Lost(f"its memory grew: {found}")
        return found


def fuzz(count: int, random: Random, say: Callable[[str], object] = str) -> str:
    """The whole attack; returns the line that sums it up. Raises whatever goes wrong, with the last datagrams.

    ``say`` is told on the way how far it is.
    """
    began = time.monotonic()
    talk, shake, rows, secure = Talk(random), Shake(random), Rows(random), Secure(random)
    parts = (talk, shake, rows, secure)
    memory = Memory(count, say)
    while (sent := sum(part.sent for part in parts)) < count:
        memory.look(sent)
        # A round of the last one is some hundred datagrams.
        part = random.choices(parts, (40, 20, 10, 4))[0]
        try:
            part.batch(_BATCH)
        except Exception:
            sys.stderr.writelines(f"{datagram.hex()}\n" for datagram in part.last)
            raise
    talk.check()
    secure.check()
    seconds = time.monotonic() - began
    return (
        f"{talk.sent} records, {shake.sent} flights, {rows.sent} rows, {secure.sent} at a secure port "
        f"in {seconds:.1f} s; {secure.shown()}; {memory.check()}"
    )


def main() -> int:
    """Run as the command line says and return the exit status."""
    parser = argparse.ArgumentParser("python -m tests.fuzz.dtls", description="Mutated DTLS, in this process.")
    parser.add_argument("--count", type=int, default=100_000, help="datagrams (default: 100000)")
    parser.add_argument("--seed", type=int, default=None, help="the seed of all choices (default: any)")
    options = parser.parse_args()
    seed = Random().randrange(1 << 32) if options.seed is None else options.seed
    try:
        summary = fuzz(options.count, Random(seed), partial(print, flush=True))
    except Exception:
        sys.stderr.write(f"{traceback.format_exc()}fuzz: DTLS FAILED, seed {seed} (the last datagrams are above)\n")
        return 1
    sys.stdout.write(f"fuzz: DTLS, seed {seed}: {summary}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
