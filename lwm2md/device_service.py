"""The shell of the device: a socket and an engine for each, one reactor timer for all of them.

RULES: devices start spread over the stagger; models and supported Objects are shared; stopping de-registers every
device and waits for the answers, but not for long. What happens is a line of the log each.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import files
from ipaddress import ip_address
from typing import Any, Final

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lwm2md.coap.interfaces import Datagram
from lwm2md.device.client import Client
from lwm2md.device.objects import Settings, supported
from lwm2md.device.tree import Supported
from lwm2md.device.world import World, stream
from lwm2md.lwm2m.models import parse
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.driver import Deadlines
from lwm2md.net.port import DatagramPort
from lwm2md.net.udp import listen

GRACE: Final = 5.0
"""Seconds that a stopping fleet waits for the answers to its De-registers."""

_SPARE_FILES: Final = 64


@attrs.frozen(slots=True)
class Plan:
    """Which devices to run: the server's address, each device's settings, and the pace in seconds."""

    server: Endpoint
    devices: tuple[Settings, ...]
    stagger: float = 0.0
    interval: float = 10.0
    verbose: bool = False


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
        self._flush(self.client.start(self._clock.seconds()))

    def stop(self) -> None:
        """De-register."""
        self._flush(self.client.stop(self._clock.seconds()))

    def receive(self, batch: list[Datagram]) -> None:
        """Take a batch that has arrived."""
        self._flush(self.client.receive(batch, self._clock.seconds()))

    def wake(self, now: float) -> None:
        """Do what is due."""
        self._flush(self.client.expire(now))

    def close(self) -> None:
        """Give the port back and do nothing any more."""
        self._deadlines.set(self, None)
        self.port.close()

    def _flush(self, out: list[Datagram]) -> None:
        if out:
            self.port.send(out)
        if self.client.stopped:
            self.close()
            self._gone(self)
        else:
            self._deadlines.set(self, self.client.next_deadline())


class Fleet(Service):
    """The devices of one process. ``members`` are those that run; ``reactor`` gives the clock and reads the sockets."""

    name = "lwm2m-device"

    def __init__(self, reactor: Any, plan: Plan, random: Callable[[int], bytes] = os.urandom) -> None:
        self.due: float | None = None
        self.members: set[Member] = set()
        self._reactor = reactor
        self._plan = plan
        self._random = random
        self._log = Logger()
        self._deadlines = Deadlines(reactor)
        self._supported: dict[str, Mapping[int, Supported]] = {}
        self._waiting = list(reversed(plan.devices))
        self._pace = plan.stagger / max(1, len(plan.devices))
        self._began = 0.0
        self._ended: Deferred[None] | None = None

    def startService(self) -> None:
        """Start the devices, one after the other; raises SystemExit where there are not enough file descriptors."""
        super().startService()  # type: ignore[no-untyped-call]
        _allow_files(len(self._plan.devices) + _SPARE_FILES)
        text = files("lwm2md.lwm2m").joinpath("models.txt").read_text("utf-8")
        models = parse(text)
        self._supported = {one.version: {} for one in self._plan.devices}
        for version in self._supported:
            self._supported[version] = supported(models, version)
        self._began = self._reactor.seconds()
        self.wake(self._began)

    def stopService(self) -> Deferred[None]:
        """De-register every device; the result comes when all answers are there or after GRACE seconds."""
        super().stopService()  # type: ignore[no-untyped-call]
        ended: Deferred[None] = Deferred()
        self._ended = ended
        self._waiting.clear()
        for member in tuple(self.members):
            member.stop()
        if self.members:
            timer = self._reactor.callLater(GRACE, self._finish)
            ended.addBoth(_cancel, timer)
        else:
            self._finish()
        return ended

    def wake(self, now: float) -> None:
        """Start the devices whose turn it is."""
        total = len(self._plan.devices)
        while self._waiting and self._start_time(total - len(self._waiting)) <= now:
            self._start(self._waiting.pop(), now)
        self._deadlines.set(self, self._start_time(total - len(self._waiting)) if self._waiting else None)

    def _start_time(self, index: int) -> float:
        return self._began + index * self._pace

    def _start(self, settings: Settings, now: float) -> None:
        try:
            port = listen(self._reactor, _local(self._plan.server), pktinfo=False)
        except OSError as error:
            self._log.error("{endpoint} has no socket: {reason}", endpoint=settings.endpoint, reason=error.strerror)
            return
        client = Client(
            settings,
            supported=self._supported[settings.version],
            server=pack(port.local, self._plan.server),
            world=World(stream(settings.endpoint), self._plan.interval, now),
            random=self._random,
            report=partial(self._report, settings.endpoint),
            now=now,
            on_error=self._failed,
        )
        member = Member(self._reactor, self._deadlines, client, port, self._gone)
        self.members.add(member)
        member.start()

    def _gone(self, member: Member) -> None:
        self.members.discard(member)
        if self._ended is not None and not self.members:
            self._finish()

    def _finish(self) -> None:
        for member in tuple(self.members):
            member.close()
        self.members.clear()
        self._deadlines.stop()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.callback(None)

    def _report(self, endpoint: str, text: str, detail: bool) -> None:
        if self._plan.verbose or not detail:
            self._log.info("{endpoint} {text}", endpoint=endpoint, text=text)

    def _failed(self, traceback: str) -> None:
        self._log.error("a device failed: {traceback}", traceback=traceback)


def _local(remote: Endpoint) -> Endpoint:
    """Any free port to speak to ``remote`` from: loopback stays on loopback."""
    address = ip_address(remote.host)
    if address.version == 4:
        return Endpoint("127.0.0.1" if address.is_loopback else "0.0.0.0", 0)
    return Endpoint("::1" if address.is_loopback else "::", 0, remote.scope)


def _allow_files(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise SystemExit(f"a fleet of that size needs {wanted} open files, the limit is {hard} (ulimit -n)")
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _cancel(result: None, timer: Any) -> None:
    if timer.active():
        timer.cancel()
