"""A plugin's events: a bounded queue that drops its oldest, or a cursor over the log that loses nothing stored.

RULES: the source is never held up. A handler gets one batch at a time, in order. What a queue can't hold is dropped
and counted; a batch whose handler fails is lost. With a cursor such a batch comes again, later and later; the cursor
moves behind what was handled and is written within `BEHIND` seconds: after a crash, and only then, some
events come twice. Where the log was trimmed before the cursor an event of type ``gap`` comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from lwm2md.delivery import Delivery
from lwm2md.plugins.plugin import Plugin
from lwm2md.server.effects import Commit, Write
from lwm2md.storage.interface import Storage
from lwm2md.subscriptions import FAILED, STOPPED, TOO_SLOW, Delivered, Filter, Subscription

BATCH: Final = 100
"""Events that a handler gets at once, at most."""
BEHIND: Final = 1.0
"""How far the stored cursor may be behind what was handled, in seconds."""
LONGEST_PAUSE: Final = 60.0
"""The longest time until a batch comes again, in seconds; the first is one second."""
CURSORS: Final = "cursors"

Handle = Callable[[Sequence[Delivered]], Deferred[Any]]


class EventSource(Protocol):
    """A plugin's subscription."""

    def close(self) -> None:
        """Get no more events."""
        ...


class Queue:
    """Live events for one handler, ``most`` of them waiting."""

    def __init__(self, delivery: Delivery, plugin: Plugin, types: Sequence[str], handle: Handle, most: int) -> None:
        self._plugin = plugin
        self._handle = handle
        self._most = most
        self._waiting: deque[Delivered] = deque()
        self._busy = False
        self._subscription = delivery.subscribe(Filter(types), None, self._push)

    def close(self) -> None:
        """Get no more events; what waits is not handled."""
        self._waiting.clear()
        self._subscription.close()

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
        self._handle(batch).addCallbacks(self._handled, self._lost, (len(batch),), {}, (len(batch),))

    def _handled(self, _: object, count: int) -> None:
        self._plugin.counters["events"] += count
        self._busy = False
        self._go_on()

    def _lost(self, _: Failure, count: int) -> None:
        self._plugin.counters["events_dropped"] += count
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
        self._writing: IDelayedCall | None = None
        self._trying: IDelayedCall | None = None
        self._subscription: Subscription | None = None
        self._closed = self._busy = self._subscribing = self._missed = False
        self._read()

    @property
    def behind(self) -> bool:
        """Whether a batch is being handled or waits to be repeated."""
        return self._busy

    def close(self) -> None:
        """Get no more events; the cursor is written."""
        self._closed = True
        for call in (self._trying, self._writing):
            if call is not None and call.active():
                call.cancel()
        if self._writing is not None:
            self._write()
        if self._subscription is not None:
            self._subscription.close()

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
            self._moved(self._delivery.newest)
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
            if self._busy:
                made.pause()
        elif not self._busy:
            self._renew(made.reason)

    def _push(self, events: Sequence[Delivered]) -> None:
        if self._busy:  # a storage that answers at once gives more before there is a subscription to pause
            self._missed = True
            return
        if self._subscription is not None:
            self._subscription.pause()
        self._busy = True
        self._try(tuple(events))

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
        self._handle(events).addCallbacks(self._handled, self._failed, (events,), {}, (events,))

    def _failed(self, _: Failure, events: tuple[Delivered, ...]) -> None:
        if not self._closed:
            self._trying = self._clock.callLater(self._longer(), self._try, events)

    def _handled(self, _: object, events: tuple[Delivered, ...]) -> None:
        self._plugin.counters["events"] += len(events)
        self._pause = 0.0
        self._busy = False
        self._moved(events[-1].id)
        if self._closed:
            self._write()
        elif self._subscription is not None:
            self._subscription.resume()
        elif not self._subscribing:
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
