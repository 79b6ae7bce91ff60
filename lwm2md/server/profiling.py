"""Device profiles: the definitions in force, and what they make of each device.

RULES: what was given by hand comes first, then the operator's definitions that fit, then the shipped ones, then what
the device has shown of itself. A profile is worked out when somebody asks for it, and once more only when something
that it depends on has changed. The engine's parameters are found by peer, so peers with some of their own are known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final, Literal

import attrs
import msgspec

from lwm2md.coap.engine import Peer
from lwm2md.lwm2m.paths import Path
from lwm2md.server import stored
from lwm2md.server.definitions import Definition, Rule, facts_of, rule, shipped
from lwm2md.server.deviceprofiles import (
    UNSAID,
    UNTRIED,
    DeviceProfile,
    Learned,
    ProfileValues,
    engine_values,
    merged,
    said,
)
from lwm2md.server.effects import Resume, Write
from lwm2md.server.errors import LimitReached, ShippedProfile, UnknownDeviceProfile
from lwm2md.server.records import Device, Registration
from lwm2md.server.state import State

Layer = Literal["hand", "profile", "shipped", "learned"]
_Key = tuple[tuple[str, ...], ProfileValues]
_UNSAID: Final = (None, None, None)
_MERGED: Final = 10_000
_AT_ONCE: Final = 250
_PAUSE: Final = 0.01


@attrs.frozen(slots=True)
class Said:
    """One value of a device's profile: who says it, and in which ``profile`` unless it was ``learned``."""

    value: object
    layer: Layer
    profile: str | None = None


