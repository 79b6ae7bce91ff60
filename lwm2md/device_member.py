"""One device in its shell: its engine on a socket, and what a script does to the datagrams in between.

RULES: a member has one deadline, the earliest of all its parts. A device that has another address sends and receives
there, while it goes on calling its server what it did at first: like one behind a NAT, it notices nothing. One that
is dead or restarts hears nothing; what the script has for it meanwhile is missed. One that sleeps has no socket: what
arrives then reaches nobody, and what it sends next leaves from another port, unless it keeps its own. One that is
offline has a socket on which nothing comes or goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from lwm2md.coap.interfaces import Datagram, Peer
from lwm2md.device.behaviour import ADDRESS, DEREGISTER, DIE, OFFLINE, REBOOT, SET, UPDATE, Event, Timeline
from lwm2md.device.client import Client, Report
from lwm2md.device.link import Link
from lwm2md.device.narrating import shown
from lwm2md.device.registration import State
from lwm2md.net.driver import Deadlines
from lwm2md.net.port import DatagramPort

Address = tuple[DatagramPort, Peer]
"""A port, and the server as its peer."""

Move = Callable[[int], Address]
"""Opens a port of that number, of any free one with 0. Raises OSError."""

_GONE: Final = (State.IDLE, State.LEAVING, State.STOPPED)


class Member:
    """One device on its port. It is closed when the device has stopped."""

    __slots__ = ("_clock", "_deadlines", "_gone", "client", "due", "port")

    def __init__(
        self, clock: Any, deadlines: Deadlines, client: Client, port: DatagramPort, gone: Callable[[Member], None]
    ) -> None:
        self.due: float | None = None
        self.client = client
        self.port = port
        self._clock = clock
        self._deadlines = deadlines
        self._gone = gone

    def start(self) -> None:
        """Read the port and register."""
        self.port.start(self.receive)
        now = self._clock.seconds()
        self._flush(self.client.start(now), now)

    def stop(self) -> None:
        """De-register; a device that cannot just goes."""
        now = self._clock.seconds()
        if self.client.registration.state in _GONE:
            self._leave()
        else:
            self._flush(self.client.stop(now), now)

    def receive(self, batch: list[Datagram]) -> None:
        """Take a batch that has arrived."""
        now = self._clock.seconds()
        self._flush(self.client.receive(batch, now), now)

    def wake(self, now: float) -> None:
        """Do what is due."""
        self._flush(self.client.expire(now), now)

    def close(self) -> None:
        """Give the port back and do nothing any more."""
        self._deadlines.set(self, None)
        self.port.close()
        self.client.engine.close()

    def _flush(self, out: list[Datagram], now: float) -> None:
        if out:
            self.port.send(out)
        if self.client.stopped:
            self._leave()
        else:
            self._deadlines.set(self, self.client.next_deadline())

    def _leave(self) -> None:
        self.close()
        self._gone(self)


class ScriptedMember(Member):
    """A device with a link that misbehaves and events that befall it; ``move`` opens another port for it."""

    __slots__ = (
        "_closed",
        "_down_until",
        "_home",
        "_link",
        "_move",
        "_offline_until",
        "_report",
        "_server",
        "_timeline",
    )

    def __init__(
        self,
        clock: Any,
        deadlines: Deadlines,
        client: Client,
        address: Address,
        gone: Callable[[Member], None],
        *,
        link: Link,
        timeline: Timeline,
        move: Move,
        report: Report,
    ) -> None:
        super().__init__(clock, deadlines, client, address[0], gone)
        self._home = self._server = address[1]
        self._link = link
        self._timeline = timeline
        self._move = move
        self._report = report
        self._down_until: float | None = None
        self._offline_until: float | None = None
        self._closed = False

    def stop(self) -> None:
        """De-register; a device that is dead, down or offline just goes."""
        if self._down_until is not None or self._offline_until is not None:
            self._leave()
        else:
            super().stop()

    def receive(self, batch: list[Datagram]) -> None:
        """Take what the device hears of a batch that has arrived."""
        if self._down_until is not None or self._offline_until is not None:
            return
        if self._server != self._home:
            batch = [(data, self._home) for data, peer in batch if peer == self._server]
        now = self._clock.seconds()
        heard = self._link.inbound(batch, now)
        if heard:
            self._flush(self.client.receive(heard, now), now)

    def wake(self, now: float) -> None:
        """Do what is due: what the script has, what was held back, then what the device itself has to do."""
        if self._down_until is not None:
            if now < self._down_until:
                return
            self._down_until = None
            self._link.clear(now)
            for _ in self._timeline.take(now):
                continue
        out: list[Datagram] = []
        if self._offline_until is not None and now >= self._offline_until:
            self._offline_until = None
            self._report("online", False)
            out += self.client.find(now)
        for event in self._timeline.take(now):
            if self._down_until is None and not self.client.stopped:
                out += self._do(event, now)
        if self._down_until is None:
            if self._offline_until is None:
                out += self._turn(now)
            out += self.client.expire(now)
        self._flush(out, now)

    def _turn(self, now: float) -> list[Datagram]:
        """Send what was held back, fall asleep or wake up; what the device sends because of it."""
        asleep = self._link.asleep
        late, woken = self._link.expire(now, waiting=self.client.waiting)
        self._send(late)
        if self._link.asleep and not asleep:
            self.port.close()
            self._closed = True
            self.client.sleep(self._link.wakes, announces=not self._link.keeps_port)
        return self.client.wake(now) if woken else []

    def _do(self, event: Event, now: float) -> list[Datagram]:
        """Let an event happen; what the device sends because of it."""
        if event.do == REBOOT:
            self._fall_silent(event, now)
            return self.client.reboot(now, event.back or 0.0)
        if event.do == DIE:
            self._report("dead", False)
            self._fall_silent(event, now)
            return self.client.reboot(now, event.back) if event.back is not None else []
        if event.do == OFFLINE:
            self._report("offline", False)
            self._offline_until = math.inf if event.back is None else now + event.back
            self.client.lose()
        if event.do == ADDRESS:
            return self._change_address(event, now)
        if event.do == UPDATE:
            return self.client.update(now)
        if event.do == DEREGISTER:
            return self.client.leave(now, event.back)
        if event.do == SET and event.value is not None:
            self._report(f"set {event.path} = {shown(event.value)}", True)
            self.client.set(event.path, event.value, now)
        return []

    def _fall_silent(self, event: Event, now: float) -> None:
        self._down_until = math.inf if event.back is None else now + event.back

    def _change_address(self, event: Event, now: float) -> list[Datagram]:
        if self._open(0):
            self._report(f"has another address: port {self.port.local.port}", False)
            return [] if event.quiet else self.client.update(now)
        return []

    def _open(self, number: int) -> bool:
        """Have another socket; whether there was one to have."""
        try:
            port, server = self._move(number)
        except OSError as error:
            self._report(f"stays at {self.port.local}: {error.strerror}", False)
            return False
        self.port.close()
        self.port, self._server, self._closed = port, server, False
        port.start(self.receive)
        return True

    def _flush(self, out: list[Datagram], now: float) -> None:
        if out and self._offline_until is None:
            self._send(self._link.outbound(out, now))
        if self.client.stopped:
            self._leave()
            return
        if self._down_until is not None:
            self._deadlines.set(self, None if self._down_until == math.inf else self._down_until)
            return
        link = self._link.next_deadline(waiting=self.client.waiting) if self._offline_until is None else None
        dues = (self.client.next_deadline(), link, self._offline_until, self._timeline.next_deadline())
        due = min((due for due in dues if due is not None), default=math.inf)
        self._deadlines.set(self, None if due == math.inf else due)

    def _send(self, out: list[Datagram]) -> None:
        if not out:
            return
        if self._closed and not self._open(self.port.local.port if self._link.keeps_port else 0):
            return
        moved = self._server != self._home
        self.port.send([(data, self._server) for data, _ in out] if moved else out)
