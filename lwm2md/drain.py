"""Draining a running daemon, as before an upgrade: nothing new, an end to what is under way, all of it stored.

RULES: what is decided is in `lwm2md.server.draining`; here is when it is done. It is ``drained`` when no request of an
operator is at a device any more and everything was written that is written behind, and stays so until it is taken back
or the daemon ends. A storage that fails is tried again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final, Literal

from twisted.internet.defer import Deferred, succeed
from twisted.internet.defer import TimeoutError as LateError
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from lwm2md.delivery import Delivery
from lwm2md.server.core import Server

PAUSE: Final = 0.25
"""Seconds between two looks at what is under way."""

DrainState = Literal["off", "draining", "drained"]


class Drain:
    """Whether a daemon is being drained, and how far that is; ``since`` is when it was asked for, in Unix seconds."""

    def __init__(self, server: Server, delivery: Delivery, reactor: IReactorTime, settle: Callable[[], None]) -> None:
        self.state: DrainState = "off"
        self.since: float | None = None
        self._server = server
        self._delivery = delivery
        self._reactor = reactor
        self._settle = settle
        self._timer: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []

    def begin(self) -> Deferred[None]:
        """Drain; fires when it is drained, and never where it is taken back before. Harmless when it is begun."""
        if self.state == "off":
            self.state, self.since = "draining", self._reactor.seconds()
            self._server.drain(self.since)
            self._settle()
            self._look()
        if self.state == "drained":
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def end(self) -> None:
        """Take it back."""
        self._stop()
        if self.state != "off":
            self.state, self.since = "off", None
            self._server.undrain(self._reactor.seconds())
            self._settle()

    async def finish(self, seconds: float) -> None:
        """Drain, and look no more when that is done or so long was waited for it; for the daemon's end."""
        with suppress(LateError):
            await self.begin().addTimeout(seconds, self._reactor)
        self._stop()

    def _stop(self) -> None:
        self._waiting.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._server.under_way():
            self._timer = self._reactor.callLater(PAUSE, self._look)
            return
        since = self.since
        self._server.stop(self._reactor.seconds(), lambda: self._stored(since))
        self._settle()

    def _stored(self, since: float | None) -> None:
        self._delivery.drain().addCallback(lambda _: self._flushed(since))

    def _flushed(self, since: float | None) -> None:
        if self.since != since or self.state != "draining":
            return  # it was taken back meanwhile
        if self._delivery.failure is not None or self._server.under_way():
            self._timer = self._reactor.callLater(PAUSE, self._look)
            return
        self.state = "drained"
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)