class Profiling:
    """The definitions by name, and ``special``: the profiles of the peers with transmission parameters of their own.

    ``needed`` are the Resources that the operator's definitions ask for; ``look`` is called with each registered device
    after a change of the definitions, and after a start where ``asks`` says that devices are asked for anything;
    ``told`` with each device of which something changed.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._shipped: dict[str, Rule] = {}
        self._put: dict[str, Rule] = {}
        self._rules: tuple[Rule, ...] = ()
        self._by_name: dict[str, Rule] = {}
        self._merged: dict[_Key, DeviceProfile] = {}
        self._tuned = self._blind = self._started = False
        self.special: dict[Peer, DeviceProfile] = {}
        self.needed: tuple[Path, ...] = ()
        self.look: Callable[[Device, float], None] = lambda device, now: None
        self.asks: Callable[[], bool] = lambda: False
        self.told: Callable[[Device], None] = lambda device: None
        state.fit = self.fit
        state.profile_names = self.names

    # Definitions

    @property
    def definitions(self) -> Mapping[str, Definition]:
        """Those in force, by name."""
        return {name: found.definition for name, found in self._by_name.items()}

    def is_shipped(self, name: str) -> bool:
        """Whether the definition of that name in force is one of the package's."""
        return name not in self._put

    def get(self, name: str) -> Definition:
        """The definition of that name. Raises UnknownDeviceProfile."""
        found = self._by_name.get(name)
        if found is None:
            raise UnknownDeviceProfile(f"no profile {name!r}")
        return found.definition

    def ship(self, text: str) -> None:
        """Take the definitions of the package."""
        self._shipped = {found.definition.name: found for found in shipped(text)}
        self._arrange()

    def put(self, definition: Definition, then: Resume) -> None:
        """Keep a definition, and put it in force when it is durable. Raises BadOperation, LimitReached."""
        found = rule(definition)
        most = self._state.settings.device_profiles
        if definition.name not in self._put and len(self._put) >= most:
            raise LimitReached(f"at most {most} profiles")

        def ended(ok: bool, now: float) -> None:
            if ok:
                self._put[definition.name] = found
                self._changed(now)
            then(ok, now)

        row = Write(stored.DEVICE_PROFILES, definition.name, stored.encode(definition))
        self._state.commit((row,), (), ended)

    def remove(self, name: str, then: Resume) -> None:
        """Take back what was put; a shipped one that it hid is in force again. Raises UnknownDeviceProfile."""
        self.get(name)
        if name not in self._put:
            raise ShippedProfile(f"profile {name!r} is shipped; put one of its name that says nothing in its place")

        def ended(ok: bool, now: float) -> None:
            if ok:
                self._put.pop(name, None)
                self._changed(now)
            then(ok, now)

        self._state.commit((Write(stored.DEVICE_PROFILES, name, None),), (), ended)

    def restore(self, value: bytes) -> None:
        """Take up a row."""
        found = rule(stored.read_definition(value))
        self._put[found.definition.name] = found
        self._arrange()

    def _arrange(self) -> None:
        self._by_name = {**self._shipped, **self._put}
        self._rules = tuple(sorted(self._by_name.values(), key=lambda each: each.order))
        self.needed = tuple(sorted({path for found in self._put.values() for path in found.needed()}))
        self._tuned = any(engine_values(each.definition.set) != _UNSAID for each in self._rules)
        self._blind = any(each.blind for each in self._rules)
        self._merged.clear()

    def _changed(self, now: float) -> None:
        self._arrange()
        self._start_over(now)

    def _start_over(self, now: float) -> None:
        for device in self._state.devices.values():
            device.profile = None
        self._walk(iter(tuple(self._state.devices.values())), now)

    def _walk(self, devices: Iterator[Device], now: float, *, known: bool = False) -> None:
        """Find out bit by bit who has parameters of its own now, and of whom something has to be known.

        With ``known`` a device of which nothing is known is passed over if it can have none, and is not asked.
        """
        found = tuple(islice(devices, _AT_ONCE))
        passes = known and not (self.asks() or self._tunes_unknown)
        for device in found:
            if passes and _is_unknown(device):
                continue
            if device.registration is not None and self._state.devices.get(device.endpoint) is device:
                self.placed(device, device.registration)
                self.look(device, now)
        if len(found) == _AT_ONCE:
            self._state.deadlines.at(now + _PAUSE, lambda _, then: self._walk(devices, then, known=known))

    # Devices

    def fit(self, device: Device) -> DeviceProfile:
        """Work out the profile of a device, and keep it there."""
        if not self._blind and _is_unknown(device):
            device.profile = UNSAID  # most of a large fleet: no rule need be asked
            return UNSAID
        fitting = tuple(self._fitting(device))
        learned = (device.learned or UNTRIED).values()
        names = tuple(each.definition.name for each in fitting)
        profile = self._merged.get((names, learned))
        if profile is None:
            layers = (*(each.definition.set for each in fitting), learned)
            profile = merged(names[0] if names else None, layers)
            shown = learned.observations
            if shown is not None and (profile.observations or 0) > shown:
                profile = msgspec.structs.replace(profile, observations=shown)
            if len(self._merged) >= _MERGED:
                self._merged.clear()
            self._merged[names, learned] = profile
        device.profile = profile
        return profile

    def values(self, device: Device) -> Mapping[str, Said]:
        """Each value of a device's profile with where it comes from."""
        found = {name: Said(value, "learned") for name, value in said((device.learned or UNTRIED).values()).items()}
        for each in reversed(tuple(self._fitting(device))):
            definition = each.definition
            by_hand = definition.name == device.hand
            layer: Layer = "hand" if by_hand else "shipped" if each.shipped else "profile"
            found |= {name: Said(value, layer, definition.name) for name, value in said(definition.set).items()}
        if (shown := self.fit(device).observations) is not None and found["observations"].value != shown:
            found["observations"] = Said(shown, "learned")
        return found

    def names(self, device: Device) -> tuple[str, ...]:
        """The profiles that are for a device, the first in preference first."""
        return tuple(each.definition.name for each in self._fitting(device))

    def _fitting(self, device: Device) -> Iterable[Rule]:
        given = None if device.hand is None else self._by_name.get(device.hand)
        if given is not None:
            yield given
        facts = facts_of(device)
        yield from (each for each in self._rules if each is not given and each.fits(device, facts))

    def changed(self, device: Device) -> None:
        """Something that the profile of a device depends on is another now."""
        device.profile = None
        self.told(device)
        if device.registration is not None:
            self.placed(device, device.registration)

    def learn(self, device: Device, learned: Learned) -> bool:
        """Take what a device has shown of itself; whether that is anything new."""
        if learned == (device.learned or UNTRIED):
            return False
        device.learned = learned
        self._state.found_out.add(device)
        self.changed(device)
        return True

    # Peers

    def placed(self, device: Device, registration: Registration) -> None:
        """A device is at the address of its registration: those with parameters of their own are kept."""
        if device.behind is not None or not (self._tuned or self.special or device.learned) or not self._started:
            return
        profile = self._state.profile(device)
        if profile is not UNSAID and engine_values(profile) != _UNSAID:
            self.special[registration.peer] = profile
        elif self.special:
            self.special.pop(registration.peer, None)

    @property
    def _tunes_unknown(self) -> bool:
        """Whether a device of which nothing is known may have parameters of its own."""
        return self._tuned and self._blind

    @property
    def is_indifferent(self) -> bool:
        """Whether it says nothing of devices of which nothing is known, nor has anything to find out of them."""
        return not (self.needed or self.special or self._tunes_unknown)

    def left(self, registration: Registration) -> None:
        """A device is no longer at the address of its registration."""
        if self.special:
            self.special.pop(registration.peer, None)

    def start(self, now: float) -> None:
        """Begin, when everything was read back."""
        self._started = True
        self._walk(iter(tuple(self._state.devices.values())), now, known=True)


def _is_unknown(device: Device) -> bool:
    """Whether nothing is known of a device but its name, neither by what it said nor by what the operator did."""
    registration = device.registration
    return device.is_unknown and (registration is None or not registration.labels)
