"""Delivery: the one place where effects become durable, and events get ids and reach their readers.

RULES: decide, commit, answer, deliver. At most one transaction is under way; what arrives meanwhile gathers and goes
into the next. When it ends, each Commit is resumed in order, then its events go to the readers. Every reader sees ids
that only grow: a live-only event gets its id when it is published and waits for a transaction that is under way,
because that one's events have smaller ids. Ids come from blocks reserved durably: none is given twice.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.documents import event_document
from lwm2md.eventids import LOG, META, NEXT_ID, reservation, text
from lwm2md.events import Event
from lwm2md.gathering import PATIENCE, Gathered
from lwm2md.outage import Outage
from lwm2md.server.effects import Commit, Told
from lwm2md.storage.interface import Append, Batch, Rows, Storage
from lwm2md.subscriptions import FAILED, GAP, STOPPED, TOO_SLOW, Delivered, Filter, Subscription
from lwm2md.transaction import Transaction

BLOCK: Final = 10_000
"""Ids reserved at a time."""
MAX_COMMITS: Final = 1_000
MAX_BYTES: Final = 4 << 20
"""What one transaction holds at most: commits, and bytes in writes and documents (one commit may be larger)."""
MAX_EVENTS: Final = 500
"""How many events are worth no more of them in one transaction: the queue of a reader must take them all at once."""
MAX_WAITING: Final = 100_000
"""Commits that wait for a transaction; more fail at once, so that a disk that hangs costs no more memory."""
MAX_HELD: Final = 10_000
"""Live-only events that wait for the transaction under way; more are dropped and counted."""

_AUDIT: Final = "audit"
_COUNTERS: Final = (
    "commits",
    "transactions",
    "failures",
    "refused",
    "largest_group",
    "events_stored",
    "values_stored",
    "events_live",
    "events_dropped",
    "readers_dropped",
    "resumes_failed",
)
_EVERYTHING: Final = 1 << 62
_ID: Final = re.compile(r"[0-9]{16}", re.ASCII)


class Delivery:
    """Makes Commits durable in groups and hands events to subscriptions.

    ``keep`` is the number of stored events that stay in the log. ``on_settled`` is called after the Commits of a group
    were resumed: what they sent can leave now. ``counters`` are for metrics (``largest_group`` in commits), ``failure``
    says why the last group could not be made durable, None while all is well.
    """

    def __init__(self, storage: Storage, clock: IReactorTime, keep: int = 100_000) -> None:
        self.counters: dict[str, int] = dict.fromkeys(_COUNTERS, 0)
        self.on_settled: Callable[[], None] | None = None
        self.trimmed = ""
        self._outage = Outage()
        self._storage = storage
        self._clock = clock
        self._keep = keep
        self._log = Logger()
        self._gathered = Gathered()
        self._rested = 0.0  # when the next transaction may begin for which nobody is in a hurry
        self._pause: IDelayedCall | None = None
        self._held: list[Delivered] = []
        self._outbox: list[Delivered] = []
        self._subscriptions: tuple[Subscription, ...] = ()
        self._wanted: dict[str, bool] = {}
        self._next = self._reserved = 0
        self._under_way = True  # until start() has read how far ids were given out
        self._running = self._flushing = self._trimming = self._failing = False
        self._since_trim = 0
        self._idle: list[Deferred[None]] = []

    def configure(self, keep: int) -> None:
        """Keep so many stored events from the next time that the log is trimmed."""
        self._keep = keep

    @property
    def backlog(self) -> int:
        """Commits that wait for a transaction: who makes them must refuse work when this grows."""
        return self._gathered.weight

    @property
    def newest(self) -> str:
        """The id behind which all events are that are yet to come."""
        return text(self._next - 1)

    @property
    def failure(self) -> str | None:
        """Why the last group could not be made durable."""
        return self._outage.reason

    @property
    def readers(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    def start(self) -> Deferred[None]:
        """Reserve the first block of ids. What is submitted earlier waits for it.

        A storage that can be read and not written is no reason not to start; fails with ``StorageError`` for others.
        """

        def found(value: bytes | None) -> Deferred[bool]:
            self._next = self._reserved = int(value or b"1")
            return self._storage.commit(Batch(writes=(reservation(self._next + BLOCK),))).addErrback(self._failed)

        def reserved(committed: bool) -> Deferred[str]:
            self._failing = not committed
            if committed:
                self._reserved = self._next + BLOCK
            return self._storage.trim(LOG, self._keep if committed else _EVERYTHING)

        def trimmed(last: str) -> None:
            self.trimmed = last
            self._under_way = False
            self._run()

        return self._storage.get(META, NEXT_ID).addCallback(found).addCallback(reserved).addCallback(trimmed)

    def submit(self, commits: Iterable[Commit]) -> None:
        """Make these durable in this order, then resume each; with a storage that answers at once, before returning.

        Those for which there is no room, because the storage is too slow, fail at once.
        """
        refused = []
        gathered = self._gathered
        for commit in commits:
            if gathered.weight < MAX_WAITING:
                gathered.add(commit)
            else:
                refused.append(commit)
        if not gathered.rest():
            self._run()
        elif self._pause is None and not self._under_way:
            self._wait(self._rested - self._clock.seconds())
        if refused:
            self.counters["refused"] += len(refused)
            if self.failure is None:
                self._fails(f"{gathered.weight} changes wait for the storage, which is too slow")
            self._resume(refused, False, self._clock.seconds())

    def wants(self, event_type: str) -> bool:
        """Whether a live-only event of this type would reach any reader: if not, don't make it."""
        if not self._subscriptions:
            return False
        wanted = self._wanted.get(event_type)
        if wanted is None:
            wanted = any(subscription.wants(event_type) for subscription in self._subscriptions)
            self._wanted[event_type] = wanted
        return wanted

    def publish(self, event: Event) -> None:
        """Give a live-only event to the readers there are; costs next to nothing when nobody wants its type."""
        if not self.wants(event.type):
            return
        if self._next >= self._reserved or len(self._held) >= MAX_HELD:
            self.counters["events_dropped"] += 1
        elif (delivered := self._deliverable(event)) is not None:
            self._live(delivered)
        if self._low() and not (self._under_way or self._failing or self._gathered):
            self.submit((Commit(),))  # carries the next reservation

    def subscribe(
        self,
        wanted: Filter,
        after_id: str | None,
        push: Callable[[Sequence[Delivered]], None],
        limit: int = 1_000,
        on_close: Callable[[str], None] | None = None,
    ) -> Subscription:
        """Push events to a reader: from now on, or all stored ones after ``after_id`` first.

        Where ``after_id`` is older than what is kept, or was never given out here, an event of type ``gap`` comes
        first. A reader for which more than ``limit`` events wait is closed; ``on_close`` gets ``too-slow``, ``failed``
        (its ``push`` raised, or the log could not be read), ``stopped`` or ``closed``. ``push`` may be called before
        this returns when the storage answers at once.
        """
        subscription = Subscription(self, wanted, push, limit, on_close)
        self._subscriptions += (subscription,)
        self._wanted.clear()
        if after_id is None:
            return subscription
        known = _ID.fullmatch(after_id) is not None and self.trimmed <= after_id < text(self._next)
        subscription.replay(after_id if known else self.trimmed or text(0), lossy=not known)
        return subscription

    def drain(self) -> Deferred[None]:
        """Fire when everything submitted is durable, resumed and delivered."""
        if self._is_idle():
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        self._run()
        return waiting

    def stop(self) -> Deferred[None]:
        """Drain, then close all subscriptions with reason ``stopped``."""

        def drained(_: None) -> None:
            for subscription in self._subscriptions:
                subscription.close(STOPPED)

        return self.drain().addCallback(drained)

    def read(self, after: str, limit: int) -> Deferred[Rows]:
        """Read the log for a subscription."""
        return self._storage.read(LOG, after, limit)

    def gap(self, position: str) -> Delivered:
        """Make the gap event for a reader that goes on after ``position``."""
        document = event_document(Event(GAP, self._clock.seconds(), None), position)
        return Delivered(position, GAP, None, {}, document)

    def left(self, subscription: Subscription) -> None:
        """Forget a subscription that ended."""
        self._subscriptions = tuple(other for other in self._subscriptions if other is not subscription)
        self._wanted.clear()
        self.counters["readers_dropped"] += subscription.reason in (TOO_SLOW, FAILED)

    def _go_on(self) -> None:
        """Begin the next transaction; in a moment where nobody waits for it, so that it is one for many changes."""
        if self._running:
            return  # the storage answered at once, and whoever asked it goes on
        self._rested = self._clock.seconds() + PATIENCE
        if self._idle:
            self._run()
        elif self._gathered:
            self._wait(self._gathered.rest())

    def _wait(self, seconds: float) -> None:
        if seconds > 0.0:
            self._pause = self._clock.callLater(seconds, self._run)
        else:
            self._run()

    def _run(self) -> None:
        if self._running:
            return
        if self._pause is not None:
            if self._pause.active():
                self._pause.cancel()
            self._pause = None
        self._running = True
        while self._gathered and not self._under_way:
            self._under_way = True
            self._commit(self._assemble())
        self._running = False
        self._tell_idle()

    def _assemble(self) -> Transaction:
        transaction = Transaction()
        while self._gathered and not _full(transaction):
            self._add(transaction, self._gathered.take())
        if self._low():
            transaction.reserved = self._next + BLOCK
            transaction.writes.append(reservation(transaction.reserved))
        return transaction

    def _add(self, transaction: Transaction, commit: Commit) -> None:
        transaction.add(commit)
        for record in commit.records:
            transaction.appends.append(Append(_AUDIT, text(self._next), record))
            transaction.size += len(record)
            self._next += 1
        for event in commit.events:
            if event.stored or self.wants(event.type):
                delivered = self._deliverable(event)
                if delivered is not None:
                    transaction.append(delivered)
        if commit.told is not None:
            self._tell(transaction, commit.told)

    def _tell(self, transaction: Transaction, told: Told) -> None:
        """Take what was told; where some of it can not be written out, what is left one by one."""
        try:
            transaction.tell(told, self._next)
        except Exception:
            if len(told.values) > 1:
                for value in told.values:
                    self._tell(transaction, Told(told.time, told.kept, [value]))
                return
            self.counters["events_dropped"] += 1
            self._log.failure("a value that was notified can not be written out")
        self._next += len(told.values)

    def _commit(self, transaction: Transaction) -> None:
        found = transaction
        if not (found.writes or found.appends or found.samples or found.dropped):
            self._ended(True, transaction)
            return
        batch = Batch(found.writes, found.appends, (), found.samples, found.dropped)
        done: Deferred[bool] = maybeDeferred(self._storage.commit, batch)
        done.addErrback(self._failed).addCallback(self._ended, transaction)
        done.addErrback(lambda failure: self._log.failure("delivery is broken", failure))

    def _failed(self, failure: Failure) -> bool:
        self._fails(str(failure.value))
        if not self._failing:
            self._log.error("nothing can be made durable, requests are refused: {error}", error=failure.value)
        return False

    def _fails(self, reason: str) -> None:
        told = self._outage.begin(reason, self._clock.seconds())
        if told is not None:
            self.publish(told)

    def _ended(self, committed: bool, transaction: Transaction) -> None:
        self._count(committed, transaction)
        now = self._clock.seconds()
        self._resume(transaction.commits, committed, now)
        if self.on_settled is not None:
            self._guard(self.on_settled)
        if committed:
            self._outbox.extend(transaction.events)
        self._outbox.extend(self._held)
        self._held.clear()
        self._under_way = False
        self._go_on()  # the storage works on the next group while the readers get this one's events
        self._flush()
        self._trim()
        self._tell_idle()

    def _resume(self, commits: Iterable[Commit], committed: bool, now: float) -> None:
        for commit in commits:
            if commit.resume is not None:
                self._guard(commit.resume, committed, now)

    def _count(self, committed: bool, transaction: Transaction) -> None:
        counters = self.counters
        counters["commits"] += len(transaction.commits)
        counters["transactions"] += 1
        counters["largest_group"] = max(counters["largest_group"], len(transaction.commits))
        if committed:
            self._reserved = max(self._reserved, transaction.reserved)
            self._since_trim += len(transaction.appends)
            counters["events_stored"] += len(transaction.appends)
            counters["values_stored"] += len(transaction.samples)
            counters["events_live"] += len(transaction.events) - len(transaction.appends)
        else:
            counters["failures"] += 1
        if committed and self.failure is not None and self._gathered.weight < MAX_WAITING:
            self.submit(self._outage.end(self._clock.seconds()))
        if committed and self._failing:
            self._log.info("the storage works again")
        self._failing = not committed

    def _guard(self, follow_up: Callable[..., None], *arguments: object) -> None:
        try:
            follow_up(*arguments)
        except Exception:
            self.counters["resumes_failed"] += 1
            self._log.failure("what followed a commit failed")

    def _deliverable(self, event: Event) -> Delivered | None:
        """Give an event its id and render it; None, logged and counted, for one that can not be rendered."""
        event_id = text(self._next)
        self._next += 1
        try:
            document = event_document(event, event_id)
        except Exception:
            self.counters["events_dropped"] += 1
            self._log.failure("an event of type {type} can not be rendered", type=event.type)
            return None
        return Delivered(event_id, event.type, event.endpoint, event.labels, document, event.stored)

    def _live(self, event: Delivered) -> None:
        self.counters["events_live"] += 1
        if self._under_way:
            self._held.append(event)
        else:
            self._outbox.append(event)
            self._flush()

    def _flush(self) -> None:
        if self._flushing:
            return
        self._flushing = True
        while self._outbox:
            events, self._outbox = self._outbox, []
            for subscription in self._subscriptions:
                subscription.offer(events)
        self._flushing = False

    def _trim(self) -> None:
        if self._trimming or self._since_trim < max(1, self._keep // 20):
            return
        self._trimming = True
        self._since_trim = 0

        def trimmed(last: str) -> None:
            self.trimmed = last

        def ended(_: object) -> None:
            self._trimming = False
            self._tell_idle()

        trimming = self._storage.trim(LOG, self._keep).addCallback(trimmed)
        trimming.addErrback(lambda failure: self._log.error("events can not be trimmed: {error}", error=failure.value))
        trimming.addCallback(ended)

    def _low(self) -> bool:
        return self._reserved - self._next < BLOCK // 2

    def _is_idle(self) -> bool:
        return not (self._gathered or self._under_way or self._outbox or self._trimming or self._running)

    def _tell_idle(self) -> None:
        while self._idle and self._is_idle():
            self._idle.pop(0).callback(None)


def _full(transaction: Transaction) -> bool:
    commits, events = len(transaction.commits), len(transaction.events)
    return commits >= MAX_COMMITS or events >= MAX_EVENTS or transaction.size >= MAX_BYTES
