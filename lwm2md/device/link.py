"""What lies between a scripted device and the network: a radio that sleeps, and answers that get lost, late or wrong.

RULES: an answer is a datagram with a response code, a notification included, or an empty acknowledgement; requests and
Resets are none. What arrives while the device sleeps is lost. Any datagram that leaves wakes it, and it does not fall
asleep while it waits for an answer of its server. The same key gives the
same chances, in the order in which datagrams pass. Datagrams in, datagrams out; nothing here reads a clock.
"""

from __future__ import annotations

import heapq
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Datagram
from lwm2md.device.behaviour import Behaviour
from lwm2md.device.client import Report
from lwm2md.device.functions import chance

_FIRST_RESPONSE: Final = 0x40
_HEADER: Final = 4
_MAX_HELD: Final = 1000


class Link:
    """The link of one device. ``now`` is Unix time in seconds; ``report`` is told what happens, as detail."""

    __slots__ = (
        "_answers",
        "_asleep",
        "_behaviour",
        "_drawn",
        "_held",
        "_key",
        "_order",
        "_quiet_since",
        "_report",
    )

    def __init__(self, behaviour: Behaviour, key: bytes, report: Report, now: float) -> None:
        self._behaviour = behaviour
        self._key = key
        self._report = report
        self._answers = 0
        self._drawn = 0
        self._held: list[tuple[float, int, Datagram]] = []
        self._order = 0
        self._asleep = False
        self._quiet_since = now

    @property
    def asleep(self) -> bool:
        """Whether the device sleeps and hears nothing."""
        return self._asleep

    @property
    def wakes(self) -> tuple[str, ...]:
        """What the device wakes up for besides its registration."""
        return self._behaviour.wakes

    @property
    def keeps_port(self) -> bool:
        """Whether the device has the port again after it slept."""
        return self._behaviour.keeps_port

    def inbound(self, batch: list[Datagram], now: float) -> list[Datagram]:
        """What the device hears of what has arrived."""
        if self._asleep:
            return []
        heard = [datagram for datagram in batch if not self._lost()]
        if heard:
            self._quiet_since = now
        return heard

    def outbound(self, out: list[Datagram], now: float) -> list[Datagram]:
        """What leaves at once of what the device sends; the rest leaves later or never."""
        if out:
            self._wake(now)
        return [datagram for one in out if (datagram := self._pass(one, now)) is not None]

    def next_deadline(self, *, waiting: bool = False) -> float | None:
        """When ``expire`` has something to do, None for never; ``waiting``: the device waits for an answer."""
        dues = [self._held[0][0]] if self._held else []
        turn = self._turn(waiting)
        if turn is not None:
            dues.append(turn)
        return min(dues, default=None)

    def expire(self, now: float, *, waiting: bool = False) -> tuple[list[Datagram], bool]:
        """The late datagrams whose time has come, and whether the device has just woken by itself."""
        out = []
        while self._held and self._held[0][0] <= now:
            out.append(heapq.heappop(self._held)[2])
        if out:
            self._wake(now)
        turn = self._turn(waiting)
        if turn is None or now < turn:
            return out, False
        if self._asleep:
            self._wake(now)
            return out, True
        self._asleep, self._quiet_since = True, now
        self._report("asleep", True)
        return out, False

    def clear(self, now: float) -> None:
        """The device lost its power: nothing is held any more, and it starts awake."""
        self._held.clear()
        self._asleep, self._quiet_since = False, now

    def _turn(self, waiting: bool) -> float | None:
        """When the device falls asleep or wakes up by itself."""
        if self._held or (waiting and not self._asleep):
            return None
        wait = self._behaviour.asleep if self._asleep else self._behaviour.awake
        return None if wait is None else self._quiet_since + wait

    def _wake(self, now: float) -> None:
        self._quiet_since = now
        if self._asleep:
            self._asleep = False
            self._report("awake", True)

    def _pass(self, datagram: Datagram, now: float) -> Datagram | None:
        if _is_answer(datagram[0]):
            changed = self._treat(datagram)
            if changed is None:
                return None
            datagram = changed
            low, high = self._behaviour.late
            if high > 0.0:
                self._hold(datagram, now + low + (high - low) * self._draw())
                return None
        return None if self._lost() else datagram

    def _treat(self, datagram: Datagram) -> Datagram | None:
        behaviour = self._behaviour
        self._answers += 1
        if behaviour.drop and self._answers % behaviour.drop == 0:
            self._report("swallowed an answer", True)
            return None
        data, peer = datagram
        if behaviour.wrong and self._answers % behaviour.wrong == 0 and data[1] != numbers.EMPTY:
            self._report(f"answered {numbers.dotted(behaviour.wrong_code)} instead", True)
            end = _HEADER + (data[0] & 0x0F)
            return data[:1] + bytes((behaviour.wrong_code,)) + data[2:end], peer
        return datagram

    def _hold(self, datagram: Datagram, due: float) -> None:
        if len(self._held) < _MAX_HELD and not self._lost():
            self._order += 1
            heapq.heappush(self._held, (due, self._order, datagram))

    def _lost(self) -> bool:
        return self._behaviour.loss > 0.0 and self._draw() < self._behaviour.loss

    def _draw(self) -> float:
        self._drawn += 1
        return chance(self._key, self._drawn)


def _is_answer(data: bytes) -> bool:
    return data[1] >= _FIRST_RESPONSE or (data[1] == numbers.EMPTY and data[0] >> 4 & 0x03 == numbers.ACK)
