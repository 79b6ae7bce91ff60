"""The twin: each device's last known values, where they came from and when.

RULES: a value becomes known when it was read, notified or sent. Twin, event and history are committed together; the
twin in memory is ahead of storage by that one commit at most. The history gets every value, the twin the newest.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from heapq import nlargest, nsmallest
from math import inf
from typing import Final

from lwm2md import events
from lwm2md.lwm2m.paths import Path, covered
from lwm2md.lwm2m.rows import ValueRow, row_of
from lwm2md.server import stored
from lwm2md.server.definitions import IDENTITY
from lwm2md.server.effects import Resume, Sample, Write
from lwm2md.server.records import Device, Source, TwinValue
from lwm2md.server.state import State

NEVER: Final = inf
"""The time of what is known no more: whoever still has it takes no other value for newer."""
_GATEWAYS: Final = ((), (25,))
_IDENTITY: Final = frozenset(IDENTITY.values())


class Twin:
    """The last known values of every device.

    ``gateway`` is called where those of Object 25 became others, ``identified`` where a device says what it is and has
    not said so before.
    """

    def __init__(
        self, state: State, gateway: Callable[[Device, float], None], identified: Callable[[Device], None]
    ) -> None:
        self._state = state
        self._gateway = gateway
        self._identified = identified

    def learn(
        self,
        device: Device,
        paths: tuple[Path, ...],
        values: tuple[ValueRow, ...],
        source: Source,
        *,
        now: float,
        resume: Resume | None = None,
        **fields: object,
    ) -> None:
        """Take the whole content of ``paths`` as it was read or notified, or values that were sent, and tell of it.

        What the twin had below them and the content has no more is forgotten. Of several values of one path the newest
        becomes the known one, unless a newer one was notified. ``fields`` go into the event; ``resume`` is called when
        twin and event are durable.
        """
        found = _newest(values)
        # Nearly always it is the one value of a Resource that is known already: then there is nothing to forget.
        settled = len(paths) == 1 and len(paths[0]) > 2 and paths[0] in found and paths[0] in (device.twin or ())
        writes = self._known(device, found, source, now)
        if not settled:
            writes += self._unknown(device, paths, found)
        found_events = (
            (self._state.event(events.DEVICE_VALUE, device, now, source=source, values=values, **fields),)
            if values
            else ()
        )
        if writes or found_events or resume is not None:
            samples = _samples(device.endpoint, values, now) if self._state.settings.history else ()
            self._state.commit(writes, found_events, resume, samples)
        for path in paths or found:
            if path[:1] in _GATEWAYS:
                self._gateway(device, now)
                break

    def _known(self, device: Device, found: dict[Path, ValueRow], source: Source, now: float) -> list[Write]:
        """Let these values be the known ones, but where a newer one is known; the oldest make room."""
        if device.twin is None:
            device.twin = {}
        twin, most = device.twin, self._state.settings.twin_values
        writes: list[Write] = []
        identified = False
        newest = found.items()
        if len(found) > most:
            newest = dict(nlargest(most, newest, key=lambda each: each[1].time or now)).items()
        for place, row in newest:
            time = now if row.time is None else row.time
            known = twin.get(place)
            # What was read has our time: values of a slow clock follow it, unless they may be old ones (Send).
            if known is not None and time < known.time <= now and (known.source != "read" or source == "send"):
                continue
            identified = identified or (place in _IDENTITY and (known is None or known.value != row.value))
            if known is None:
                known = twin[place] = TwinValue(row.value, time, source)
            else:
                known.value, known.time, known.source = row.value, time, source
            writes.append(Write(stored.TWIN, stored.twin_key(device.endpoint, place), stored.twin_row(known)))
        if identified:
            self._identified(device)
        surplus = len(twin) - most
        if surplus > 0:
            writes += self._remove(device, nsmallest(surplus, twin, key=lambda place: twin[place].time))
        return writes

    def _unknown(self, device: Device, paths: tuple[Path, ...], found: Container[Path]) -> list[Write]:
        """Forget what is known below these paths and was not found there."""
        twin = device.twin or {}
        within = _within(paths)
        gone = [place for place in twin if within(place) and place not in found]
        return self._remove(device, gone) if gone else []

    @staticmethod
    def _remove(device: Device, places: Iterable[Path]) -> list[Write]:
        twin = device.twin or {}
        writes = []
        for place in places:
            twin.pop(place).time = NEVER
            writes.append(Write(stored.TWIN, stored.twin_key(device.endpoint, place), None))
        return writes

    def deleted(self, device: Device, path: Path) -> None:
        """Forget what is known at or below a path: the device has it no more."""
        writes = self._unknown(device, (path,), ())
        if writes:
            self._state.commit(writes)

    def listed(self, device: Device) -> None:
        """Forget what is known of Object Instances that the device's list of Objects does not have.

        An Object that is listed without instances may have any.
        """
        registration = device.registration
        if registration is None or not device.twin:
            return
        listed = frozenset(registration.objects.paths)
        gone = [place for place in device.twin if place[:1] not in listed and place[:2] not in listed]
        if gone:
            self._state.commit(self._remove(device, gone))

    def rows(self, device: Device, path: Path) -> tuple[ValueRow, ...]:
        """What is known at or below ``path``, in the order of the paths."""
        type_of = self._state.resource_model(device)
        return tuple(
            row_of(str(place), known.value, type_of(place), known.time)
            for place, known in sorted((device.twin or {}).items())
            if path.covers(place)
        )

    def removal(self, device: Device) -> list[Write]:
        """The writes that remove every value known of a device; nothing is forgotten yet."""
        return [Write(stored.TWIN, stored.twin_key(device.endpoint, place), None) for place in device.twin or {}]

    def restore(self, endpoint: str, path: Path, value: TwinValue) -> None:
        """Take up a value from storage."""
        device = self._state.devices.get(endpoint)
        if device is None:
            self._state.erase((Write(stored.TWIN, stored.twin_key(endpoint, path), None),))
            return
        if device.twin is None:
            device.twin = {}
        device.twin[path] = value
        device.profile = None


def meaningful(path: Path) -> bool:
    """Whether a value there changes more than what is known of the Resource."""
    return path in _IDENTITY or path[:1] in _GATEWAYS


def _samples(owner: str, values: tuple[ValueRow, ...], now: float) -> tuple[Sample, ...]:
    """Values for the history, by their own time or that of their arrival."""
    encoded = stored.sample_value
    found = []
    for row in values:
        time = now if row.time is None else row.time
        found.append((owner, row.path, int(time * 1e6 + 0.5), encoded(row.value)))
    return tuple(found)


def _within(paths: tuple[Path, ...]) -> Callable[[Path], bool]:
    """Whether a path is one of these or lies below one; nearly always there is one."""
    if len(paths) == 1:
        return paths[0].covers
    whole = frozenset(paths)
    return lambda path: covered(path, whole)


def _newest(values: tuple[ValueRow, ...]) -> dict[Path, ValueRow]:
    """The newest value of each path, the last one given where times are equal."""
    if len(values) == 1:
        return {Path.parse(values[0].path): values[0]}
    found: dict[Path, ValueRow] = {}
    for row in values:
        place = Path.parse(row.path)
        other = found.get(place)
        if other is None or (row.time or 0.0) >= (other.time or 0.0):
            found[place] = row
    return found
