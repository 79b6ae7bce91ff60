"""What passes as it is on the wire, and the secrets that open it: from a handshake to a file, by our own reader."""

from __future__ import annotations

import struct
from random import Random

import msgspec
from cryptography.exceptions import InvalidTag
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.security import audit
from lwm2md.security.dtls import keys
from lwm2md.security.dtls.ciphers import opener
from lwm2md.security.dtls.records import APPLICATION_DATA, TLS12_CID, number, split
from lwm2md.security.dtls.session import own_keys
from lwm2md.security.dtls.suites import BY_NAME
from lwm2md.server.effects import Commit
from lwm2md.tracing.pcapng import capture
from lwm2md.tracing.ring import Seen
from lwm2md.tracing.trace import SIZE, Trace
from lwm2md.tracing.traces import Asked, Tracing
from lwm2md.tracing.wire import Wire
from tests.net.dtlsnet import KEY, SERVER, Device, FakeKeys, Net, SecureServer, device, psk_terms
from tests.tracing.support import peer
from tests.tracing.test_pcapng import blocks

_UDP = 28
_RANDOM = slice(13 + 12 + 2, 13 + 12 + 2 + 32)
CCM_8 = (BY_NAME["PSK-AES128-CCM8"],)


class Capture:
    """A file, as whoever gets it can read it."""

    def __init__(self, file: bytes) -> None:
        self.log = ""
        self.packets: list[bytes] = []
        for kind, body in blocks(file):
            if kind == 10:
                magic, size = struct.unpack_from("<II", body)
                assert (magic.to_bytes(4, "big"), self.packets) == (b"TLSK", [])
                self.log += body[8 : 8 + size].decode()
            elif kind == 6:
                (size,) = struct.unpack_from("<I", body, 12)
                self.packets.append(body[20 : 20 + size])

    def opened(self) -> list[bytes]:
        """What devices have said, opened by the key log and what else is in the file."""
        masters = {}
        for line in self.log.splitlines():
            word, random, master = line.split(" ")
            assert word == "CLIENT_RANDOM"
            masters[bytes.fromhex(random)] = bytes.fromhex(master)
        found: list[bytes] = []
        client = ours = b""
        for record in (record for packet in self.packets for record in split(packet[_UDP:])[0]):
            if record[0] == 22 and record[13] == 1:
                client = record[_RANDOM]
            elif record[0] == 22 and record[13] == 2:
                block = keys.key_block(CCM_8[0], masters[client], client, record[_RANDOM])
                ours = own_keys(CCM_8[0], block, client=False)
            elif record[0] in {APPLICATION_DATA, TLS12_CID} and number(record) > 1 << 48:
                unseal = opener(CCM_8[0], ours[16:32], ours[36:], cid=record[0] == TLS12_CID)
                try:
                    plain = unseal(record, number(record))
                except InvalidTag:  # of the server's
                    continue
                found += [plain[1]] if plain is not None else []
        return found


