"""What was found out of devices, deviations and abilities, on its way to storage, written behind.

RULES: with each flush goes a bounded number of rows; what is more waits for the next, soon after. A row that could not
be stored is tried again. Of a device that was forgotten nothing is stored any more.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

import msgspec

from lwm2md.server import stored
from lwm2md.server.deviceprofiles import Learned
from lwm2md.server.effects import Write
from lwm2md.server.known import Deviation
from lwm2md.server.records import Device
from lwm2md.server.state import State

_MOST: Final = 1000
_SOON: Final = 0.05


class _Deviation(msgspec.Struct, array_like=True):
    kind: str
    first: float
    last: float
    count: int
    sample: bytes | None


class _Row(msgspec.Struct, omit_defaults=True):
    deviations: list[_Deviation] = []
    learned: Learned | None = None


class Findings:
    """Stores what is in `State.found_out`, and takes it up again."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._ending = False
        self._failed: set[Device] = set()

    def flush(self, now: float) -> None:
        """Ask for the next rows to be stored, and again when it is time."""
        self._store(self._state.found_out)
        pause = _SOON if self._state.found_out else self._state.settings.flush_interval
        self._state.deadlines.at(now + pause, lambda _, then: self.flush(then))

    def finish(self, then: Callable[[], None]) -> None:
        """Ask for everything to be stored that is not, part by part; ``then`` is called at the end.

        Devices are served meanwhile: what is found out until that moment is stored, too. What can't be stored is not
        tried again before this is asked for again.
        """
        self._ending = True
        unstored = {device for device in self._state.devices.values() if _is_unstored(device)} | self._failed
        self._failed.clear()
        self._finish(unstored, then)

    def _finish(self, unstored: set[Device], then: Callable[[], None]) -> None:
        unstored |= self._state.found_out
        self._state.found_out.clear()
        if unstored:
            self._store(unstored, lambda: self._finish(unstored, then))
        else:
            self._ending = False
            then()

    def removal(self, device: Device) -> Write:
        """The write that removes what was found out of a device."""
        return Write(stored.FINDINGS, device.endpoint, None)

    def forget(self, device: Device) -> None:
        """Store nothing more of a device."""
        self._state.found_out.discard(device)

    def restore(self, endpoint: str, row: bytes) -> None:
        """Take up a row."""
        device = self._state.devices.get(endpoint)
        if device is None:
            self._state.erase((Write(stored.FINDINGS, endpoint, None),))
            return
        found = msgspec.json.decode(row, type=_Row)
        deviations = {
            each.kind: Deviation(each.kind, each.first, each.last, each.count, each.sample, each.count)
            for each in found.deviations
        }
        device.deviations, device.learned, device.profile = deviations or None, found.learned, None

    def _store(self, unstored: set[Device], then: Callable[[], None] | None = None) -> None:
        chosen = list(islice(unstored, _MOST))
        unstored.difference_update(chosen)
        if not chosen:
            return
        for device in chosen:
            for deviation in (device.deviations or {}).values():
                deviation.stored = deviation.count

        def ended(committed: bool, now: float) -> None:
            if not committed:
                again = self._failed if self._ending else self._state.found_out
                again.update(each for each in chosen if self._is_known(each))
            if then is not None:
                then()

        writes = [Write(stored.FINDINGS, each.endpoint, _row(each)) for each in chosen]
        self._state.commit(writes, (), ended)

    def _is_known(self, device: Device) -> bool:
        return self._state.devices.get(device.endpoint) is device


def _is_unstored(device: Device) -> bool:
    return any(each.count != each.stored for each in (device.deviations or {}).values())


def _row(device: Device) -> bytes:
    found = (device.deviations or {}).values()
    deviations = [_Deviation(each.kind, each.first, each.last, each.count, each.sample) for each in found]
    return stored.encode(_Row(deviations, device.learned))
