"""Joins an engine, its ports and one reactor timer.

Rules: one clock read and one flush per batch. After whatever may have changed something (a batch, a deadline, a call
from the API followed by `Driver.settle`) the effects of the layer above are settled, the engine's outbox is sent, and
the timer is set again. There is one reactor timer per `Deadlines`, however many drivers share it. An exception is
logged and delays its driver a second; it never reaches the reactor, which would drop the port.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from lwm2md.coap.engine import Engine
from lwm2md.coap.timers import Timers
from lwm2md.net.addresses import PREFIX_6, prefix_of, wildcard
from lwm2md.net.port import Batch, DatagramPort

_PAUSE: Final = 1.0


class TimedObject(Protocol):
    """Something pure that has deadlines of its own."""

    def next_deadline(self) -> float | None:
        """Return when `expire` has something to do."""

    def expire(self, now: float) -> object:
        """Do what is due."""


class Waker(Protocol):
    """What `Deadlines` wakes; `due` belongs to it."""

    due: float | None

    def wake(self, now: float) -> None:
        """Do what is due and set the next deadline."""


class Deadlines:
    """One reactor timer for many wakers."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._timers: Timers[Waker] = Timers()
        self._call: IDelayedCall | None = None
        self._at = 0.0

    def set(self, waker: Waker, when: float | None) -> None:
        """Wake `waker` at `when`, instead of any time before; never if None."""
        if when is None:
            self._timers.cancel(waker)
        elif waker.due != when:
            self._timers.schedule(waker, when)
            if self._call is None or when < self._at:
                self._arm(when)

    def remove(self, waker: Waker) -> None:
        """Never wake `waker` again; after the last one no reactor timer is left."""
        self._timers.cancel(waker)
        if not len(self._timers):
            self.stop()

    def stop(self) -> None:
        """Wake nobody any more."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _arm(self, when: float) -> None:
        self.stop()
        self._at = when
        self._call = self._clock.callLater(max(0.0, when - self._clock.seconds()), self._fire)

    def _fire(self) -> None:
        self._call = None
        now = self._clock.seconds()
        # Taken first: one that is due again at once waits for the next turn of the reactor.
        for waker in self._timers.take_all(now):
            waker.wake(now)
        when = self._timers.next_deadline()
        if when is not None and (self._call is None or when < self._at):
            self._arm(when)


class Tap(Protocol):
    """What sees every batch that passes; it must neither fail nor change the batch."""

    def received(self, batch: Sequence[tuple[bytes, bytes]], now: float) -> None:
        """Look at what arrived, before the engine gets it."""

    def sent(self, batch: Sequence[tuple[bytes, bytes]], now: float) -> None:
        """Look at what is about to leave."""


class Driver:
    """One engine on its ports.

    `settle` is called with the time after each batch, deadline and call of the API; `timed` are further objects with
    deadlines. Many drivers may share one `deadlines`. A `tap` sees all datagrams. One that `heeds` ICMP errors tells
    its engine of peers that are gone; a device that waits for its server to come back must not.
    """

    def __init__(
        self,
        clock: IReactorTime,
        engine: Engine,
        *,
        timed: Iterable[TimedObject] = (),
        settle: Callable[[float], None] | None = None,
        deadlines: Deadlines | None = None,
        tap: Tap | None = None,
        heeds: bool = False,
        log: Logger | None = None,
    ) -> None:
        self.due: float | None = None
        self.engine = engine
        self.errors = 0
        self.unroutable = 0
        self._clock = clock
        self._timed = tuple(timed)
        self._settle = settle
        self._tap = tap
        self._heeds = heeds
        self._deadlines = deadlines or Deadlines(clock)
        self._log = log or Logger()
        self._ports: dict[bytes, DatagramPort] = {}
        self._only: DatagramPort | None = None
        self._stopped = False

    @property
    def ports(self) -> tuple[DatagramPort, ...]:
        """The ports that were added, in that order."""
        return tuple(self._ports.values())

    def add(self, port: DatagramPort) -> None:
        """Feed the engine from `port`, and send through it what goes to its peers."""
        scope = port.local.scope
        # The same link-local address may be there on two interfaces.
        self._ports[port.prefix + scope.to_bytes(4, "big") if scope else port.prefix] = port
        self._only = port if len(self._ports) == 1 else None
        if self._heeds:
            port.on_unreachable = self.unreachable
        port.start(self.receive)

    def receive(self, batch: Batch) -> None:
        """Take a batch that has arrived at a port."""
        now = self._clock.seconds()
        if self._tap is not None:
            self._tap.received(batch, now)
        try:
            out = self.engine.receive(batch, now)
        except Exception:
            self._failed("receiving")
        else:
            self._flush(out, now)

    def unreachable(self, peer: bytes) -> None:
        """Take an ICMP error from a port."""
        now = self._clock.seconds()
        try:
            self.engine.unreachable(peer, now)
        except Exception:
            self._failed("an ICMP error")
        self._flush([], now)

    def settle(self) -> None:
        """Do what a call from outside has made necessary: settle, send, set the timer."""
        self._flush([], self._clock.seconds())

    def wake(self, now: float) -> None:
        """Do what is due."""
        out: Batch = []
        try:
            out = self.engine.expire(now)
            for item in self._timed:
                when = item.next_deadline()
                if when is not None and when <= now:
                    item.expire(now)
        except Exception:
            self._failed("a deadline")
            self._flush(out, now, pause=_PAUSE)
        else:
            self._flush(out, now)

    def stop(self) -> None:
        """Close the ports; do nothing any more."""
        self._stopped = True
        self._deadlines.remove(self)
        for port in self._ports.values():
            port.close()
        self.engine.close()

    def _flush(self, out: Batch, now: float, pause: float = 0.0) -> None:
        if self._stopped:
            return
        if self._settle is not None:
            try:
                self._settle(now)
            except Exception:
                self._failed("settling")
                pause = _PAUSE
            if self._stopped:  # what was settled was the last that was waited for
                return
        out += self.engine.take()
        if out:
            if self._tap is not None:
                self._tap.sent(out, now)
            self._send(out)
        when = self.engine.next_deadline()
        for item in self._timed:
            other = item.next_deadline()
            if other is not None and (when is None or other < when):
                when = other
        if when is not None and pause:
            when = max(when, now + pause)
        if when != self.due:
            self._deadlines.set(self, when)

    def _send(self, out: Sequence[tuple[bytes, bytes]]) -> None:
        if self._only is not None:
            self._only.send(out)
            return
        parts: dict[bytes, Batch] = {}
        for datagram in out:
            parts.setdefault(prefix_of(datagram[1]), []).append(datagram)
        for head, part in parts.items():
            port = self._ports.get(head) or self._ports.get(wildcard(head))
            if port is None:
                self._send_by_zone(head, part)
            else:
                port.send(part)

    def _send_by_zone(self, head: bytes, part: Batch) -> None:
        for datagram in part:
            port = self._ports.get(head + datagram[1][PREFIX_6 + 18 :])
            if port is None:
                self.unroutable += 1
            else:
                port.send([datagram])

    def _failed(self, what: str) -> None:
        self.errors += 1
        self._log.failure("{what} failed", what=what)
