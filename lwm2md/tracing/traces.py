"""Everything that is traced on one daemon: the ring of the last messages, and the traces that run or have ended.

RULES: the driver hands every batch to `Tracing`; without a trace that is one append. A definition is stored before its
caller is answered and removed when the trace ends, so that what runs goes on after a restart, until its time is over;
messages are in memory only. There are at most as many traces as configured: a new one takes the place of the oldest
that has ended. Whatever fails in here is logged and never reaches the driver.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs
import msgspec
from twisted.logger import Logger

from lwm2md.security import audit
from lwm2md.server.effects import Commit, Resume, Write
from lwm2md.server.errors import LimitReached
from lwm2md.tracing.matching import ByEndpoint, ByIdentity, ByNetwork, Find, Identify, Locate, Secrets, Wanted
from lwm2md.tracing.ring import Batch, Ring, Seen
from lwm2md.tracing.trace import DURATION, FAILED, Definition, Trace
from lwm2md.tracing.wire import Wire, Wired

TABLE: Final = "meta"
PREFIX: Final = "trace:"
Store = Callable[[Commit], None]
Watch = Callable[[Wire | None], None]
"""Told who looks at what passes on the secure port; None for nobody."""


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to trace (``endpoint``, ``address`` or ``identity``), for ``duration`` seconds, at most ``limit`` messages.

    An address is one such as 10.1.2.3, or a prefix such as 10.0.0.0/8. With ``secrets`` the file for Wireshark has what
    passes as it is on the wire, and what opens it.
    """

    endpoint: str | None = None
    address: str | None = None
    identity: str | None = None
    duration: float = 300.0
    limit: int = 10_000
    secrets: bool = False


_read: Final = msgspec.json.Decoder(Definition).decode


