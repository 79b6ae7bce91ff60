"""The registration state machine of the device: when to Register, Update and De-register, and when to try again.

Source: OMA LwM2M Core TS 6.2 and the retry Resources /1/x/17 to 20. RULES: an Update leaves 93 s (MAX_TRANSMIT_WAIT)
before the lifetime ends, at its half when it is shorter than twice that; any refused or unanswered Update leads to a
full Register; a failed Register is tried again after ``timer * 2 ** (n - 1)``; after ``count`` of them the sequence
has failed and the next one starts after ``sequence_delay``; 4.12 steps the version down at once; 4.03 waits a
sequence delay; 4.00 is tried once more without what goes beyond the plain parameters; 4.09 once more with the list of
Objects where a profile id alone was not enough; 5.03 waits its Max-Age.

The machine holds no engine: its methods are told what happened and return the ``Step`` that has to be sent now.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from typing import Final

import attrs

from lwm2md.coap import numbers
from lwm2md.device.errors import IllegalMove

VERSIONS: Final = ("1.0", "1.1", "1.2")
MAX_TRANSMIT_WAIT: Final = 93.0

LIFETIME: Final = "lt"
BINDING: Final = "b"
OBJECTS: Final = "objects"


class State(enum.Enum):
    """Where the device stands with its server."""

    IDLE = "idle"
    REGISTERING = "registering"
    REGISTERED = "registered"
    UPDATING = "updating"
    WAITING = "waiting"
    LEAVING = "leaving"
    DISABLED = "disabled"
    STOPPED = "stopped"


class Step(enum.Enum):
    """What has to be sent now."""

    REGISTER = "register"
    UPDATE = "update"
    DEREGISTER = "de-register"


@attrs.frozen(slots=True)
class Retry:
    """How failed registrations are tried again; the defaults are those of absent /1/x/17 to 20. Seconds."""

    count: int = 5
    timer: float = 60.0
    sequence_delay: float = 86400.0


def refresh_after(lifetime: int) -> float | None:
    """Seconds from one refresh to the next for a ``lifetime`` in seconds; None for an infinite one (0)."""
    if lifetime <= 0:
        return None
    return lifetime / 2 if lifetime < 2 * MAX_TRANSMIT_WAIT else lifetime - MAX_TRANSMIT_WAIT


@attrs.define(slots=True)
class Registration:
    """One server account's registration. ``lifetime``, in seconds, is read at each refresh, so it may be changed.

    ``profiled`` says that a profile id may stand for the list of Objects, from LwM2M 1.2 on.
    """

    version: str = "1.1"
    lifetime: int = 86400
    retry: Retry = Retry()
    state: State = State.IDLE
    location: tuple[str, ...] = ()
    deadline: float | None = None
    plain: bool = False
    profiled: bool = False
    _attempts: int = 0
    _news: set[str] = attrs.field(factory=set)
    _refresh: bool = False
    _silence: float | None = None

    @property
    def profile_alone(self) -> bool:
        """Whether a Register has a profile id and no list of Objects."""
        return self.profiled and self.version == "1.2" and not self.plain

    def start(self, now: float) -> Step:
        """The device starts and registers."""
        self._must_be("start", State.IDLE)
        return self._register(now)

    def registered(self, location: tuple[str, ...], now: float) -> Step | None:
        """The server accepted the Register and named the ``location`` of the registration."""
        self._must_be("registered", State.REGISTERING)
        self.location = location
        self._attempts = 0
        return self._settle(now)

    def updated(self, now: float) -> Step | None:
        """The server accepted the Update."""
        self._must_be("updated", State.UPDATING)
        return self._settle(now)

    def refused(self, code: int, now: float, max_age: float | None = None) -> Step | None:
        """The server refused a Register or an Update with ``code``; ``max_age`` is the answer's, in seconds."""
        self._must_be("refused", State.REGISTERING, State.UPDATING)
        if self.state is State.UPDATING:
            return self._register(now)
        if code == numbers.PRECONDITION_FAILED and self.version != VERSIONS[0]:
            self.version = VERSIONS[VERSIONS.index(self.version) - 1]
            return self._register(now)
        if code == numbers.CONFLICT and self.profile_alone:
            self.profiled = False
            return self._register(now)
        if code == numbers.BAD_REQUEST and not self.plain:
            self.plain = True
            return self._register(now)
        if code == numbers.FORBIDDEN:
            self._wait(now + self.retry.sequence_delay)
        elif code == numbers.SERVICE_UNAVAILABLE:
            self._wait(now + (60.0 if max_age is None else max_age))
        else:
            self._back_off(now)
        return None

    def unanswered(self, now: float) -> Step | None:
        """A Register or an Update got no answer, or none that means anything."""
        self._must_be("unanswered", State.REGISTERING, State.UPDATING)
        if self.state is State.UPDATING:
            return self._register(now)
        self._back_off(now)
        return None

    def changed(self, what: Iterable[str], now: float) -> Step | None:
        """Something that the server has to be told (``LIFETIME``, ``BINDING``, ``OBJECTS``) has changed.

        While a Register or an Update is under way it is kept for the next one; in every other state the next Register
        tells it anyway.
        """
        if self.state in (State.REGISTERING, State.REGISTERED, State.UPDATING):
            self._news.update(what)
        return self._update() if self._news and self.state is State.REGISTERED else None

    def trigger(self, now: float) -> Step | None:
        """The server asked for an Update (/1/x/8)."""
        if self.state is State.REGISTERED:
            return self._update()
        self._refresh = self.state is State.UPDATING
        return None

    def restart(self, now: float, delay: float) -> None:
        """The device restarts: it forgets its registration and registers ``delay`` seconds later."""
        if self.state in (State.IDLE, State.STOPPED):
            raise IllegalMove(f"restart while {self.state.value}")
        self._attempts = 0
        self._wait(now + delay)

    def leave(self, now: float, silence: float | None = None) -> Step | None:
        """The device goes: for good, or, with ``silence``, for so many seconds, after which it registers again."""
        if self.state in (State.IDLE, State.STOPPED, State.LEAVING):
            raise IllegalMove(f"leave while {self.state.value}")
        known = self.state in (State.REGISTERED, State.UPDATING)
        self.state, self.deadline, self._silence = State.LEAVING, None, silence
        if known:
            return Step.DEREGISTER
        self.left(now)
        return None

    def left(self, now: float) -> None:
        """The De-register ended, however it did."""
        self._must_be("left", State.LEAVING)
        self._forget()
        if self._silence is None:
            self.state = State.STOPPED
        else:
            self.state, self.deadline = State.DISABLED, now + self._silence

    def due(self, now: float) -> Step | None:
        """What the clock asks for at ``now``; None before ``deadline``."""
        if self.deadline is None or now < self.deadline:
            return None
        return self._update() if self.state is State.REGISTERED else self._register(now)

    def take_news(self) -> frozenset[str]:
        """What the Update that is being sent has to tell; it counts as told from here on."""
        news, self._news = frozenset(self._news), set()
        return news

    def _settle(self, now: float) -> Step | None:
        self.state = State.REGISTERED
        after = refresh_after(self.lifetime)
        self.deadline = None if after is None else now + after
        return self._update() if self._news or self._refresh else None

    def _update(self) -> Step:
        self.state, self.deadline, self._refresh = State.UPDATING, None, False
        return Step.UPDATE

    def _register(self, now: float) -> Step:
        self._forget()
        self.state, self.deadline = State.REGISTERING, None
        return Step.REGISTER

    def _back_off(self, now: float) -> None:
        self._attempts += 1
        if self._attempts >= self.retry.count:
            self._attempts = 0
            self._wait(now + self.retry.sequence_delay)
        else:
            self._wait(now + self.retry.timer * 2 ** (self._attempts - 1))

    def _wait(self, until: float) -> None:
        self._forget()
        self.state, self.deadline = State.WAITING, until

    def _forget(self) -> None:
        self.location, self._refresh = (), False
        self._news.clear()

    def _must_be(self, move: str, *states: State) -> None:
        if self.state not in states:
            raise IllegalMove(f"{move} while {self.state.value}")
