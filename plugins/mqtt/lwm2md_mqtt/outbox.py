"""The outbox: what waits to be published, what is on its way, and who is told when it has arrived.

RULES: answers go before events. A batch is published in order, at most ``window`` messages on their way at once; it is
done when each has been acknowledged. What is on its way when a connection is lost stays there: paho sends it again.
Answers that wait for a broker are bounded, the oldest are dropped and counted; batches wait where they come from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from twisted.internet.defer import Deferred

from lwm2md_mqtt.messages import Message

MOST_ANSWERS: Final = 10_000
"""Answers that wait for the broker."""
STEP: Final = 500
"""Messages that are published before the reactor has its turn."""

Arrived = Callable[[], None]
_Flight = tuple[Message, Arrived | None]
Publish = Callable[[Message], int]
"""Hands a message to the connection, and returns its packet identifier: 0 where nothing will acknowledge it."""


class _Batch:
    """Messages that somebody waits for: those that are not there yet, and how many are ``away`` on their way."""

    __slots__ = ("away", "done", "messages", "whole")

    def __init__(self, messages: Iterator[Message]) -> None:
        self.messages = messages
        self.away = 0
        self.whole = False
        self.done: Deferred[None] = Deferred(self._cancel)

    def _cancel(self, _: Deferred[None]) -> None:
        self.messages = iter(())

    def sent(self) -> None:
        """All of it is on its way, or there."""
        self.whole = True
        self._look()

    def arrived(self) -> None:
        """One message of it was acknowledged."""
        self.away -= 1
        self._look()

    def _look(self) -> None:
        if self.whole and not self.away and not self.done.called:
            self.done.callback(None)


class Outbox:
    """Messages on their way to the broker; ``window`` may change with every connection."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.dropped = 0
        self._answers: deque[_Flight] = deque()
        self._batches: deque[_Batch] = deque()
        self._again: deque[_Flight] = deque()
        self._flying: dict[int, _Flight] = {}

    @property
    def flying(self) -> int:
        """Messages that have not been acknowledged."""
        return len(self._flying)

    @property
    def waiting(self) -> int:
        """Answers that wait, and batches."""
        return len(self._answers) + len(self._batches)

    def answer(self, message: Message, then: Arrived | None = None) -> None:
        """Publish an answer, before all events; ``then`` is called when it was acknowledged."""
        if len(self._answers) >= MOST_ANSWERS:
            self._answers.popleft()
            self.dropped += 1
        self._answers.append((message, then))

    def batch(self, messages: Iterable[Message]) -> Deferred[None]:
        """Publish messages; fires when all of them have been acknowledged. Cancelled, the rest of them stays here."""
        batch = _Batch(iter(messages))
        self._batches.append(batch)
        return batch.done

    def pump(self, publish: Publish) -> bool:
        """Publish as much as may be on its way; whether there is more that may leave at once."""
        for _ in range(STEP):
            if len(self._flying) >= self.window:
                return False
            flight = self._next()
            if flight is None:
                return False
            identifier = publish(flight[0])
            if identifier:
                self._flying[identifier] = flight
            elif flight[1] is not None:
                flight[1]()
        return True

    def acknowledged(self, identifier: int) -> None:
        """A message has arrived."""
        flight = self._flying.pop(identifier, None)
        if flight is not None and flight[1] is not None:
            flight[1]()

    def again(self) -> None:
        """Take back everything that is on its way: nobody else sends it again."""
        self._again.extendleft(reversed(self._flying.values()))
        self._flying.clear()

    def _next(self) -> _Flight | None:
        if self._again:
            return self._again.popleft()
        if self._answers:
            return self._answers.popleft()
        while self._batches:
            batch = self._batches[0]
            message = next(batch.messages, None)
            if message is not None:
                batch.away += 1
                return message, batch.arrived
            self._batches.popleft()
            batch.sent()
        return None