class Tracing:
    """What is kept and traced. ``find`` gives live registrations, ``identify`` who a peer is, ``store`` makes a row
    durable, ``random`` bytes; ``locate`` gives the address of a peer that is named by its session.

    ``budget`` (bytes of the ring), ``most`` (traces) and ``trace_size`` (bytes of one) are the configured limits.
    ``received`` and ``sent`` are the driver's `Tap`.
    """

    received: Callable[[Batch, float], None]
    sent: Callable[[Batch, float], None]

    def __init__(
        self,
        find: Find,
        identify: Identify,
        store: Store,
        random: Callable[[int], bytes],
        *,
        budget: int,
        most: int,
        trace_size: int,
        locate: Locate = lambda _peer: b"",
    ) -> None:
        self._locate = locate
        self.traces: dict[str, Trace] = {}
        self._ring = Ring(budget)
        self._wire = Wire(self._ended)
        self._watch: Watch = _unwatched
        self._run(())
        self._find = find
        self._identify = identify
        self._store = store
        self._random = random
        self._most = most
        self._trace_size = trace_size
        self._log = Logger()

    def configure(self, *, budget: int, most: int, trace_size: int) -> None:
        """Take other limits; traces that run keep theirs."""
        self._ring.resize(budget)
        self._most = most
        self._trace_size = trace_size

    # The way of the datagrams

    def _run(self, running: tuple[Trace, ...]) -> None:
        """Let these traces run; without any the ring alone takes the datagrams."""
        self._running = running
        self.received = self._received if running else self._ring.received
        self.sent = self._sent if running else self._ring.sent
        watching = self._wire.run(tuple(trace for trace in running if trace.wired is not None))
        self._watch(self._wire if watching else None)

    def watch(self, watch: Watch) -> None:
        """Know who has the secure port."""
        self._watch = watch
        self._run(self._running)

    def _received(self, batch: Batch, now: float) -> None:
        self._ring.received(batch, now)
        self._record(batch, now, True)

    def _sent(self, batch: Batch, now: float) -> None:
        self._ring.sent(batch, now)
        self._record(batch, now, False)

    def _record(self, batch: Batch, now: float, incoming: bool) -> None:
        for trace in self._running:
            try:
                trace.record(batch, now, incoming)
            except Exception:
                self._log.failure("trace {id} failed", id=trace.definition.id)
                trace.reason = FAILED
            if trace.reason is not None:
                self._ended(trace)

    # What is asked

    def last(self, endpoint: str, limit: int) -> list[Seen]:
        """Return the newest ``limit`` datagrams of a device that are still kept, oldest first."""
        secrets = Secrets()
        found = self._ring.last(ByEndpoint(endpoint, self._find).name(), limit)
        return [attrs.evolve(secrets.without(seen), address=self._locate(seen.peer)) for seen in found]

    def tell(self, address: bytes, identity: str, text: str, now: float) -> None:
        """Let the traces that concern it have a line about a handshake of ``identity``, as far as that is known."""
        for trace in self._running:
            if trace.wanted.concerns(address, identity):
                trace.note(address, text, now)
                if trace.reason is not None:
                    self._ended(trace)

    def start(self, asked: Asked, now: float, then: Callable[[Trace, bool], None], by: str = audit.DAEMON) -> None:
        """Trace a device or a range of addresses; ``then`` is told whether the definition could be stored. That ``by``
        whom secrets were asked for is in the audit log.

        Raises ValueError for what is no address or prefix, and LimitReached when too many traces run.
        """
        address = None if asked.address is None else ByNetwork(asked.address, self._locate).text
        self._make_room()
        trace_id = base64.b32encode(self._random(10)).decode().lower()
        ends = now + asked.duration
        definition = Definition(
            trace_id, asked.endpoint, address, now, ends, asked.limit, asked.identity, asked.secrets
        )
        trace = self._add(definition)

        def stored(committed: bool, now: float) -> None:
            if not committed:
                self._forget(trace)
            then(trace, committed)

        write = Write(TABLE, PREFIX + trace_id, msgspec.json.encode(definition))
        records = (_record(audit.TRACE_SECRETS, definition, by, now),) if asked.secrets else ()
        self._store(Commit((write,), (), stored, records=records))

    def tell_secrets(self, trace: Trace, by: str, now: float, then: Resume) -> None:
        """Write into the audit log that ``by`` whom the secrets of a trace are read; ``then`` when that is durable."""
        self._store(Commit((), (), then, records=(_record(audit.TRACE_SECRETS_READ, trace.definition, by, now),)))

    def remove(self, trace: Trace, then: Resume) -> None:
        """End and forget a trace; ``then`` is called when its definition is gone."""
        self._forget(trace)
        self._store(Commit((Write(TABLE, PREFIX + trace.definition.id, None),), (), then))

    # Time

    def next_deadline(self) -> float | None:
        """When the first trace is over."""
        return min([trace.definition.ends for trace in self._running]) if self._running else None

    def expire(self, now: float) -> None:
        """End the traces whose time is over."""
        for trace in self._running:
            if trace.definition.ends <= now:
                self._ended(trace, DURATION)

    def restore(self, rows: Iterable[tuple[str, bytes]], now: float) -> None:
        """Go on with what ran when the daemon stopped, and remove what ended since."""
        for key, row in rows:
            if not key.startswith(PREFIX):
                continue
            try:
                definition = _read(row)
                if definition.ends > now:
                    self._add(definition)
                    continue
            except (msgspec.DecodeError, ValueError) as error:
                self._log.error("a trace can't be taken up: {key}: {error}", key=key, error=error)
            self._store(Commit((Write(TABLE, key, None),)))

    def _add(self, definition: Definition) -> Trace:
        wanted: Wanted
        if definition.endpoint is not None:
            wanted = ByEndpoint(definition.endpoint, self._find)
        elif definition.identity is not None:
            wanted = ByIdentity(definition.identity, self._identify)
        else:
            wanted = ByNetwork(definition.address or "", self._locate)
        wired = Wired() if definition.secrets else None
        trace = Trace(definition, wanted, self._trace_size, self._random(4).hex(), locate=self._locate, wired=wired)
        self.traces[definition.id] = trace
        self._run((*self._running, trace))
        return trace

    def _ended(self, trace: Trace, reason: str = DURATION) -> None:
        self._run(tuple(other for other in self._running if other is not trace))
        trace.end(reason)
        self._store(Commit((Write(TABLE, PREFIX + trace.definition.id, None),)))

    def _forget(self, trace: Trace) -> None:
        self._run(tuple(other for other in self._running if other is not trace))
        self.traces.pop(trace.definition.id, None)
        trace.close()

    def _make_room(self) -> None:
        ended = [trace for trace in self.traces.values() if trace.reason is not None]
        while len(self.traces) >= self._most and ended:
            self._forget(ended.pop(0))
        if len(self.traces) >= self._most:
            raise LimitReached(f"{self._most} traces run already ([limits] traces)")

    def counters(self) -> Mapping[str, int]:
        """What metrics show."""
        return {"messages_bytes": self._ring.size, "running": len(self._running)}


def _unwatched(_wire: Wire | None) -> None:
    """Look at nothing: there is no secure port."""


def _record(action: str, definition: Definition, by: str, now: float) -> bytes:
    """A record of the audit log about the secrets of a trace."""
    asked = {"endpoint": definition.endpoint, "address": definition.address, "identity": definition.identity}
    details = {name: value for name, value in asked.items() if value is not None}
    return audit.to_row(audit.Record(now, by, action, definition.id, details))
