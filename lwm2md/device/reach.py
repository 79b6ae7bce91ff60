"""Whether a device can be heard: awake, asleep, offline, or just up and not yet known where it is.

RULES: a sleeping device wakes to send what it wakes for, and for every message of its registration. Where it comes back
with another address it has nothing to say but its Update, until that is answered (``announcing``). Offline nothing
helps but the network.
"""

from __future__ import annotations

import enum
from collections.abc import Collection
from typing import Final

NOTIFICATION: Final = "notification"
SEND: Final = "send"
WAKES: Final = (NOTIFICATION, SEND)
"""What a device may wake up for besides its registration."""


class _State(enum.Enum):
    AWAKE = "awake"
    ASLEEP = "asleep"
    ANNOUNCING = "announcing"
    OFFLINE = "offline"


class Reach:
    """How far the voice of one device reaches."""

    __slots__ = ("_announces", "_state", "_wakes")

    def __init__(self) -> None:
        self._state = _State.AWAKE
        self._wakes: Collection[str] = ()
        self._announces = False

    @property
    def awake(self) -> bool:
        """Whether everything can be said."""
        return self._state is _State.AWAKE

    @property
    def announcing(self) -> bool:
        """Whether an Update has to be answered before anything else is said."""
        return self._state is _State.ANNOUNCING

    @property
    def offline(self) -> bool:
        """Whether there is no network."""
        return self._state is _State.OFFLINE

    def lets(self, what: str) -> bool:
        """Whether something can be said, if need be after waking up."""
        return self._state is _State.AWAKE or (self._state is _State.ASLEEP and what in self._wakes)

    def sleep(self, wakes: Collection[str], *, announces: bool) -> None:
        """Fall asleep, to wake up for ``wakes``; ``announces``: with another address."""
        if not self.offline:
            self._state, self._wakes, self._announces = _State.ASLEEP, wakes, announces

    def rise(self) -> None:
        """Wake up, if asleep."""
        if self._state is _State.ASLEEP:
            self._state = _State.ANNOUNCING if self._announces else _State.AWAKE

    def settle(self) -> None:
        """The server knows where the device is."""
        if self._state is _State.ANNOUNCING:
            self._state = _State.AWAKE

    def lose(self) -> None:
        """The network goes."""
        self._state = _State.OFFLINE

    def find(self) -> None:
        """The network is back, and the server has to hear of it."""
        if self._state is _State.OFFLINE:
            self._state = _State.ANNOUNCING
