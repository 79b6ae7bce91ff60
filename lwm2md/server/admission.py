"""May this device register as this endpoint: the credential, the operator's rules, then the word of plugins.

RULES: nothing is stored before it was said. What is asked outside the core (a credential, a plugin) has until a
deadline; a failure or no answer is a no. Where nothing is asked outside, the answer is there at once. Every no is noted
in the inbox.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

import msgspec

from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Peer
from lwm2md.security.credentials import NOSEC
from lwm2md.security.identity import Identity
from lwm2md.security.rules import Grant
from lwm2md.server.deadlines import Plan
from lwm2md.server.parameters import Rejected
from lwm2md.server.records import NO_LABELS
from lwm2md.server.refused import Inbox
from lwm2md.server.state import PeerDescription, State

TIMEOUT: Final = "admission-timeout"
FAILED: Final = "admission-failed"
DENIED: Final = "denied"
SECURITY_NEEDED: Final = "security-needed"
ANOTHER: Final = "registered-by-another"
TOO_MANY: Final = "too-many-registrations"
UNDECIDED: Final = frozenset({TIMEOUT, FAILED})
"""Causes that say nothing of the device: it may come again."""
_EXEMPT: Final = frozenset({SECURITY_NEEDED, "endpoint-not-allowed"})
"""Why somebody without security is refused, if no credential says otherwise."""
_MOST_WAITING: Final = 10_000
_EVERYTHING: Final = Grant(("*",))


class Admission(msgspec.Struct, frozen=True, gc=False):
    """Who wants to register as what: ``labels`` are the device's claims, ``identity`` what it proved."""

    endpoint: str
    identity: Identity | None
    address: str
    transport: str
    labels: Mapping[str, str] = NO_LABELS


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """Whether it may, else the ``cause``, a stable word; ``labels`` count as the operator's."""

    allowed: bool
    cause: str = ""
    labels: Mapping[str, str] = NO_LABELS


_WELCOME: Final = Verdict(True)


class Unavailable(msgspec.Struct, frozen=True):
    """Whoever keeps the credentials can't say what there is."""


UNAVAILABLE: Final = Unavailable()

Answer = Callable[[Verdict, float], None]
Known = Callable[[Grant | Unavailable | None, float], None]


class Gate:
    """Decides on admissions. Its attributes are asked outside the core, at once or later, on the reactor's thread.

    ``grant(names, then)`` looks for the credential that has the first of these names that any has, and may find out
    that it is `Unavailable`; ``admit(admission, then)`` has the last word where there is one. Both call ``then`` with
    what they found and the time. ``expelled`` is told of each peer whose last registration may be no longer; ``review``
    is to be called with the names of credentials that are others, or no more, and the time.
    """

    def __init__(self, state: State, inbox: Inbox) -> None:
        self._state = state
        self._inbox = inbox
        self.waiting = 0
        self.grant: Callable[[tuple[str, ...], Known], None] | None = None
        self.admit: Callable[[Admission, Answer], None] | None = None
        self.expelled: Callable[[Peer], None] = _ignored
        self.review: Callable[[Collection[str], float], None]

    def ask(self, asked: Admission, now: float, then: Callable[[Admission, Verdict, float], None]) -> None:
        """Call ``then``, at once or later, with the verdict, and the endpoint if the admission names none.

        Raises Rejected where nobody may wait any more.
        """
        if self.waiting >= _MOST_WAITING:
            raise Rejected(n.SERVICE_UNAVAILABLE, "busy")
        if asked.identity is None and self.admit is None and not self.refusal(asked.endpoint):
            then(asked, _WELCOME, now)
        else:
            _Asking(self, self._state, asked, then, self.admit).begin(now)

    @property
    def is_open(self) -> bool:
        """Whether nobody outside has to be asked, and there is room; the rules may still be against it."""
        return self.admit is None and self.waiting < _MOST_WAITING

    def refusal(self, endpoint: str) -> str:
        """Why an endpoint may not be registered by somebody who has proved nothing; "" where it may."""
        known = self._state.devices.get(endpoint)
        cause = self._state.settings.policy.refusal(endpoint, None, None)
        return SECURITY_NEEDED if not cause and known is not None and known.secured else cause

    def again(self, endpoint: str, where: PeerDescription, now: float, then: Callable[[str, float], None]) -> None:
        """Ask the credential and the rules, not the plugins, about a session that goes on with a registration.

        ``then`` is called, at once or later, with why it may not, or with "". Raises Rejected as `ask`.
        """
        if self.waiting >= _MOST_WAITING:
            raise Rejected(n.SERVICE_UNAVAILABLE, "busy")
        asked = asked_of(where, endpoint, NO_LABELS)
        _Asking(self, self._state, asked, lambda _, verdict, now: then(verdict.cause, now), None).begin(now)

    def note(self, asked: Admission, cause: str, now: float) -> None:
        """Somebody was refused."""
        self._inbox.note(
            cause,
            address=asked.address,
            transport=asked.transport,
            now=now,
            endpoint=asked.endpoint or None,
            identity=asked.identity,
        )


