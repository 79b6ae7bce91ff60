"""What the API needs of the daemon: the contract between `lwm2md.http` and `lwm2md.service`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from twisted.internet.interfaces import IReactorTime

from lwm2md.config.schema import Settings

if TYPE_CHECKING:
    from lwm2md.auditing import AuditLog
    from lwm2md.backup import Backups
    from lwm2md.config.changes import Reloaded
    from lwm2md.delivery import Delivery
    from lwm2md.drain import Drain
    from lwm2md.history import History
    from lwm2md.net.driver import Deadlines
    from lwm2md.plugins.managing import Managing
    from lwm2md.plugins.running import Running
    from lwm2md.restoration import Restoration
    from lwm2md.server.core import Server
    from lwm2md.storage.interface import Storage
    from lwm2md.tracing.traces import Tracing
    from lwm2md.vault import Vault


class Node(Protocol):
    """One running daemon. Times are Unix seconds; ``admin_token_hash`` is the SHA-256 of the administrator's token.

    ``waits`` wakes who waits for an operation on behalf of a caller, ``clock_jumps`` counts those of the clock.
    """

    server: Server
    delivery: Delivery
    drain: Drain
    backups: Backups
    restoration: Restoration | None
    clock_jumps: Mapping[str, int]
    history: History
    tracing: Tracing
    vault: Vault
    audit: AuditLog
    plugins: Running
    managing: Managing
    settings: Settings
    reactor: IReactorTime
    waits: Deadlines
    started: float
    ready: bool
    version: str
    admin_token_hash: bytes

    @property
    def storage(self) -> Storage:
        """Where everything is kept."""
        ...

    def now(self) -> float:
        """The Unix time of the injected clock."""
        ...

    def reload(self) -> Reloaded:
        """Read the configuration again and run by it; raises ConfigErrors, and then nothing has changed."""
        ...

    def settle(self) -> None:
        """Carry out what the core decided: datagrams, commits, timers. To be called after every change."""
        ...

    def settle_soon(self) -> None:
        """The same, once for all calls that come at the same time."""
        ...

    def listeners(self) -> Sequence[Mapping[str, str]]:
        """``{"transport", "address"}`` of every listener, with the real ports."""
        ...

    def counters(self) -> Mapping[str, float]:
        """Counters of the engine, the core and the delivery, by name, for ``/metrics``."""
        ...
