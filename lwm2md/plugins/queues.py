"""A plugin's events: a bounded queue that drops its oldest, or a cursor over the log that loses nothing stored.

RULES: the source is never held up. A handler gets one batch at a time, in order. What a queue can't hold is dropped
and counted; a batch whose handler fails is lost. With a cursor such a batch comes again, later and later; the cursor
moves behind what was handled and is written within `BEHIND` seconds: after a crash, and only then, some
events come twice. Where the log was trimmed before the cursor an event of type ``gap`` comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from lwm2md.delivery import Delivery
from lwm2md.plugins.plugin import Plugin
from lwm2md.server.effects import Commit, Write
from lwm2md.storage.interface import Storage
from lwm2md.subscriptions import FAILED, STOPPED, TOO_SLOW, Delivered, Filter, Subscription

BATCH: Final = 100
"""Events that a handler gets at once, at most."""
AHEAD: Final = 1_000
AHEAD_BYTES: Final = 1 << 20
"""What is gathered of the log while a handler with a cursor is at work, in events and in bytes: its next batch."""
BEHIND: Final = 1.0
"""How far the stored cursor may be behind what was handled, in seconds."""
LONGEST_PAUSE: Final = 60.0
"""The longest time until a batch comes again, in seconds; the first is one second."""
CURSORS: Final = "cursors"

Handle = Callable[[Sequence[Delivered]], Deferred[Any]]


class EventSource(Protocol):
    """A plugin's subscription."""

    def close(self) -> Deferred[None]:
        """Get no more events; fires when the handler has done what it is at."""
        ...

    def cancel(self) -> None:
        """Cancel what the handler is at."""
        ...


class _Work:
    """What a handler is at, and who waits for its end."""

    def __init__(self) -> None:
        self._handling: Deferred[Any] | None = None
        self._waiting: list[Deferred[None]] = []

    def begin(self, handling: Deferred[Any], done: Callable[[], None], failed: Callable[[], None]) -> None:
        """The handler began; ``done`` or ``failed`` is called at its end."""
        self._handling = handling
        handling.addCallbacks(self._ended, self._ended, (done,), {}, (failed,))

    def _ended(self, _: object, then: Callable[[], None]) -> None:
        self._handling = None
        waiting, self._waiting = self._waiting, []
        then()
        for each in waiting:
            each.callback(None)

    def finish(self) -> Deferred[None]:
        """Fire when the handler is at nothing."""
        if self._handling is None:
            return succeed(None)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def cancel(self) -> None:
        """Cancel what it is at."""
        if self._handling is not None:
            self._handling.cancel()


class Queue:
    """Live events for one handler, ``most`` of them waiting."""

    def __init__(self, delivery: Delivery, plugin: Plugin, types: Sequence[str], handle: Handle, most: int) -> None:
        self._plugin = plugin
        self._handle = handle
        self._most = most
        self._waiting: deque[Delivered] = deque()
        self._busy = False
        self._work = _Work()
        self._subscription = delivery.subscribe(Filter(types), None, self._push)

    def close(self) -> Deferred[None]:
        """Get no more events; what waits is not handled."""
        self._waiting.clear()
        self._subscription.close()
        return self._work.finish()

    def cancel(self) -> None:
        """Cancel what the handler is at."""
        self._work.cancel()

    def _push(self, events: Sequence[Delivered]) -> None:
        waiting = self._waiting
        waiting.extend(events)
        while len(waiting) > self._most:
            waiting.popleft()
            self._plugin.counters["events_dropped"] += 1
        self._go_on()

    def _go_on(self) -> None:
        if self._busy or not self._waiting:
            return
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        self._busy = True
        ended = partial(self._ended, len(batch))
        self._work.begin(self._handle(batch), partial(ended, "events"), partial(ended, "events_dropped"))

    def _ended(self, count: int, counter: str) -> None:
        self._plugin.counters[counter] += count
        self._busy = False
        self._go_on()


