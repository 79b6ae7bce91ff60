"""The daemon as a service of twistd: its state directory, its start, its end.

RULES: whatever keeps the daemon from starting is told in one line, and the exit status is 1. What is found before the
reactor runs ends in SystemExit; what is found later ends the process once the reactor has stopped. SIGHUP reads the
configuration again: all of it, or with any fault in it nothing.
"""

from __future__ import annotations

import errno
import gc
import os
import secrets
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.defer import TimeoutError as LateError
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from lwm2md.clock import NO_JUMPS
from lwm2md.config import ConfigErrors, Settings
from lwm2md.config.changes import Reloaded
from lwm2md.config.schema import Logging
from lwm2md.net.addresses import Endpoint
from lwm2md.node import Node
from lwm2md.plugins.contributions import StorageBackend
from lwm2md.plugins.loading import Loaded
from lwm2md.plugins.running import StartError
from lwm2md.restoration import Restoration, Swap
from lwm2md.storage.interface import Storage, StorageError
from lwm2md.storage.memory import MemoryStorage
from lwm2md.storage.sqlite import SQLiteStorage

DATABASE = "lwm2md.sqlite"
TOKEN = "admin.token"
NONE: Mapping[str, StorageBackend] = {}
"""No storages of plugins."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_ANSWERED = 0.5
"""Seconds for an answer to reach its caller before the daemon goes back to a backup, and ends all connections."""
COLLECT = (20_000, 20, 20)
"""When the garbage collector runs: objects made and not freed before it looks at the young ones, looks at those before
it looks at the middle ones, and at these before it looks at the old ones, if they have become more by a quarter."""


def make(
    settings: Settings,
    reactor: Any,
    read: Callable[[], Settings] | None = None,
    levels: Callable[[Logging], None] | None = None,
    *,
    loaded: Loaded | None = None,
    clock_jumps: Mapping[str, int] = NO_JUMPS,
) -> IService:
    """Return the service that runs a daemon with these settings.

    ``read`` reads the configuration again for a reload, and raises ConfigErrors; ``levels`` lets the log follow it.
    ``loaded`` are the plugins, ``clock_jumps`` how often the system's clock was set, by direction.
    """
    return DaemonService(settings, reactor, read, levels, loaded=loaded, clock_jumps=clock_jumps)


class DaemonService(Service):
    """Starts and stops one `Node`."""

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        read: Callable[[], Settings] | None = None,
        levels: Callable[[Logging], None] | None = None,
        *,
        loaded: Loaded | None = None,
        clock_jumps: Mapping[str, int] = NO_JUMPS,
    ) -> None:
        self._settings = settings
        self._clock_jumps = clock_jumps
        self._loaded = loaded or Loaded()
        self._reactor = reactor
        self._read = read or (lambda: settings)
        self._levels = levels
        self._earlier: Any = None
        self._log = Logger(namespace="lwm2md")
        self._node: Node | None = None
        self._place = Path(settings.lwm2md.state)
        self._token = ""
        self._restoration = Restoration(self._go_back, self._replace)
        self._starting: Deferred[None] | None = None
        self._stopping = False

    def privilegedStartService(self) -> None:
        """Prepare the state directory and bind the sockets; raises SystemExit with a line that says what failed."""
        try:
            self._place = prepare(self._place)
            self._token = administrator(self._place, self._settings)
            self._node = self._make(self._settings)
        except OSError as error:
            raise SystemExit(f"lwm2md: {_reason(error)}") from None

    def startService(self) -> None:
        """Begin to serve; what fails from here on ends the process with status 1."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._node is not None:
            self._earlier = signal.signal(signal.SIGHUP, self._hangup)
            self._starting = ensureDeferred(self._start(self._node))
            self._starting.addErrback(self._failed)

    def _make(self, settings: Settings) -> Node:
        """A node that has its addresses, and is to be started. Raises OSError."""
        loaded = self._loaded
        if self._node is not None:  # plugins may have come and gone since the start
            loaded = attrs.evolve(loaded, plugins=self._node.plugins.plugins)
        kept = storage(settings, self._place, self._reactor, self._loaded.backends)
        node = Node(
            settings,
            kept,
            self._token,
            self._reactor,
            self._reload,
            read=self._read,
            loaded=loaded,
            restoration=self._restoration,
            clock_jumps=self._clock_jumps,
        )
        node.bind()
        return node

    async def _start(self, node: Node) -> None:
        # The fleet that is taken up is there to stay: the collector need not walk through it again and again, neither
        # while it grows nor later. What a message leaves is mostly no garbage of its kind, so it looks rarely.
        gc.collect()
        gc.disable()
        try:
            await node.start()
        finally:
            gc.enable()
        gc.freeze()
        gc.set_threshold(*COLLECT)

    def stopService(self) -> Deferred[None] | None:
        """End in order, within `[lwm2md] stop-deadline`; what is left then is given up, and the status is 1."""
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        if self._node is None:
            return None
        node = self._node
        stopping = ensureDeferred(self._stop(node))
        stopping.addTimeout(node.settings.lwm2md.stop_deadline, self._reactor)
        return stopping.addErrback(self._given_up, node)

    async def _stop(self, node: Node) -> None:
        node.abandon()
        if self._starting is not None:
            await self._starting
        try:
            await (self._node or node).stop()
        finally:
            if self._earlier is not None:
                signal.signal(signal.SIGHUP, self._earlier)

    def _given_up(self, failure: Failure, node: Node) -> None:
        """It did not stop in order, or not in time."""
        if isinstance(failure.value, LateError):
            self._log.critical(
                "the daemon ends after {seconds:g} s, though not everything is stored: {waiting} changes wait",
                seconds=node.settings.lwm2md.stop_deadline,
                waiting=node.delivery.backlog,
            )
        else:
            self._log.failure("the daemon did not stop cleanly", failure)
        self._fail_at_the_end()

    def _fail_at_the_end(self) -> None:
        """Let the process end with status 1: twistd would exit with 0."""
        self._reactor.addSystemEventTrigger("after", "shutdown", _exit)

    # Going back to a backup

    def _go_back(self, source: Path) -> None:
        """Begin when the caller has its answer."""
        self._reactor.callLater(_ANSWERED, self._going_back, source)

    def _going_back(self, source: Path) -> None:
        if not self._stopping:
            self._starting = ensureDeferred(self._restoration.go_back(source))
            self._starting.addErrback(self._failed)

    async def _replace(self, swap: Swap) -> None:
        """Let another node begin on another state, or on that which there is. Raises StorageError.

        Raises OSError where none can begin at all: then the process has to end.
        """
        old = self._node
        assert old is not None
        with suppress(StorageError):  # what could not be stored or closed is told by what follows
            await old.stop()
        try:
            await swap.there(old.storage, int(old.delivery.newest) + 1, self._reactor.seconds())
            await self._begin(old.settings, old)
        except StorageError:
            try:
                await swap.back(old.storage)
                await self._begin(old.settings)
            except StorageError as error:
                raise OSError(str(error)) from None
            raise

    async def _begin(self, settings: Settings, before: Node | None = None) -> None:
        """Start another node, which goes on with sessions that are not in its storage. Raises StorageError."""
        try:
            self._node = node = self._make(settings)
        except OSError as error:
            raise StorageError(_reason(error)) from None
        if before is not None:
            node.follow(before)
        try:
            await self._start(node)
        except (StorageError, CannotListenError) as error:
            with suppress(StorageError):
                await node.stop()
            raise StorageError(_reason(error)) from None

    def _hangup(self, number: int, frame: object) -> None:
        """SIGHUP came, in the middle of anything."""
        self._reactor.callFromThread(self._reload_or_log)

    def _reload_or_log(self) -> None:
        try:
            self._reload()
        except ConfigErrors:
            pass  # told already
        except Exception:
            self._log.failure("the configuration can't be read again")

    def _reload(self) -> Reloaded:
        """Read the configuration again and run by it; raises ConfigErrors, and then nothing has changed."""
        node = self._node
        try:
            found = self._read()
        except ConfigErrors as errors:
            for error in errors.errors:
                self._log.error("not reloaded: {error}", error=error)
            raise
        assert node is not None
        reloaded = node.configure(found)
        if self._levels is not None:
            self._levels(reloaded.settings.logging)
        self._log.info("reloaded, changed: {changed}", changed=", ".join(reloaded.changed) or "nothing")
        if reloaded.restart:
            self._log.warn("not before a restart: {restart}", restart=", ".join(reloaded.restart))
        return reloaded

    def _failed(self, failure: Failure) -> None:
        if self._stopping:
            return  # the start ended because the daemon is to end
        self._node = None
        error = failure.value
        if isinstance(error, StorageError | CannotListenError | OSError | StartError):
            self._log.critical("lwm2md can't start: {reason}", reason=_reason(error))
        else:
            self._log.failure("lwm2md can't start", failure)
        self._fail_at_the_end()
        self._reactor.stop()


