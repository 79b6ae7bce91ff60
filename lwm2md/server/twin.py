"""The twin: each device's last known values, where they came from and when.

A value becomes known when it was read or notified. Twin and event are committed together; the twin in memory is ahead
of storage by that one commit at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lwm2md import events
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.lwm2m.values import infer
from lwm2md.server import stored
from lwm2md.server.effects import Resume, Write
from lwm2md.server.records import Device, Source, TwinValue
from lwm2md.server.state import State

_GATEWAY: Final = (25,)


class Twin:
    """The last known values of every device. ``gateway`` is called where those of Object 25 became others."""

    def __init__(self, state: State, gateway: Callable[[Device, float], None]) -> None:
        self._state = state
        self._gateway = gateway

    def learn(
        self,
        device: Device,
        path: Path,
        values: tuple[ValueRow, ...],
        source: Source,
        *,
        now: float,
        resume: Resume | None = None,
        **fields: object,
    ) -> None:
        """Take the whole content of ``path`` as it was read or notified, and tell of it.

        What the twin had below ``path`` and the content has no more is forgotten. ``fields`` go into the event;
        ``resume`` is called when twin and event are durable.
        """
        if device.twin is None:
            device.twin = {}
        writes = []
        found = set()
        for row in values:
            place = Path.parse(row.path)
            found.add(place)
            value = TwinValue(row.value, now if row.time is None else row.time, source)
            if place in device.twin or len(device.twin) < self._state.settings.twin_values:
                device.twin[place] = value
                writes.append(Write(stored.TWIN, stored.twin_key(device.endpoint, place), stored.twin_row(value)))
        for place in [known for known in device.twin if path.covers(known) and known not in found]:
            del device.twin[place]
            writes.append(Write(stored.TWIN, stored.twin_key(device.endpoint, place), None))
        found_events = (
            (self._state.event(events.DEVICE_VALUE, device, now, source=source, values=values, **fields),)
            if values
            else ()
        )
        if writes or found_events or resume is not None:
            self._state.commit(writes, found_events, resume)
        if path[:1] == _GATEWAY or any(place[0] == _GATEWAY[0] for place in found):
            self._gateway(device, now)

    def rows(self, device: Device, path: Path) -> tuple[ValueRow, ...]:
        """What is known at or below ``path``, in the order of the paths."""
        type_of = self._state.resource_model(device)
        found = []
        for place, known in sorted((device.twin or {}).items()):
            if path.covers(place):
                model = type_of(place)
                kind = model.type if model is not None else infer(known.value)
                name, unit = (model.name, model.unit or None) if model is not None else (None, None)
                found.append(ValueRow(str(place), known.value, kind.value, name, unit, known.time))
        return tuple(found)

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
