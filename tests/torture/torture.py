"""One torture: a fleet, callers and readers; the daemon is killed, starts again, and everything is compared."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final, cast

import attrs
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.task import deferLater

from tests.peers.proxy import Proxy
from tests.processes import reactor
from tests.torture.bus import Bus
from tests.torture.caller import LOST, NAMED, Callers
from tests.torture.daemon import Daemon, Place
from tests.torture.device import DEVIATION, OBSERVED, SENT, Device
from tests.torture.model import Model, Violation
from tests.torture.power import Power
from tests.torture.reader import Reader, logged
from tests.torture.secure import BEHIND, SecureFleet
from tests.web import ServerSentEvent

_CALLERS: Final = 4
_SAMPLE: Final = 30
_BEFORE_READY: Final = 0.15
_IN_ORDER: Final = 0.1
_LONG: Final = 0.1
_NETWORK: Final[Mapping[str, float]] = {"loss": 0.05, "duplication": 0.05, "delay": 0.2, "longest_delay": 0.05}
_MARKER: Final = "marker"
_STORED: Final = frozenset({"device.registered", "device.deregistered", "device.value", "device.forgotten"})
"""Events that are told and are not live only."""


@attrs.define
class Figures:
    """What was done; for the last line."""

    kills: int = 0
    early: int = 0
    cuts: int = 0
    stops: int = 0
    lost: int = 0

    def text(self, torture: Torture) -> str:
        """The figures of a torture."""
        model = torture.model
        requests = sum(sum(counter.values()) for device in torture.devices.values() for counter in device.done.values())
        return (
            f"{self.kills} kills ({self.early} before it served, {self.cuts} power cuts, {self.lost} writes lost), "
            f"{self.stops} stops, "
            f"{torture.callers.calls} API calls, {len(model.asked)} operations, {requests} carried out, "
            f"{sum(device.number for device in torture.devices.values())} values, "
            f"{sum(len(reader.events) for reader in torture.readers)} events read, {model.checked} facts checked"
            f"{'' if torture.secure is None else f', {torture.secure.text()}'}"
        )


class Torture:
    """A daemon under a seed. ``settings`` go to it; ``power`` makes kills into power cuts, ``bus`` reads, too.

    The fleet speaks DTLS where it is ``dtls``.
    """

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        fleet: int = 8,
        power: Power | None = None,
        bus: Bus | None = None,
        dtls: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        self.random = random = Random(seed)
        self.model = Model()
        self.figures = Figures()
        self.power = power
        self.bus = bus
        place = Place.find()
        self.secure = SecureFleet(directory, (place.host, place.coaps), seed, **_NETWORK) if dtls else None
        settings = (*settings, *(each for part in (bus, self.secure) if part is not None for each in part.settings))
        self.daemon = Daemon(directory, place, settings, {} if power is None else power.environment)
        if self.secure is not None:
            self.secure.attach(self.daemon)
        proxy = Proxy(self.daemon.coap, seed, **_NETWORK)
        self._proxy = reactor.listenUDP(0, proxy, interface="127.0.0.1")
        self._relay = proxy
        where = ("127.0.0.1", self._proxy.getHost().port)
        names = [f"device-{number}" for number in range(fleet)]
        self.devices = {
            name: self._device(name, where, Random(random.random()), sleepy=number % 2 == 1)
            for number, name in enumerate(names)
        }
        for number, name in enumerate(names):
            self.devices[name].modern = number % 4 > 1
            self.devices[name].odd = number % 4 != 0
        self.marker = Device(_MARKER, where, self.model, Random(random.random()), sleepy=False)
        self.callers = Callers(self.daemon, self.devices, self.model, Random(random.random()))
        self.readers = [Reader(self.daemon, ""), Reader(self.daemon, "?types=device.*")]
        self._violation: BaseException | None = None
        self._acting = False
        self._verified = "0" * 16
        self._gate: list[Deferred[None]] = []
        self._tasks: list[Deferred[None]] = []
        for device in (*self.devices.values(), self.marker):
            device.on_violation = self._failed
            for kind in ("registration", "lifetime"):
                self.model.cell(kind, device.endpoint)
            for name in "xyz":
                self.model.cell("label", device.endpoint, name)
            for path in OBSERVED:
                self.model.cell("wish", device.endpoint, path)

    def _device(self, name: str, where: tuple[str, int], random: Random, *, sleepy: bool) -> Device:
        if self.secure is not None:
            return self.secure.device(name, self.model, random, sleepy=sleepy)
        return Device(name, where, self.model, random, sleepy=sleepy)

    async def run(self, kills: int) -> None:
        """Kill so often, and check everything after each. Raises Violation."""
        self.daemon.spawn()
        await self.daemon.ready()
        if self.bus is not None:
            await self.bus.begin(self.daemon)
        self._begin()
        await self._verify()
        while self.figures.kills < kills:
            await self._load()
            await self._die()
            await self._verify()

    async def close(self) -> None:
        """Stop everything."""
        self._acting = False
        for task in self._tasks:
            task.addErrback(lambda _: None)
            task.cancel()
        for device in (*self.devices.values(), self.marker):
            device.abandon()
            await device.close()
        for reader in self.readers:
            await reader.close()
        if self.bus is not None:
            self.bus.close()
        await self._relay.close()
        if self.secure is not None:
            await self.secure.close()
        self.daemon.close()

    # The load

    def _begin(self) -> None:
        for device in self.devices.values():
            self._start(f"{device.endpoint} lives", device.live, 0.02)
        for number in range(_CALLERS):
            self._start(f"caller {number}", self.callers.act, 0.005)

    def _start(self, name: str, act: Callable[[], Awaitable[None]], pause: float) -> None:
        async def forever() -> None:
            while True:
                while not self._acting:
                    waiting: Deferred[None] = Deferred()
                    self._gate.append(waiting)
                    await waiting
                await act()
                await deferLater(reactor, self.random.random() * pause)

        task = ensureDeferred(forever())
        task.addErrback(self._task_failed)
        self._tasks.append(task)

    def _task_failed(self, failure: Any) -> None:
        self._failed(failure.value)

    def _failed(self, error: BaseException) -> None:
        self._violation = self._violation or error

    async def _load(self) -> None:
        self._acting = True
        gate, self._gate = self._gate, []
        for each in gate:
            each.callback(None)
        longest = self.random.choice([0.05, 0.2, 0.4, 0.8])
        if self.secure is not None and self.random.random() < _LONG:
            longest = 2 * BEHIND  # so long that sessions are stored again
        await deferLater(reactor, longest * self.random.random() + 0.01)
        self._check()

    def _check(self) -> None:
        if self._violation is not None:
            raise self._violation

    async def _die(self) -> None:
        """The kill, or now and then a stop, and now and then another kill before it serves again."""
        early = self.random.random() < _BEFORE_READY
        if self.random.random() < _IN_ORDER:
            await self.daemon.stop()
            self.daemon.check_log()
            self._lost("was a stop in order", killed=False)
        else:
            self._kill("under load")
        self._acting = False
        self.daemon.spawn()
        if early:
            await deferLater(reactor, self.random.random() * 0.4)
            self.figures.early += 1
            self._kill("while it starts")
            self.daemon.spawn()
        await self.daemon.ready()
        if self.secure is not None:
            await self.secure.play()
        self._check()

    def _kill(self, when: str) -> None:
        self.daemon.check_log()
        self.daemon.kill(signal.SIGKILL)
        self._lost(when, killed=True)

    def _lost(self, how: str, *, killed: bool) -> None:
        """The daemon is gone, and with it what its disk has not kept."""
        for device in self.devices.values():
            device.left(killed=killed)
        self.figures.kills += killed
        self.figures.stops += not killed
        lost = ""
        if self.power is not None:
            dropped = self.power.cut(self.random)
            self.figures.cuts += 1
            self.figures.lost += dropped
            lost = f", {dropped} unsynced writes lost"
        self.model.note(f"kill {self.figures.kills} {how}{lost}")

    # The comparison

    async def _verify(self) -> None:
        try:
            for reader in self.readers:
                await reader.resume()
            await self._verify_registrations()
            await self._verify_events()
            for endpoint in self.devices:
                await self._verify_device(endpoint)
            await self._verify_lists()
            await self._verify_operations()
        except LOST as error:
            self.daemon.check_log()
            raise Violation(f"it does not answer: {error}") from error
        for kind in ("execute", "create"):
            self.model.check_marks(kind, lambda endpoint, kind=kind: self.devices[endpoint].done[kind])  # type: ignore[misc]
        self.daemon.check_log()
        self._check()

    async def _verify_registrations(self) -> None:
        """Every device that was not refused or removed goes on with an Update."""

        async def update(device: Device) -> None:
            cell = self.model.cell("registration", device.endpoint)
            if not cell.busy and device.location is not None:
                await device.update()
                self.model.checked += 1

        updates = [ensureDeferred(update(device)) for device in self.devices.values()]
        for ok, result in await DeferredList(updates, consumeErrors=True):
            if not ok:
                raise cast("Any", result).value

    async def _verify_events(self) -> None:
        """What is in the log is what the readers got, and all that was acknowledged is there."""
        due = self.model.due()
        number = 600 + self.daemon.lives * 2
        if self.marker.location is None:
            await self.marker.register(number - 1)
        await self.marker.update(number)

        def is_marker(event: ServerSentEvent) -> bool:
            return (event.data.get("endpoint"), event.data.get("lifetime")) == (_MARKER, number)

        found = await logged(self.daemon, self._verified, is_marker)
        for event in found:
            self._index(event)
        for reader in self.readers:
            await reader.until(is_marker)
            for event in found:
                if reader is not self.readers[0] and event.type[:7] != "device.":
                    continue
                if event.id not in reader.events:
                    raise Violation(f"a reader that came back was not given {event}")
                if reader.events[event.id].data != event.data:
                    raise Violation(f"a reader was given {reader.events[event.id]}, and stored is {event}")
        self._verify_told({event.id for event in found}, found[-1].id)
        if self.bus is not None:
            self.model.checked += await self.bus.check(found)
        self._verified = found[-1].id
        self.model.check_events(due)

    def _verify_told(self, stored: set[str], last: str) -> None:
        """What is stored always, and was told to a reader, is stored."""
        for event in self.readers[0].events.values():
            if self._verified < event.id <= last and event.type in _STORED and event.id not in stored:
                raise Violation(f"a reader was given {event}, which is not stored")

    def _index(self, event: ServerSentEvent) -> None:
        data = event.data
        if event.type in ("device.registered", "device.updated"):
            self.model.stored("registered", data["registration_id"])
        elif event.type == "device.value":
            for row in data["values"]:
                self.model.stored("value", data["endpoint"], row["path"], int(row["value"]))
        elif event.type.startswith("operation."):
            self.model.stored("operation", data["operation"])

    async def _verify_device(self, endpoint: str) -> None:
        status, document = await self.callers.call("GET", f"/v1/devices/{endpoint}")
        if status == 404:
            document = {"labels": {}, "registration_id": None, "lifetime": None}
        see = self.model.see
        see(document["registration_id"], "registration", endpoint)
        see(document["lifetime"], "lifetime", endpoint)
        labels = document["labels"]
        for name in "xyz":
            see(labels.get(name), "label", endpoint, name)
        if "refused" in labels:
            raise Violation(f"{endpoint} has a label that was refused")
        _, wishes = await self.callers.call("GET", f"/v1/observations?endpoint={endpoint}")
        there = {each["path"] for each in wishes["items"]}
        for path in OBSERVED:
            see(True if path in there else None, "wish", endpoint, path)
        if there - set(OBSERVED):
            raise Violation(f"{endpoint} is observed at {there}, which was refused")
        for path, number in list(self.devices[endpoint].acknowledged.items()):
            where = f"/v1/devices/{endpoint}/resources{path}?source=twin"
            status, document = await self.callers.call("GET", where)
            known = int(document["values"][0]["value"]) if status == 200 else None
            self.model.checked += 1
            if path in self.devices[endpoint].acknowledged and (known is None or known < number):
                raise Violation(f"{endpoint} {path} is known as {known}, and {number} was acknowledged")
        await self._verify_history(self.devices[endpoint], SENT, self.devices[endpoint].sent)
        for path, numbers in list(self.devices[endpoint].notified.items()):
            await self._verify_history(self.devices[endpoint], path, numbers)
        await self._verify_deviations(self.devices[endpoint])

    async def _verify_history(self, device: Device, path: str, numbers: set[int]) -> None:
        """The history has all that was acknowledged; ``numbers`` may become fewer meanwhile."""
        wanted = set(numbers)
        _, kept = await self.callers.call("GET", f"/v1/devices/{device.endpoint}/history{path}?limit=1000")
        missing = wanted - {int(row["value"]) for row in kept.get("items", ())}
        self.model.checked += len(wanted)
        if missing & numbers:
            raise Violation(f"{missing} of {device.endpoint} {path} were acknowledged, and the history has them not")

    async def _verify_deviations(self, device: Device) -> None:
        status, found = await self.callers.call("GET", f"/v1/devices/{device.endpoint}/deviations")
        there = status == 200 and DEVIATION in {row["kind"] for row in found["items"]}
        self.model.checked += 1
        if there and not device.odd:
            raise Violation(f"{device.endpoint} is said to be {DEVIATION}, and is not")
        if device.found_out and not there:
            raise Violation(f"{device.endpoint} was found out to be {DEVIATION}, which is forgotten")

    async def _verify_lists(self) -> None:
        _, models = await self.callers.call("GET", "/v1/models?limit=1000&after=40099:1.0")
        there = {each["id"] for each in models["items"]}
        for (_, number), _ in self.model.of("model"):
            self.model.see(True if number in there else None, "model", number)
        for kind, path, facts in NAMED:
            _, listed = await self.callers.call("GET", f"{path}?limit=1000")
            known = {each["name"]: facts(each) for each in listed["items"]}
            for (_, name), _ in self.model.of(kind):
                self.model.see(known.get(str(name)), kind, name)
        _, profiles = await self.callers.call("GET", "/v1/profile-ids")
        lists = {each["pid"]: each["links"] for each in profiles["items"]}
        for (_, pid), _ in self.model.of("profile"):
            self.model.see(lists.get(str(pid)), "profile", pid)

    async def _verify_operations(self) -> None:
        """Those that have not ended, and some of those that have."""
        accepted = self.model.open
        still = [asked for asked in accepted.values() if asked.state in ("queued", "sent")]
        ended = [asked for asked in accepted.values() if asked.state not in ("queued", "sent")]
        chosen = [*self.random.sample(still, min(_SAMPLE, len(still))), *self.random.sample(ended, min(5, len(ended)))]
        for asked in chosen:
            status, document = await self.callers.call("GET", f"/v1/operations/{asked.id}")
            self.model.checked += 1
            if status != 200:
                raise Violation(f"operation {asked.id} {asked.mark} was accepted, and is answered {status}")
            self.callers.learn(asked, document["state"])
            if document["state"] not in ("queued", "sent"):
                self.model.expect(f"{asked.mark} ended: {document}", "operation", asked.id)