def prepare(state: Path) -> Path:
    """Make the state directory, and make sure that it can be written. Raises OSError."""
    probe = state / f".probe-{os.getpid()}"
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        if error.errno in _FULL and (state / TOKEN).exists():
            return state  # what is there can be served
        why = "is no directory" if isinstance(error, FileExistsError) else error.strerror
        raise OSError(f"can't use the state directory {state}: {why}") from None
    return state


def sync_directory(directory: Path) -> None:
    """Let the names of new files in a directory survive a power cut. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def administrator(state: Path, settings: Settings) -> str:
    """The administrator's token: the configured one, else that of an earlier start, else a new one in a 0600 file."""
    if settings.api.admin_token is not None:
        return settings.api.admin_token.reveal()
    path = state / TOKEN
    try:
        known = path.read_text("ascii").strip()
    except FileNotFoundError:
        known = ""
    except UnicodeDecodeError:
        raise OSError(errno.EINVAL, "holds no token", str(path)) from None
    if known:
        return known
    token = secrets.token_urlsafe(32)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(f"{token}\n")
        file.flush()
        os.fsync(descriptor)
    sync_directory(state)
    return token


def storage(settings: Settings, state: Path, reactor: Any, backends: Mapping[str, StorageBackend] = NONE) -> Storage:
    """The storage that the settings name, of a plugin's ``backends`` by its scheme too.

    A relative path is below the state directory. Raises OSError where a plugin's storage can't be made.
    """
    scheme, _, path = settings.storage.url.partition(":")
    if scheme in backends:
        try:
            return backends[scheme].make(settings.storage.url, state, reactor)
        except Exception as error:
            raise OSError(f"can't use the storage {scheme}: {error}") from None
    if scheme == "memory":
        return MemoryStorage()
    return SQLiteStorage(state / (path or DATABASE), reactor, cache=settings.storage.cache_size)


def _reason(error: BaseException) -> str:
    if isinstance(error, CannotListenError):
        return f"can't listen on http://{Endpoint(error.interface, error.port)}: {error.socketError.strerror}"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _exit() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
