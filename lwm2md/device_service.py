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
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lwm2md.device.behaviour import Timeline
from lwm2md.device.client import Client
from lwm2md.device.link import Link
from lwm2md.device.objects import Settings, supported
from lwm2md.device.script import Script, ScriptedWorld
from lwm2md.device.simulation import Moving
from lwm2md.device.tree import Supported
from lwm2md.device.world import World, stream
from lwm2md.device_member import Address, Member, ScriptedMember
from lwm2md.lwm2m.models import Models, parse
from lwm2md.net.addresses import Endpoint, pack
from lwm2md.net.driver import Deadlines
from lwm2md.net.udp import listen

if TYPE_CHECKING:
    from lwm2md.device_security import GroupSecurity
    from lwm2md.net.calling import ClientTerms
    from lwm2md.net.dtlsclient import SecureClient, SecureDevice

GRACE: Final = 5.0
"""Seconds that a stopping fleet waits for the answers to its De-registers."""

_SPARE_FILES: Final = 64


@attrs.frozen(slots=True, eq=False)
class Group:
    """Devices of one kind: their server's address, each one's settings, the time in seconds over which their starts are
    spread, their script (None: the built-in world), and how they shake hands (None: plain CoAP).
    """

    server: Endpoint
    devices: tuple[Settings, ...]
    stagger: float = 0.0
    script: Script | None = None
    security: GroupSecurity | None = None


@attrs.frozen(slots=True)
class Plan:
    """Which devices to run, and whether every detail of what they do is logged."""

    groups: tuple[Group, ...]
    verbose: bool = False


class _Start:
    """Starts the devices of a group one after the other."""

    def __init__(
        self,
        group: Group,
        models: Models,
        now: float,
        start: Callable[[Group, Mapping[int, Supported], int, float], None],
        deadlines: Deadlines,
    ) -> None:
        self.due: float | None = None
        self._group = group
        self._began = now
        self._start = start
        self._deadlines = deadlines
        self._count = 0
        self._pace = group.stagger / max(1, len(group.devices))
        own = None if group.script is None else group.script.supported
        self._kind = supported(models, group.devices[0].version) if own is None else own

    def wake(self, now: float) -> None:
        """Start the devices whose turn it is."""
        while self._count < len(self._group.devices) and self._began + self._count * self._pace <= now:
            self._count += 1
            self._start(self._group, self._kind, self._count, now)
        waiting = self._count < len(self._group.devices)
        self._deadlines.set(self, self._began + self._count * self._pace if waiting else None)

    def stop(self) -> None:
        """Start no more."""
        self._deadlines.set(self, None)


class Fleet(Service):
    """The devices of one process. ``members`` are those that run; ``reactor`` gives the clock and reads the sockets."""

    name = "lwm2m-device"

    def __init__(self, reactor: Any, plan: Plan, random: Callable[[int], bytes] = os.urandom) -> None:
        self.members: set[Member] = set()
        self._reactor = reactor
        self._plan = plan
        self._random = random
        self._log = Logger(namespace="device")
        self._deadlines = Deadlines(reactor)
        self._starts: list[_Start] = []
        self._ended: Deferred[None] | None = None
        self._client: SecureClient | None = None
        self._terms: dict[Group, Callable[[int, str], ClientTerms]] = {}

    def startService(self) -> None:
        """Start the devices, one after the other; raises SystemExit where there are not enough file descriptors."""
        super().startService()  # type: ignore[no-untyped-call]
        _allow_files(sum(len(group.devices) for group in self._plan.groups) + _SPARE_FILES)
        models = built_in_models()
        now = self._reactor.seconds()
        self._starts = [_Start(group, models, now, self._start, self._deadlines) for group in self._plan.groups]
        for start in self._starts:
            start.wake(now)

    def stopService(self) -> Deferred[None]:
        """De-register every device; the result comes when all answers are there or after GRACE seconds."""
        super().stopService()  # type: ignore[no-untyped-call]
        ended: Deferred[None] = Deferred()
        self._ended = ended
        for start in self._starts:
            start.stop()
        for member in tuple(self.members):
            member.stop()
        if self.members:
            timer = self._reactor.callLater(GRACE, self._finish)
            ended.addBoth(_cancel, timer)
        else:
            self._finish()
        return ended

    def _start(self, group: Group, kind: Mapping[int, Supported], number: int, now: float) -> None:
        settings, script = group.devices[number - 1], group.script
        report = partial(self._report, settings.endpoint)
        secure = self._secure(group, number, report)
        try:
            port, server = self._address(group, secure)
        except OSError as error:
            self._log.error("{endpoint} has no socket: {reason}", endpoint=settings.endpoint, reason=error.strerror)
            return
        if script is not None:
            settings = script.settle(settings, number)
        client = Client(
            settings,
            supported=kind,
            server=server,
            world=_world(group, settings, now),
            random=self._random,
            report=report,
            now=now,
            on_error=self._failed,
            details=self._plan.verbose,
        )
        if script is None or not script.acts:
            member = Member(self._reactor, self._deadlines, client, port, self._gone)
        else:
            member = ScriptedMember(
                self._reactor,
                self._deadlines,
                client,
                (port, server),
                self._gone,
                link=Link(script.behaviour, script.key(settings.endpoint, "link"), report, now),
                timeline=Timeline(script.events, now),
                move=partial(self._address, group, secure),
                report=report,
            )
        self.members.add(member)
        member.start()

    def _secure(self, group: Group, number: int, report: Callable[[str, bool], None]) -> SecureDevice | None:
        """What a device has with its server, if that is on ``coaps://``."""
        if group.security is None:
            return None
        if self._client is None:
            # Who speaks plain CoAP doesn't pay for OpenSSL.
            from lwm2md.net.dtlsclient import SecureClient  # noqa: PLC0415

            self._client = SecureClient(self._reactor, self._random, Deadlines(self._reactor))
        terms = self._terms.get(group)
        if terms is None:
            terms = self._terms[group] = group.security.terms()
        return self._client.device(terms(number, group.devices[number - 1].endpoint), report)

    def _address(self, group: Group, secure: SecureDevice | None, number: int = 0) -> Address:
        """Open a port of one's own, of that number if it is free, and the server as its peer. Raises OSError."""
        local = _local(group.server)
        try:
            port = listen(self._reactor, Endpoint(local.host, number, local.scope), pktinfo=False)
        except OSError:
            if not number:
                raise
            port = listen(self._reactor, local, pktinfo=False)
        server = pack(port.local, group.server)
        return (port if secure is None else secure.link(port, server)), server

    def _gone(self, member: Member) -> None:
        self.members.discard(member)
        if self._ended is not None and not self.members:
            self._finish()

    def _finish(self) -> None:
        for member in tuple(self.members):
            member.close()
        self.members.clear()
        self._deadlines.stop()
        if self._client is not None:
            self._client.stop()
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.callback(None)

    def _report(self, endpoint: str, text: str, detail: bool) -> None:
        if self._plan.verbose or not detail:
            self._log.info("{endpoint} {text}", endpoint=endpoint, text=text)

    def _failed(self, traceback: str) -> None:
        self._log.error("a device failed: {traceback}", traceback=traceback)


def built_in_models() -> Models:
    """The models that come with the program."""
    return parse(files("lwm2md.lwm2m").joinpath("models.txt").read_text("utf-8"))


def _world(group: Group, settings: Settings, now: float) -> Moving:
    if group.script is None or group.script.supported is None:
        return World(stream(settings.endpoint), settings.interval, now)
    return ScriptedWorld(group.script, settings.endpoint, now)


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
