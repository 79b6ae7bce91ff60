"""The word of plugins where devices come in: at the core's gate, and where keys are looked up.

RULES: a plugin is asked after the daemon's own rules and credentials, never instead of them. A failure denies: the
device is told to come again, since nobody has decided. What a plugin said is not kept: it is asked each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lwm2md.plugins import seams
from lwm2md.plugins.records import CredentialQuery, RegistrationRequest, Verdict
from lwm2md.plugins.running import Running
from lwm2md.security import credentials
from lwm2md.security.credentials import Scope
from lwm2md.server import admission
from lwm2md.server.admission import Admission, Answer

LONGEST: Final = 255
"""Characters of a cause, or of a label, that a plugin gives; what is longer is cut."""


class Guarding:
    """Plugins as the core's gate and the vault ask them; ``settle`` carries out what the core decided after an answer.

    ``now`` gives the Unix time.
    """

    def __init__(self, running: Running, now: Callable[[], float], settle: Callable[[], None]) -> None:
        self._running = running
        self._now = now
        self._settle = settle
        self._log = Logger(namespace="lwm2md.plugins")

    def admit(self, asked: Admission, answer: Answer) -> None:
        """Ask whether a device may register."""
        request = RegistrationRequest(asked.endpoint, asked.identity, asked.address, asked.transport, asked.labels)

        def decided(verdict: Verdict) -> None:
            cause = admission.FAILED if verdict is seams.FAILED else str(verdict.cause)[:LONGEST]
            labels = {str(name)[:LONGEST]: str(value)[:LONGEST] for name, value in verdict.labels.items()}
            answer(admission.Verdict(verdict.allowed, cause, labels), self._now())
            self._settle()

        deciding = Deferred.fromCoroutine(seams.authorize_registration(self._running, request))
        deciding.addCallback(decided)
        deciding.addErrback(lambda failure: self._log.failure("what followed a verdict failed", failure))

    async def credential(self, identity: bytes, scope: Scope) -> credentials.Credential | None:
        """The credential of a PSK identity that the daemon has none for."""
        found = await seams.credentials(self._running, CredentialQuery(identity, scope))
        if not found:
            return None
        keys: Sequence[credentials.Key] = [credentials.Key(each.key) for each in found]
        endpoints = tuple(dict.fromkeys(each.endpoint for each in found))
        return credentials.Credential(identity.decode(), "psk", scope, endpoints, tuple(keys[: credentials.MOST_KEYS]))
