"""Who may come, as a daemon runs it: the credentials, the audit log, and how the core asks for them."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lwm2md.auditing import AuditLog
from lwm2md.config import Settings
from lwm2md.delivery import Delivery
from lwm2md.security.csvfile import Packed
from lwm2md.security.rules import Grant
from lwm2md.security.sealing import Seal
from lwm2md.server.admission import UNAVAILABLE, Known, Unavailable
from lwm2md.storage.interface import Storage
from lwm2md.vault import Vault


class Gatekeeper:
    """The credentials and the audit log of one daemon; ``settled`` is called after the core was told something."""

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        delivery: Delivery,
        clock: IReactorTime,
        *,
        random: Callable[[int], bytes],
        settled: Callable[[], None],
    ) -> None:
        key = settings.security.credentials_key
        seal = Seal(None if key is None else key.reveal(), random)
        self.vault = Vault(storage, seal, delivery.submit, clock, random)
        self.audit = AuditLog(storage, clock, settings.security.audit)
        self._clock = clock
        self._settled = settled
        self._log = Logger()
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Go by other settings and files."""
        self.audit.configure(settings.security.audit)
        self.vault.most = settings.limits.credentials
        self.vault.use(settings.material.psk if settings.material is not None else Packed())

    def grant(self, names: tuple[str, ...], then: Known) -> None:
        """Give the core what the first of these names is granted that has a credential."""

        def found(grant: Grant | Unavailable | None) -> None:
            then(grant, self._clock.seconds())
            self._settled()

        self.vault.grant(names, found, lambda: found(UNAVAILABLE))

    def start(self) -> None:
        """Trim the log from time to time, and seal beside everything else what was stored before there was a key."""
        self.audit.start()
        sealing = Deferred.fromCoroutine(self.vault.reseal())
        sealing.addCallback(self._sealed)
        sealing.addErrback(lambda failure: self._log.error("plain rows stay: {error}", error=failure.value))

    def stop(self) -> None:
        """Do nothing more."""
        self.audit.stop()

    def _sealed(self, count: int) -> None:
        if count:
            self._log.info("{count} credentials were stored plain and are sealed now", count=count)
