"""The twin: each device's last known values, where they came from and when.

A value becomes known when it was read or notified. Twin and event are committed together; the twin in memory is ahead
of storage by that one commit at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lwm2md import events
from lwm2md.lwm2m.paths import Path, covered
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.lwm2m.values import infer
from lwm2md.server import stored
from lwm2md.server.definitions import IDENTITY
from lwm2md.server.effects import Resume, Write
from lwm2md.server.records import Device, Source, TwinValue
from lwm2md.server.state import State

_GATEWAY: Final = 25
_GATEWAYS: Final = ((), (_GATEWAY,))
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
        """Take the whole content of ``paths`` as it was read or notified, and tell of it.

        What the twin had below them and the content has no more is forgotten. Of several values of one path the newest
        becomes the known one, unless a newer one was notified. ``fields`` go into the event; ``resume`` is called when
        twin and event are durable.
        """
        if device.twin is None:
            device.twin = {}
        twin = device.twin
        writes = []
        identified = False
        found = _newest(values)
        for place, row in found.items():
            time = now if row.time is None else row.time
            known = twin.get(place)
            if known is None and len(twin) >= self._state.settings.twin_values:
                continue
            if known is not None and time < known.time <= now and known.source != "read":
                continue
            identified = identified or (place in _IDENTITY and (known is None or known.value != row.value))
            value = twin[place] = TwinValue(row.value, time, source)
            writes.append(Write(stored.TWIN, stored.twin_key(device.endpoint, place), stored.twin_row(value)))
        within = _within(paths)
        for place in [known for known in twin if within(known) and known not in found]:
            del twin[place]
            writes.append(Write(stored.TWIN, stored.twin_key(device.endpoint, place), None))
        if identified:
            self._identified(device)
        found_events = (
            (self._state.event(events.DEVICE_VALUE, device, now, source=source, values=values, **fields),)
            if values
            else ()
        )
        if writes or found_events or resume is not None:
            self._state.commit(writes, found_events, resume)
        for path in paths or found:
            if path[:1] in _GATEWAYS:
                self._gateway(device, now)
                break

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


def _within(paths: tuple[Path, ...]) -> Callable[[Path], bool]:
    """Whether a path is one of these or lies below one; nearly always there is one."""
    if len(paths) == 1:
        return paths[0].covers
    whole = frozenset(paths)
    return lambda path: covered(path, whole)


def _newest(values: tuple[ValueRow, ...]) -> dict[Path, ValueRow]:
    """The newest value of each path, the last one given where times are equal."""
    found: dict[Path, ValueRow] = {}
    for row in values:
        place = Path.parse(row.path)
        other = found.get(place)
        if other is None or (row.time or 0.0) >= (other.time or 0.0):
            found[place] = row
    return found
