"""The return of a fleet after an outage, in virtual time: ``python -m tests.server.returning [DEVICES]``.

RULES: half of the fleet is registered and sends Updates, a quarter is known to the daemon and sends Updates to
registrations that have ended, a quarter is not known at all; all send within one second. The storage writes so many
Registers a second and no more. Devices are ordinary: they send a Confirmable message again as RFC 7252 4.2 has it,
begin anew when nobody answered, register after a 4.04, and after a 5.03 wait for Max-Age. Part of what is sent may be
lost.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, options
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import LINKS, START, Bench, peer

PACE = 2000
"""Commits that the storage carries out in a second."""
GROUP = 100
_ACK_TIMEOUT, _SPREAD, _RETRANSMITS = 2.0, 1.5, 4
_DAY = 86400
_MAX_TRANSMIT_WAIT = 93.0


@attrs.define(eq=False)
class Returning:
    """A device: what it says when it comes back, how often, and when it was served."""

    number: int
    kind: str
    location: str = ""
    mid: int = 0
    data: bytes = b""
    waits: bool = False
    refused: int = 0
    served: float | None = None

    @property
    def endpoint(self) -> str:
        """Its Endpoint Client Name."""
        return f"{self.kind}-{self.number:06d}"

    def message(self) -> bytes:
        """An Update of its registration, or a Register."""
        self.mid += 1
        token = self.mid.to_bytes(2, "big") + self.number.to_bytes(4, "big")
        if self.location:
            return encode(Message(n.CON, n.POST, self.mid, token, options(path=("rd", self.location)), b""))
        query = (f"ep={self.endpoint}", f"lt={_DAY}", "lwm2m=1.1")
        fields = options(path=("rd",), query=query, content_format=n.LINK_FORMAT)
        return encode(Message(n.CON, n.POST, self.mid, token, fields, LINKS.encode()))


class Return(Bench):
    """A server that is back, its slow storage, and a fleet that comes."""

    def __init__(self, devices: int, seed: int, loss: float) -> None:
        super().__init__(ServerSettings(flush_interval=60.0))
        self.chance = Random(seed)
        self.loss = loss
        self.happening: list[tuple[float, int, Callable[[], None]]] = []
        self.serial = 0
        self.most = 0
        self.left = devices
        kinds = ("registered", "registered", "known", "unknown")
        self.fleet = [Returning(number, kinds[number % len(kinds)]) for number in range(devices)]
        self.by_peer = {peer(each.number): each for each in self.fleet}
        self._know()
        self.hold()
        self.at(self.now, self._write)
        for each in self.fleet:
            self.at(self.now + self.chance.random(), partial(self._begin, each))

    def _know(self) -> None:
        """Let those register that the daemon knows from before; of some the registration has ended."""
        for each in self.fleet:
            if each.kind != "unknown":
                self.mids = count(100)  # of each device its own
                device = self.device(each.endpoint, each.number)
                device.register("lwm2m=1.1", f"lt={_DAY}")
                each.location = device.location
                if each.kind == "known":
                    device.deregister()
        self.devices.clear()
        self.now = START + 3600

    def at(self, when: float, action: Callable[[], None]) -> None:
        """Let something happen at a time."""
        self.serial += 1
        heapq.heappush(self.happening, (when, self.serial, action))

    def run(self, until: float) -> None:
        """Let everything happen up to a time, or until everybody was served."""
        while self.left and self.happening:
            dues = [self.engine.next_deadline(), self.server.next_deadline()]
            due = min((each for each in dues if each is not None), default=until)
            when = self.happening[0][0]
            if min(due, when) >= until:
                break
            self.now = max(self.now, min(due, when))
            if when <= due:
                heapq.heappop(self.happening)[2]()
            else:
                self.tick()

    # The storage

    def _write(self) -> None:
        self.most = max(self.most, len(self.held))
        self.release(only=GROUP)
        self.at(self.now + GROUP / PACE, self._write)

    # The network

    def _send(self, out: list[tuple[bytes, bytes]]) -> None:
        if self.devices:  # before the outage
            super()._send(out)
            return
        for data, target in out:
            if self.chance.random() >= self.loss:
                self.at(self.now + self._delay(), partial(self._down, data, self.by_peer[target]))

    def _up(self, device: Returning, data: bytes) -> None:
        if self.chance.random() >= self.loss:
            self.at(self.now + self._delay(), partial(self.receive, data, peer(device.number)))

    def _delay(self) -> float:
        return 0.05 + self.chance.random() / 10

    # A device

    def _begin(self, device: Returning) -> None:
        device.data, device.waits = device.message(), False
        self._transmit(device, device.data, 0, _ACK_TIMEOUT * self.chance.uniform(1, _SPREAD))

    def _transmit(self, device: Returning, data: bytes, attempt: int, timeout: float) -> None:
        if device.data is not data or device.waits:
            return
        if attempt > _RETRANSMITS:
            self._begin(device)
            return
        self._up(device, data)
        self.at(self.now + timeout, partial(self._transmit, device, data, attempt + 1, 2 * timeout))

    def _anew(self, device: Returning, data: bytes) -> None:
        if device.data is data:
            self._begin(device)

    def _down(self, data: bytes, device: Returning) -> None:
        message = decode(data)
        if message.type == n.CON:
            self._up(device, encode(Message(n.ACK, n.EMPTY, message.mid, b"", (), b"")))
        # The message ID, or the token of which it is the first half, says which message this is about.
        if not device.data or device.mid.to_bytes(2, "big") != (message.token[:2] or data[2:4]):
            return
        if message.code == n.EMPTY:
            device.waits = True
            self.at(self.now + _MAX_TRANSMIT_WAIT, partial(self._anew, device, device.data))
        elif message.code in (n.CREATED, n.CHANGED):
            device.served, device.data = self.now, b""
            self.left -= 1
        elif message.code == n.NOT_FOUND:
            device.location = ""
            self._begin(device)
        else:
            assert message.code == n.SERVICE_UNAVAILABLE and message.max_age is not None, message
            device.refused, device.data = device.refused + 1, b""
            self.at(self.now + message.max_age, partial(self._begin, device))

    # What came of it

    def last(self, *kinds: str) -> float:
        """When the last of a kind was served, in seconds after the return."""
        return max(each.served or float("inf") for each in self.fleet if each.kind in kinds) - START - 3600

    def summary(self) -> str:
        """The return in a line."""
        refused = [each.refused for each in self.fleet]
        return (
            f"{len(self.fleet)} devices, {self.left} not served, {self.most} commits waited at most, "
            f"{sum(refused)} refused, one {max(refused)} times; served after "
            + ", ".join(f"{self.last(kind):.1f} s ({kind})" for kind in ("registered", "known", "unknown"))
        )


def come_back(devices: int, *, seed: int = 7, loss: float = 0.0) -> Return:
    """Let a fleet come back."""
    found = Return(devices, seed, loss)
    found.run(found.now + 3600)
    return found


if __name__ == "__main__":
    for share in (0.0, 0.1):
        finished = come_back(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, loss=share)
        sys.stdout.write(f"{share:.0%} lost each way: {finished.summary()}\n")
        if finished.left or finished.errors:
            sys.exit(1)
