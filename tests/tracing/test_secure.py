"""Traces of peers that are named by their DTLS sessions: where they are, and what became of their handshakes."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server.effects import Commit
from lwm2md.tracing.pcapng import capture, packet
from lwm2md.tracing.ring import Seen
from lwm2md.tracing.shown import document
from lwm2md.tracing.trace import Trace
from lwm2md.tracing.traces import Asked, Tracing
from tests.tracing.support import peer, registration, request

SECURE = b"\x5d" + bytes(8)
GONE = b"\x5d" + bytes(7) + b"\1"


class SecureTests(SynchronousTestCase):
    """A daemon's tracing, with a session at an address."""

    def setUp(self) -> None:
        """Make it."""
        live = {"a": registration("a", SECURE)}
        self.count = 0
        self.commits: list[Commit] = []
        self.tracing = Tracing(
            live.get,
            {SECURE: "key-of-a"}.get,
            self._store,
            self._random,
            budget=1 << 16,
            most=9,
            trace_size=4096,
            locate=lambda found: peer("10.0.0.7") if found == SECURE else b"",
        )

    def _store(self, commit: Commit) -> None:
        self.commits.append(commit)
        if commit.resume is not None:
            commit.resume(True, 0.0)

    def _random(self, size: int) -> bytes:
        self.count += 1
        return self.count.to_bytes(size, "big")

    def _start(self, **asked: str) -> Trace:
        started: list[Trace] = []
        self.tracing.start(msgspec.convert(asked, Asked), 0.0, lambda trace, _: started.append(trace))
        return started[0]

    def test_address(self) -> None:
        """What came under a session is found by the address at which that is, and shown there."""
        by_address, by_endpoint = self._start(address="10.0.0.0/8"), self._start(endpoint="a")
        self.tracing.received([(request(n.GET, "x"), SECURE), (request(n.GET, "y"), GONE)], 1.0)
        for trace in (by_address, by_endpoint):
            [seen] = trace.recorded
            self.assertEqual(document(seen).peer, "10.0.0.7:1000")
        self.assertEqual(self.tracing.last("a", 9)[0].address, peer("10.0.0.7"))

    def test_handshakes(self) -> None:
        """A handshake is a line in the traces of its address and of its identity, and in no capture."""
        traces = self._start(address="10.0.0.7"), self._start(identity="key-of-a"), self._start(identity="another")
        self.tracing.tell(peer("10.0.0.7"), "key-of-a", "DTLS session, PSK-AES128-CCM8", 1.0)
        self.assertEqual([len(trace.recorded) for trace in traces], [1, 1, 0])
        [seen] = traces[0].recorded
        self.assertEqual(document(seen).line, "DTLS session, PSK-AES128-CCM8")
        self.assertEqual(traces[0].document().undecodable, 0)
        self.assertEqual(capture([seen], "x"), capture([], "x"))

    def test_nowhere(self) -> None:
        """A message of a session of which no address is known is captured all the same."""
        frame = packet(Seen(1.0, True, request(n.GET, "y"), GONE))
        self.assertEqual(frame[8:16], b"\x20\x01\x0d\xb8" + bytes(4))
        self.assertEqual(document(Seen(1.0, True, request(n.GET, "y"), GONE)).peer, GONE.hex())
