"""Rules and credentials that changed, while registrations live: what may be no longer ends.

RULES: a few registrations in a turn, however many there are. Where a rule changed, only those are asked about outside
the core whom it might concern; where a credential did, all that go by its name. A registration ends for the reason for
which a Register is refused; where that can't be decided, or not be stored, it lives until it is looked at again.
Devices behind a gateway are there by its word, so only the block list is for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from lwm2md.security.credentials import NOSEC, kind_of
from lwm2md.security.identity import Identity
from lwm2md.security.rules import Grant, Policy, matches
from lwm2md.server.admission import UNDECIDED, Gate
from lwm2md.server.parameters import Rejected
from lwm2md.server.records import Device, Registration
from lwm2md.server.state import PeerDescription, State

_WORK: Final = 2000
_OVERHEAD: Final = 20
_DECISION: Final = 10
"""What a turn may do: to look at one registration counts as so much and one more for each pattern, and ten times that
where somebody is asked, or it ends."""
_OPEN: Final = 500
_PAUSE: Final = 0.01
_AGAIN: Final = 30.0
_UNKNOWN: Final = Grant()
"""A credential that says nothing: who may register with it may with any that was looked at before."""

End = Callable[[Registration, str, float, Callable[[bool, float], None]], None]


class Reviewing:
    """Looks at live registrations again. ``end(registration, reason, now, then)`` ends one, and ``then`` says whether
    that was stored; ``children(gateway, now)`` looks at those behind a gateway.
    """

    def __init__(self, state: State, gate: Gate, end: End, children: Callable[[Device, float], None]) -> None:
        self._state = state
        self._gate = gate
        self._end_of = end
        self._children = children
        self._walks: deque[tuple[Iterator[Registration | None], bool]] = deque()
        self._ruled: Iterator[Registration | None] | None = None
        self._open = 0
        self._due = False
        gate.review = self.credentials

    def rules(self, before: Policy, now: float) -> None:
        """The operator's rules may be others than ``before``: look at every registration that they may concern."""
        policy = self._state.settings.policy
        if policy == before:
            return
        # What an earlier change began is begun again with this one.
        self._walks = deque(walk for walk in self._walks if walk[0] is not self._ruled)
        self._ruled = self._everybody()
        self._walk(self._ruled, now, asking=False)

    def credentials(self, names: Collection[str], now: float) -> None:
        """The credentials of these names are others, or no more."""
        if not names:
            return
        exact = [name for name in names if kind_of(name) != "x509"]
        self._walk(self._of(exact), now, asking=True)
        if len(exact) < len(names):
            # One certificate goes by several names, and its registration has one of them.
            wanted = frozenset(names)
            everybody = self._everybody()
            self._walk((each if each and self._goes_by(each, wanted) else None for each in everybody), now, asking=True)

    def _everybody(self) -> Iterator[Registration | None]:
        """Every registration; None for a device that has none of its own."""
        for device in tuple(self._state.devices.values()):
            yield device.registration if device.behind is None else None

    def _of(self, names: Iterable[str]) -> Iterator[Registration | None]:
        """The registrations of these identities; None for each step on the way, so that they can be counted."""
        for name in names:
            yield None
            device = self._state.devices.get(name.removeprefix(NOSEC)) if name.startswith(NOSEC) else None
            if device is not None and device.registration is not None and device.behind is None:
                yield device.registration
            yield from tuple(self._state.identities.find(name))

    def _goes_by(self, registration: Registration, names: frozenset[str]) -> bool:
        if registration.identity is None:
            return False
        proved = self._where(registration).proved
        return registration.identity in names if proved is None else proved.goes_by(names)

    # Turn by turn

    def _walk(self, registrations: Iterator[Registration | None], now: float, *, asking: bool) -> None:
        self._walks.append((registrations, asking))
        self._plan(now)

    def _plan(self, now: float) -> None:
        if not self._due:
            self._due = True
            self._state.deadlines.at(now, lambda _, then: self._turn(then))

    def _turn(self, now: float) -> None:
        self._due = False
        if self._walks and self._open < _OPEN:
            registrations, asking = self._walks[0]
            left = self._at_once()
            for registration in registrations:
                more = registration is not None and self._look(registration, now, asking=asking)
                left -= _DECISION if more else 1
                if left <= 0:
                    break
            else:
                self._walks.popleft()
        if self._walks:
            self._plan(now + _PAUSE)

    def _at_once(self) -> int:
        policy = self._state.settings.policy
        lists = policy.block, policy.allow, policy.block_identities, policy.rules, policy.unsecured
        return _WORK // (_OVERHEAD + sum(map(len, lists))) + 1

    # One registration

    def _look(self, registration: Registration, now: float, *, asking: bool) -> bool:
        """Look at one; whether more had to be done about it."""
        if self._state.registered(registration.id) is not registration:
            return False
        if registration.device.children:
            self._children(registration.device, now)
        where = self._where(registration)
        policy, endpoint = self._state.settings.policy, registration.endpoint
        if registration.identity is not None and where.proved is None:
            # The rest is asked with its next session, which shows the certificate again.
            blocked = matches(registration.identity, policy.block_identities)
            cause = "blocked-endpoint" if matches(endpoint, policy.block) else "blocked-identity" if blocked else ""
            if cause:
                self._end(registration, cause, now)
            return bool(cause)
        if asking or self._is_doubtful(registration, where.proved, policy):
            self._ask(registration, where, now)
            return True
        return False

    def _where(self, registration: Registration) -> PeerDescription:
        """Who and where the device is, also where its session is over: of a PSK identity its name is all there is."""
        where = self._state.environment.describe(registration.peer)
        if where.identity == registration.identity:
            return where
        text = registration.identity
        proved = Identity("psk", text) if text is not None and kind_of(text) == "psk" else None
        return PeerDescription(where.address, registration.transport, text, proved)

    @staticmethod
    def _is_doubtful(registration: Registration, proved: Identity | None, policy: Policy) -> bool:
        """Whether the rules alone don't let it be."""
        if proved is None:
            return registration.device.secured or bool(policy.refusal(registration.endpoint, None, None))
        if proved.kind != "psk" and policy.known_certificates:
            return True
        return bool(policy.refusal(registration.endpoint, proved, _UNKNOWN))

    def _ask(self, registration: Registration, where: PeerDescription, now: float) -> None:
        def asked(cause: str, now: float) -> None:
            self._open -= 1
            if cause in UNDECIDED:
                self._later(registration, now)
            elif cause:
                self._end(registration, cause, now)

        self._open += 1
        try:
            self._gate.again(registration.endpoint, where, now, asked)
        except Rejected:
            self._open -= 1
            self._later(registration, now)

    def _end(self, registration: Registration, cause: str, now: float) -> None:
        def ended(committed: bool, now: float) -> None:
            if not committed:
                self._later(registration, now)
            elif all(each is registration for each in self._state.peers.find(registration.peer)):
                self._gate.expelled(registration.peer)

        def decide(now: float) -> None:
            if self._state.registered(registration.id) is registration:
                self._end_of(registration, cause, now, ended)

        if not self._state.exclusive(registration.endpoint, now, decide):
            self._later(registration, now)

    def _later(self, registration: Registration, now: float) -> None:
        self._state.deadlines.at(now + _AGAIN, self._again, registration)

    def _again(self, registration: Registration, now: float) -> None:
        self._look(registration, now, asking=True)
