"""The inbox of devices that were refused: who, why, from where, how often, since when.

RULES: it is bounded; the longest ago goes first, and of one source nobody keeps more than a share, so that a flood does
not push out the others. An event tells of each cause and source at most once in `QUIET` seconds, and of all together at
most `MOST_EVENTS` times in that; the audit log gets a summary. Rows are written behind. What a device claims is kept as
it came, in bounded length.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from ipaddress import IPv6Address, ip_address
from typing import Final

import msgspec

from lwm2md import events
from lwm2md.security import audit
from lwm2md.security.identity import Identity
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import UnknownRefusal
from lwm2md.server.state import State

QUIET: Final = 60.0
MOST_EVENTS: Final = 60
_LONGEST: Final = 255
_FLUSH: Final = 5.0
_SUMMARY: Final = 300.0
_SHARES: Final = 8
_FEWEST: Final = 8
_MOST_SOURCES: Final = 10_000
_MOST_CAUSES: Final = 100
_PREFIX: Final = 64


class Refusal(msgspec.Struct, omit_defaults=True):
    """One device, or what can be told apart of it, and one ``cause`` for which it was refused.

    ``identity`` is what it proved (then ``proved`` is all that is known of that), or only said. ``address`` is the
    last. Times are Unix seconds.
    """

    id: str
    cause: str
    endpoint: str | None = None
    identity: str | None = None
    proved: Identity | None = None
    address: str = ""
    transport: str = ""
    detail: str = ""
    count: int = 0
    first: float = 0.0
    last: float = 0.0


class Inbox:
    """Takes refusals, keeps the newest, tells of them."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._entries: dict[str, Refusal] = {}
        self._sources: dict[str, dict[str, None]] = {}
        self._unstored: set[str] = set()
        self._quiet: dict[tuple[str, str], list[float]] = {}
        self._window = [0.0, 0.0]
        self._since = Counter[str]()
        self.causes = Counter[str]()
        self._flushing = self._summing = False

    def __len__(self) -> int:
        return len(self._entries)

    def entries(self) -> list[Refusal]:
        """All of them, the newest first."""
        return list(reversed(self._entries.values()))

    def get(self, refusal_id: str) -> Refusal:
        """The one with that id. Raises UnknownRefusal."""
        found = self._entries.get(refusal_id)
        if found is None:
            raise UnknownRefusal(f"nothing is refused by the id {refusal_id[:64]!r}")
        return found

    def note(
        self,
        cause: str,
        *,
        address: str,
        transport: str,
        now: float,
        endpoint: str | None = None,
        identity: Identity | str | None = None,
        detail: str = "",
    ) -> Refusal:
        """A device was refused. ``cause`` is a stable word; an ``identity`` that is text was not proved.

        ``address`` is host and port as text, ``detail`` what else helps the operator, without secrets.
        """
        proved = identity if isinstance(identity, Identity) else None
        name = _short(proved.text if proved is not None else identity)  # type: ignore[arg-type]
        entry = self._take(cause, _short(endpoint), name, address)
        entry.proved = proved
        entry.address, entry.transport, entry.detail = address, transport, detail[:_LONGEST]
        entry.count, entry.first, entry.last = entry.count + 1, entry.first or now, now
        self._count(cause)
        self._unstored.add(entry.id)
        self._plan(now)
        self._tell(entry, now)
        return entry

    def remove(self, refusal_id: str, by: str, action: str, now: float, then: Resume) -> None:
        """Take an entry out: it was admitted, or is of no interest. Raises UnknownRefusal."""
        entry = self.get(refusal_id)
        details = {"cause": entry.cause, "endpoint": entry.endpoint, "address": entry.address}
        record = audit.Record(now, by, action, entry.identity or entry.endpoint or entry.address, details)

        def ended(committed: bool, now: float) -> None:
            if committed and self._entries.get(refusal_id) is entry:
                self._drop(refusal_id)
            then(committed, now)

        self._state.commit((Write(stored.REFUSED, refusal_id, None),), (), ended, records=(audit.to_row(record),))

    def restore(self, key: str, row: bytes) -> None:
        """Take up a row."""
        entry = msgspec.json.decode(row, type=Refusal)
        self._entries[key] = entry
        self._sources.setdefault(source_of(entry.address), {})[key] = None

    def start(self) -> None:
        """Everything is restored: put it in the order of its times, and let go what is too much."""
        self._entries = dict(sorted(self._entries.items(), key=lambda item: item[1].last))
        while len(self._entries) > self._state.settings.refused:
            self._evict(next(iter(self._entries)))

    def flush(self) -> None:
        """Ask for everything to be stored that is not."""
        keys, self._unstored = self._unstored, set()
        rows = {key: self._entries.get(key) for key in keys}
        writes = [
            Write(stored.REFUSED, key, None if entry is None else msgspec.json.encode(entry))
            for key, entry in rows.items()
        ]

        def ended(committed: bool, now: float) -> None:
            if not committed:
                self._unstored |= keys
                self._plan(now)

        if writes:
            self._state.commit(writes, (), ended)

    # Keeping

    def _take(self, cause: str, endpoint: str | None, identity: str | None, address: str) -> Refusal:
        source = source_of(address)
        key = _key(cause, endpoint or "", identity or "", "" if endpoint or identity else source)
        entry = self._entries.pop(key, None)
        if entry is None:
            entry = Refusal(key, cause, endpoint, identity)
            self._make_room(source)
        else:
            self._leave(source_of(entry.address), key)
        self._entries[key] = entry
        self._sources.setdefault(source, {})[key] = None
        return entry

    def _make_room(self, source: str) -> None:
        most = self._state.settings.refused
        own = self._sources.get(source, {})
        if len(own) >= max(_FEWEST, most // _SHARES):
            self._evict(next(iter(own)))
        while len(self._entries) >= most:
            self._evict(next(iter(self._entries)))

    def _evict(self, key: str) -> None:
        self._drop(key)
        self._unstored.add(key)

    def _drop(self, key: str) -> None:
        entry = self._entries.pop(key)
        self._leave(source_of(entry.address), key)

    def _leave(self, source: str, key: str) -> None:
        own = self._sources.get(source, {})
        own.pop(key, None)
        if not own:
            self._sources.pop(source, None)

    # Telling

    def _count(self, cause: str) -> None:
        if cause not in self.causes and len(self.causes) >= _MOST_CAUSES:
            cause = "other"
        self.causes[cause] += 1
        self._since[cause] += 1

    def _tell(self, entry: Refusal, now: float) -> None:
        key = (entry.cause, source_of(entry.address))
        quiet = self._quiet.pop(key, None) or [0.0, 0]
        self._quiet[key] = quiet
        quiet[1] += 1
        if len(self._quiet) > _MOST_SOURCES:
            del self._quiet[next(iter(self._quiet))]
        if now < quiet[0] or not self._may_tell(now):
            return
        count, quiet[0], quiet[1] = quiet[1], now + QUIET, 0
        fields = {
            "cause": entry.cause,
            "identity": entry.identity,
            "address": entry.address,
            "transport": entry.transport,
            "refused": entry.id,
            "count": count,
        }
        self._state.commit((), (events.Event(events.SECURITY_REFUSED, now, entry.endpoint, {}, fields),))

    def _may_tell(self, now: float) -> bool:
        start, told = self._window
        if now >= start + QUIET:
            start, told = now, 0
        self._window = [start, told + 1]
        return told < MOST_EVENTS

    def _plan(self, now: float) -> None:
        if not self._flushing:
            self._flushing = True
            self._state.deadlines.at(now + _FLUSH, lambda *_: self._due())
        if not self._summing:
            self._summing = True
            self._state.deadlines.at(now + _SUMMARY, lambda _, then: self._sum(then))

    def _due(self) -> None:
        self._flushing = False
        self.flush()

    def _sum(self, now: float) -> None:
        self._summing = False
        counts, self._since = self._since, Counter()
        if counts:
            record = audit.Record(now, audit.DAEMON, audit.REFUSALS, "", {"causes": dict(counts), "seconds": _SUMMARY})
            self._state.commit((), (), records=(audit.to_row(record),))


def source_of(address: str) -> str:
    """Whom an address belongs to: the host, of IPv6 its network of 64 bits."""
    host = address.rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        found = ip_address(host)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return f"{IPv6Address(int(found) >> _PREFIX << _PREFIX)}/{_PREFIX}"
    return str(found)


def _key(*parts: str) -> str:
    digest = hashlib.blake2b("\x00".join(parts).encode("utf-8", "replace"), digest_size=10).digest()
    return base64.b32encode(digest).decode().lower()


def _short(text: str | None) -> str | None:
    return text if text is None else text[:_LONGEST]
