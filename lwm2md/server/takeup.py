"""Taking up the fleet after a start, while it is served.

RULES: a miss asks the storage. First it is found out which registrations there are; from then on devices are served,
and the rest is read back bit by bit. Nearly all that devices send are Updates that change nothing: they are answered at
once, and where the registration is not in memory yet its rows are fetched before the others. What may depend on more
than that waits until everything is there: Registers, De-registers, Sends, Updates that change something, what needs to
be asked of others, and the operator's requests. Notifications of observations that are not there yet are neither
acknowledged nor reset, so they come again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import attrs

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import IncomingRequest, Response
from lwm2md.server import stored
from lwm2md.server.findings import Findings
from lwm2md.server.gateways import Gateways
from lwm2md.server.idle import Idle
from lwm2md.server.library import Library
from lwm2md.server.observing import Observations
from lwm2md.server.operations import Operations
from lwm2md.server.presence import Presence
from lwm2md.server.profiling import Profiling
from lwm2md.server.records import Device
from lwm2md.server.refused import Inbox
from lwm2md.server.registration import RegistrationInterface
from lwm2md.server.registrationrows import read_id
from lwm2md.server.registry import Registry
from lwm2md.server.restoring import Reader, taken
from lwm2md.server.sending import DP
from lwm2md.server.state import State
from lwm2md.server.templating import Templating
from lwm2md.server.turns import UNAVAILABLE
from lwm2md.server.twin import Twin
from lwm2md.server.whereabouts import Whereabouts

FETCHED: Final = (stored.DEVICES, stored.REGISTRATIONS, stored.REFRESHES)
"""The tables with a row for each device, by Endpoint Client Name, that an Update needs."""
_AT_ONCE: Final = 1000
_RD: Final = "rd"


@attrs.frozen(kw_only=True)
class Parts:
    """Who takes up what is stored."""

    registration: RegistrationInterface
    gateways: Gateways
    observations: Observations
    operations: Operations
    twin: Twin
    findings: Findings
    idle: Idle
    presence: Presence
    profiling: Profiling
    templates: Templating
    refused: Inbox
    library: Library


class TakeUp:
    """A start: `place` all registrations, `begin`, `restore` what is stored, `go_on`, and `end`.

    ``again(request, now)`` decides on a request that waited. ``fetch(id, after)`` is to read `whereabouts.GROUP`
    registrations behind a key, to find the one with that id by `endpoint_of`, to `restore` what there is of it in the
    tables `FETCHED`, and to call `fetched`. `passed` says how far those tables were restored side by side.
    """

    def __init__(self, state: State, parts: Parts, again: Callable[[IncomingRequest, float], Response | None]) -> None:
        self._state = state
        self._parts = parts
        self._again = again
        self._whereabouts = Whereabouts()
        self._fetching: dict[str, list[IncomingRequest]] = {}
        self._held: list[IncomingRequest] = []
        self._queued: list[Device] = []
        self._registry = Registry(state, parts.registration, parts.gateways)
        self._readers = self._by_table()
        self.fetch: Callable[[str, str], None]

    # What is stored

    def begin(self) -> None:
        """Serve from now on what can be served: `place` has all registrations."""
        self._state.hold = self._held.append

    def place(self, rows: Iterable[tuple[str, bytes]], now: float) -> list[str]:
        """Learn which registrations there are, from rows of their table; the faults are told by `restore`."""
        self._whereabouts.place(rows)
        return []

    def endpoint_of(self, registration_id: str, rows: Iterable[tuple[str, bytes]]) -> str | None:
        """Whose registration among some rows has that id."""
        return next((endpoint for endpoint, value in rows if read_id(value) == registration_id), None)

    def restore(self, table: str, rows: Iterable[tuple[str, bytes]], now: float) -> list[str]:
        """Take up rows of a table, in the order of `RESTORED`; returns what could not be read, a line each."""
        if table == stored.OBSERVATIONS:
            self._parts.gateways.restore()
        faults = taken(table, self._readers[table], rows, now)
        if table == stored.MODELS:
            self._parts.library.refresh()
        return faults

    def passed(self, key: str) -> None:
        """All rows of `FETCHED` up to that key were restored."""
        self._whereabouts.passed(key)

    def go_on(self, now: float) -> Iterator[None]:
        """Bring to life what was restored, a few devices at each step."""
        parts = self._parts
        self._registry.start(now)
        parts.profiling.start(now)
        parts.refused.start()
        yield from parts.observations.start(now)
        yield
        yield from parts.templates.start(now)
        yield
        yield from parts.gateways.start(now)
        for number, device in enumerate(tuple(self._state.devices.values())):
            if number % _AT_ONCE == 0:
                yield
            self._start(device, now)
        parts.registration.start(now)
        self._state.commit(parts.registration.lifetimes.grants())

    def _start(self, device: Device, now: float) -> None:
        self._parts.presence.start(device)
        if device.queue:
            self._queued.append(device)
        if device.registration is None:
            self._parts.idle.add(device, now)
        elif device.behind is None:
            self._parts.registration.lifetimes.start(device.registration)

    def end(self, now: float) -> None:
        """Everything is there: decide on what waited, and let requests leave."""
        self._state.hold = None
        self._whereabouts.clear()
        held, self._held = self._held, []
        for request in held:
            self._decide_soon(request)
        queued, self._queued = self._queued, []
        for device in queued:
            self._parts.operations.start(device, now)

    def _decide_soon(self, request: IncomingRequest) -> None:
        """Decide on one when all before it has ended; a decision that fails is in nobody's way there."""

        def decide(_committed: bool, now: float) -> None:
            answer = self._again(request, now)
            if answer is not None:
                self._state.engine.respond(request, answer, now)

        self._state.commit((), (), decide)

    # What devices ask meanwhile

    def holds(self, request: IncomingRequest) -> bool:
        """Whether a request is decided on later."""
        path = request.message.path
        if path[:1] not in ((_RD,), (DP,)):
            return False
        if request.message.code != n.POST or path[:1] == (DP,) or len(path) == 1:
            self._held.append(request)
            return True
        registration = self._state.registered(path[-1])
        if registration is None:
            return self._looks_up(path[-1], request)
        if registration.identity is None or registration.peer == request.peer:
            return False
        self._held.append(request)
        return True

    def _looks_up(self, registration_id: str, request: IncomingRequest) -> bool:
        """Let a request wait for the rows of a registration that was not read back yet; False if there is none."""
        place = self._whereabouts.find(registration_id)
        if place is None:
            return False
        waiting = self._fetching.setdefault(registration_id, [])
        waiting.append(request)
        if len(waiting) == 1:
            self.fetch(registration_id, place)
        return True

    def fetched(self, registration_id: str, now: float, *, ok: bool) -> None:
        """The rows of a registration were restored, or could not be read: who waited for that is answered."""
        if ok:
            self._whereabouts.drop(registration_id)
        for request in self._fetching.pop(registration_id):
            if ok:
                self._decide_soon(request)
            else:
                self._state.engine.respond(request, UNAVAILABLE, now)

    def _by_table(self) -> Mapping[str, Reader]:
        parts, registry = self._parts, self._registry
        return {
            stored.META: registry.meta,
            stored.MODELS: lambda _, value, __: parts.library.restore(value),
            stored.DEVICES: registry.device,
            stored.REGISTRATIONS: registry.registration,
            stored.REFRESHES: registry.refresh,
            stored.TWIN: lambda key, value, _: parts.twin.restore(*stored.read_twin(key, value)),
            stored.OBSERVATIONS: lambda key, value, _: parts.observations.restore(stored.read_observation(key, value)),
            stored.FINDINGS: lambda key, value, _: parts.findings.restore(key, value),
            stored.DEVICE_PROFILES: lambda _, value, __: parts.profiling.restore(value),
            stored.TEMPLATES: lambda _, value, __: parts.templates.restore(value),
            stored.PROFILES: lambda key, value, _: parts.registration.profiles.restore(key, value),
            stored.REFUSED: lambda key, value, _: parts.refused.restore(key, value),
            stored.OPERATIONS: lambda key, value, now: parts.operations.restore(stored.read_operation(key, value), now),
        }