class _Asking:
    """One admission that is asked for, until the verdict."""

    __slots__ = ("_admit", "_asked", "_cause", "_gate", "_plan", "_state", "_then", "_turn")

    def __init__(
        self,
        gate: Gate,
        state: State,
        asked: Admission,
        then: Callable[[Admission, Verdict, float], None],
        admit: Callable[[Admission, Answer], None] | None,
    ) -> None:
        self._admit = admit
        self._gate = gate
        self._state = state
        self._asked = asked
        self._then: Callable[[Admission, Verdict, float], None] | None = then
        self._plan: Plan | None = None
        self._turn = 0
        self._cause = ""

    def begin(self, now: float) -> None:
        self._gate.waiting += 1
        identity = self._asked.identity
        if identity is not None:
            self._look(identity.names, now)
            return
        self._cause = cause = self._gate.refusal(self._asked.endpoint)
        if cause in _EXEMPT and self._gate.grant is not None:
            self._look((NOSEC + self._asked.endpoint,), now)
        elif cause:
            self._end(Verdict(False, cause), now)
        else:
            self._ruled(NO_LABELS, now)

    def _look(self, names: tuple[str, ...], now: float) -> None:
        grant = self._gate.grant
        if grant is None:
            self._granted(_EVERYTHING, now)
        else:
            self._wait(lambda known: grant(names, known), self._granted, now)

    def _granted(self, grant: Grant | Unavailable | None, now: float) -> None:
        policy, asked = self._state.settings.policy, self._asked
        if isinstance(grant, Unavailable):
            self._end(Verdict(False, FAILED), now)
            return
        if self._cause and grant is None:
            self._end(Verdict(False, self._cause), now)
            return
        if not asked.endpoint and asked.identity is not None:
            self._asked = asked = msgspec.structs.replace(asked, endpoint=policy.implied(asked.identity, grant) or "")
        cause = policy.refusal(asked.endpoint, asked.identity, grant) if asked.endpoint else "no-endpoint"
        if cause:
            self._end(Verdict(False, cause), now)
        else:
            self._ruled(NO_LABELS if grant is None else grant.labels, now)

    def _ruled(self, labels: Mapping[str, str], now: float) -> None:
        admit = self._admit
        if admit is None:
            self._end(Verdict(True, labels=labels), now)
            return

        def answered(verdict: Verdict, now: float) -> None:
            if verdict.allowed:
                self._end(Verdict(True, labels={**labels, **verdict.labels}), now)
            else:
                self._end(Verdict(False, verdict.cause or DENIED), now)

        self._wait(lambda answer: admit(self._asked, answer), answered, now)

    def _wait(self, ask: Callable[[Callable[..., None]], None], go_on: Callable[..., None], now: float) -> None:
        """Ask outside, and go on with the first answer, unless time is over before."""
        self._turn = turn = self._turn + 1

        def answered(found: object, then: float) -> None:
            if self._then is not None and self._turn == turn:
                self._turn += 1
                go_on(found, then)

        try:
            ask(answered)
        except Exception:
            if self._turn != turn:
                raise
            self._end(Verdict(False, FAILED), now)
            return
        if self._turn == turn and self._plan is None:
            deadline = now + self._state.settings.admission_timeout
            self._plan = self._state.deadlines.at(deadline, lambda _, then: self._end(Verdict(False, TIMEOUT), then))

    def _end(self, verdict: Verdict, now: float) -> None:
        then, self._then = self._then, None
        if then is None:
            return
        self._gate.waiting -= 1
        self._state.deadlines.cancel(self._plan)
        if not verdict.allowed:
            self._gate.note(self._asked, verdict.cause, now)
        then(self._asked, verdict, now)


def _ignored(_peer: Peer) -> None:
    """Let a peer's session be."""


def asked_of(where: PeerDescription, endpoint: str | None, labels: Mapping[str, str]) -> Admission:
    """The admission that a Register from there asks for."""
    identity = where.proved
    if identity is None and where.identity is not None:
        identity = Identity("psk", where.identity)
    return Admission(endpoint or "", identity, where.address, where.transport, labels)


def rejection(cause: str) -> Rejected:
    """The answer to a device that was refused."""
    return Rejected(n.SERVICE_UNAVAILABLE if cause in UNDECIDED else n.FORBIDDEN, cause)