class Cursor:
    """Stored events for one handler, from where the cursor ``key`` is; a new one begins with what happens from now on.

    ``clock`` is the reactor.
    """

    def __init__(
        self,
        delivery: Delivery,
        storage: Storage,
        clock: Any,
        *,
        plugin: Plugin,
        key: str,
        types: Sequence[str],
        handle: Handle,
    ) -> None:
        self._delivery = delivery
        self._storage = storage
        self._clock = clock
        self._plugin = plugin
        self._key = key
        self._types = types
        self._handle = handle
        self._position = ""
        self._pause = 0.0
        self._gathered: list[Delivered] = []
        self._size = 0
        self._writing: IDelayedCall | None = None
        self._trying: IDelayedCall | None = None
        self._subscription: Subscription | None = None
        self._work = _Work()
        self._closed = self._busy = self._subscribing = self._missed = False
        self._read()

    @property
    def behind(self) -> bool:
        """Whether a batch is being handled or waits to be repeated."""
        return self._busy

    def close(self) -> Deferred[None]:
        """Get no more events; the cursor is written, and once more when the handler has done what it is at."""
        self._closed = True
        self._gathered.clear()
        for call in (self._trying, self._writing):
            if call is not None and call.active():
                call.cancel()
        if self._writing is not None:
            self._write()
        if self._subscription is not None:
            self._subscription.close()
        return self._work.finish()

    def cancel(self) -> None:
        """Cancel what the handler is at: it comes again when the cursor is taken up."""
        self._work.cancel()

    def _read(self) -> None:
        self._trying = None
        self._storage.get(CURSORS, self._key).addCallbacks(self._found, self._unreadable)

    def _unreadable(self, _: Failure) -> None:
        if not self._closed:
            self._trying = self._clock.callLater(self._longer(), self._read)

    def _found(self, stored: bytes | None) -> None:
        if self._closed:
            return
        self._pause = 0.0
        if stored is None:
            # At once: whatever is stored from now on comes, also if this process ends in a moment.
            self._position = self._delivery.newest
            self._write()
        else:
            self._position = stored.decode("ascii", "replace")
        self._subscribe()

    def _subscribe(self) -> None:
        self._subscribing, self._missed = True, False
        made = self._delivery.subscribe(
            Filter(self._types, stored=True), self._position, self._push, on_close=self._ended
        )
        if self._missed:
            made.close()
        self._subscribing = False
        if made.reason is None:
            self._subscription = made
            if self._full():
                made.pause()
        elif not self._busy:
            self._renew(made.reason)

    def _push(self, events: Sequence[Delivered]) -> None:
        if self._missed or (self._full() and self._subscription is None):
            self._missed = True  # a storage that answers at once gives more before there is a subscription to pause
            return
        self._gathered += events
        self._size += sum(len(event.document) for event in events)
        if self._subscription is not None and self._full():
            self._subscription.pause()
        self._go_on()

    def _full(self) -> bool:
        return len(self._gathered) >= AHEAD or self._size >= AHEAD_BYTES

    def _go_on(self) -> None:
        """Hand what was gathered to the handler, and gather more while it is at work."""
        if self._busy or not self._gathered:
            return
        self._busy = True
        batch, self._gathered, self._size = tuple(self._gathered), [], 0
        self._try(batch)
        if self._subscription is not None:
            self._subscription.resume()

    def _ended(self, reason: str) -> None:
        """The subscription ended: when it is time, the log has what it did not wait for."""
        self._subscription = None
        if not (self._busy or self._subscribing):
            self._renew(reason)

    def _renew(self, reason: str = TOO_SLOW) -> None:
        if not self._closed and reason != STOPPED:
            self._trying = self._clock.callLater(self._longer() if reason == FAILED else 0, self._again)

    def _again(self) -> None:
        self._trying = None
        self._subscribe()

    def _try(self, events: tuple[Delivered, ...]) -> None:
        self._trying = None
        self._work.begin(self._handle(events), partial(self._handled, events), partial(self._failed, events))

    def _failed(self, events: tuple[Delivered, ...]) -> None:
        if not self._closed:
            self._trying = self._clock.callLater(self._longer(), self._try, events)

    def _handled(self, events: tuple[Delivered, ...]) -> None:
        self._plugin.counters["events"] += len(events)
        self._pause = 0.0
        self._busy = False
        self._moved(events[-1].id)
        if self._closed:
            self._write()
        elif self._gathered:
            self._go_on()
        elif self._subscription is None and not self._subscribing:
            self._renew()

    def _moved(self, position: str) -> None:
        self._position = position
        if self._writing is None and not self._closed:
            self._writing = self._clock.callLater(BEHIND, self._write)

    def _write(self) -> None:
        self._writing = None
        self._delivery.submit((Commit((Write(CURSORS, self._key, self._position.encode("ascii")),)),))

    def _longer(self) -> float:
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or 1.0)
        return self._pause