class WireTests(SynchronousTestCase):
    """Traces that asked for secrets."""

    def setUp(self) -> None:
        self.net = Net()
        known = FakeKeys(self.net.clock, {b"device": (KEY,), b"other": (KEY,)})
        self.server = SecureServer(self.net, known, CCM_8)
        self.commits: list[Commit] = []
        self.tracing = self.make()

    def make(self, trace_size: int = 1 << 20) -> Tracing:
        """Tracing of that server."""
        made = Tracing(
            lambda _endpoint: None,
            lambda _peer: None,
            self.commits.append,
            Random(1).randbytes,
            budget=1 << 16,
            most=9,
            trace_size=trace_size,
        )
        made.watch(self.watch)
        return made

    def watch(self, wire: Wire | None) -> None:
        """Let somebody look."""
        self.server.port.wire = wire

    def start(self, **asked: object) -> Trace:
        """Start a trace."""
        known = set(self.tracing.traces)
        self.tracing.start(msgspec.convert(asked, Asked), 0.0, lambda *_: None, "admin")
        return next(trace for name, trace in self.tracing.traces.items() if name not in known)

    def device(self, name: bytes, port: int, cid: bytes | None = None) -> Device:
        """A device with a key."""
        return device(self.net, psk_terms(name, suites=CCM_8, cid=cid), port)

    def file(self, trace: Trace) -> Capture:
        """The file of a trace."""
        return Capture(capture(trace.recorded, "test", trace.wired))

    def test_the_file_opens_itself(self) -> None:
        """With its secrets a file shows what was in the records of the one that was asked for, and of nobody else."""
        for cid in (None, b""):
            traces = self.start(identity="device", secrets=True), self.start(address="192.0.2.9", secrets=True)
            one, other = self.device(b"device", 40001, cid), self.device(b"other", 40002, cid)
            self.assertEqual((one.say(b"hello"), other.say(b"there")), ([b"HELLO"], [b"THERE"]))
            self.assertEqual([self.file(trace).opened() for trace in traces], [[b"hello"], [b"hello", b"there"]])
            ports = {packet[20:22] for packet in self.file(traces[0]).packets}
            self.assertEqual(ports, {(40001).to_bytes(2, "big"), SERVER.port.to_bytes(2, "big")})
            for trace in traces:
                self.tracing.remove(trace, lambda *_: None)
            for each in (one, other):
                each.link.close()

    def test_as_on_the_wire(self) -> None:
        """Every datagram is there once, as it was, and in its order."""
        trace = self.start(identity="device", secrets=True)
        self.device(b"device", 40001).say(b"hello")
        sent = [data for data, _, _ in self.net.log]
        self.assertEqual([packet[_UDP:] for packet in self.file(trace).packets], sent)

    def test_another_address(self) -> None:
        """A device with a Connection ID is followed to where it goes."""
        trace = self.start(identity="device", secrets=True)
        one = self.device(b"device", 40001, b"")
        one.say(b"hello")
        one.move(40009)
        one.say(b"again")
        self.assertEqual(self.file(trace).opened(), [b"hello", b"again"])

    def test_a_session_from_before(self) -> None:
        """What began before the trace can't be opened: nothing was kept of it."""
        one = self.device(b"device", 40001)
        one.say(b"hello")
        trace = self.start(address="192.0.2.9", secrets=True)
        one.say(b"again")
        found = self.file(trace)
        self.assertEqual((found.log, len(found.packets)), ("", 2))

    def test_only_who_asked(self) -> None:
        """Nobody looks where no trace asked for it; what was kept goes with the trace."""
        self.assertIsNone(self.server.port.wire)
        plain = self.start(address="192.0.2.9")
        self.assertIsNone(self.server.port.wire)
        trace = self.start(address="192.0.2.9", secrets=True)
        self.assertIsNotNone(self.server.port.wire)
        self.device(b"device", 40001).say(b"hello")
        self.tracing.remove(trace, lambda *_: None)
        self.assertIsNone(self.server.port.wire)
        self.assertEqual((plain.wired, self.file(plain).log), (None, ""))

    def test_audited(self) -> None:
        """That secrets were asked for and read is in the audit log, each in the transaction that allows it."""
        self.start(address="192.0.2.9")
        trace = self.start(identity="device", secrets=True)
        self.tracing.tell_secrets(trace, "admin", 5.0, lambda *_: None)
        plain, begun, read = self.commits
        self.assertEqual(plain.records, ())
        found = [audit.from_row(row) for row in (*begun.records, *read.records)]
        self.assertEqual(
            [(each.action, each.by, each.subject) for each in found],
            [("trace.secrets", "admin", trace.definition.id), ("trace.secrets-read", "admin", trace.definition.id)],
        )
        self.assertEqual(found[0].details, {"identity": "device"})
        self.assertTrue(trace.document().secrets)
        self.assertNotIn("CLIENT", repr(trace))

    def test_room(self) -> None:
        """A trace ends when its room is used up by what passes, too."""
        self.tracing = self.make(1000)
        trace = self.start(address="192.0.2.9", secrets=True)
        self.device(b"device", 40001).say(b"hello")
        self.assertEqual(trace.reason, SIZE)
        self.assertLess(trace.size, 2000)
        self.assertIsNone(self.server.port.wire)

    def test_what_is_kept_for_a_moment(self) -> None:
        """Of those who may turn out to be the one, no more is kept than there is room for, and no application data."""
        wire = Wire(lambda _: None, budget=10_000)
        trace = self.start(identity="device", secrets=True)
        wire.run((trace,))
        for turn in range(100):
            wire.received([(b"\x16" + bytes(300), peer(port=turn)), (b"\x17" + bytes(300), peer(port=turn))], 0.0)
        wire.established(peer(port=99), b"cid", "device", (b"m", b"c", b"s"))
        wire.established(peer(port=1), b"dic", "device", (b"m", b"c", b"s"))
        assert trace.wired is not None
        self.assertEqual([seen.peer for seen in trace.wired.records], [peer(port=99)])
        wire.run(())
        wire.run((trace,))
        wire.established(peer(port=98), b"icd", "device", (b"m", b"c", b"s"))
        self.assertEqual(len(trace.wired.records), 1)

    def test_plain_coap(self) -> None:
        """Messages without security are in the file as ever, and those opened are not there twice."""
        trace = self.start(address="0.0.0.0/0", secrets=True)
        plain = Seen(1.0, True, b"\x40\x01\0\1", peer("192.0.2.3"))
        trace.recorded += [plain, Seen(2.0, True, b"\x40\x01\0\2", b"\x5d" + bytes(8), address=peer("192.0.2.9"))]
        trace.wire(Seen(0.5, True, b"\x17", peer("192.0.2.9")))
        self.assertEqual([packet[_UDP:] for packet in self.file(trace).packets], [b"\x17", plain.data])
