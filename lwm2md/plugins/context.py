"""What a plugin has in hand: everything it may do with the daemon goes through its context.

RULES: nothing of the daemon that could be changed is handed out. Methods may be called from any thread: elsewhere than
on the reactor's they wait for it. Those that give a Deferred are for the reactor's thread; from another
``context.blocking(context.submit, …)`` gives what comes of it. After the plugin has stopped they raise `PluginFailed`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import Logger

from lwm2md.http.documents import device_document, values_of
from lwm2md.lwm2m.paths import Path
from lwm2md.plugins import asking
from lwm2md.plugins.asking import OperationRefused, SubmittedOperation
from lwm2md.plugins.marks import is_asynchronous
from lwm2md.plugins.measuring import PluginMetrics
from lwm2md.plugins.notes import Kept, Notes
from lwm2md.plugins.plugin import PluginFailed
from lwm2md.plugins.queues import Cursor, EventSource, Queue
from lwm2md.subscriptions import Delivered

if TYPE_CHECKING:
    from lwm2md.plugins.host import Host
    from lwm2md.plugins.plugin import Plugin
    from lwm2md.plugins.running import Running

MOST_OPEN: Final = 10_000
"""Operations of one plugin that have not ended; more are refused."""
MOST_TASKS: Final = 1_000
"""Coroutines of one plugin that run."""

C = TypeVar("C", bound="PluginContext")
P = ParamSpec("P")
R = TypeVar("R")


def _on_reactor(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
    """Let a method run on the reactor's thread, while the plugin does."""

    @wraps(method)
    def run(self: C, /, *arguments: P.args, **named: P.kwargs) -> R:
        self.check()
        if threading.get_ident() == self.thread:
            return method(self, *arguments, **named)
        return blockingCallFromThread(self.reactor, method, self, *arguments, **named)

    return run


class Devices:
    """The devices, as documents of the API: nothing in them changes anything."""

    def __init__(self, node: Host) -> None:
        self._node = node

    def __len__(self) -> int:
        return len(self._node.server.devices)

    def __iter__(self) -> Iterator[str]:
        """The Endpoint Client Names there are now."""
        return iter(tuple(self._node.server.devices))

    def __contains__(self, endpoint: object) -> bool:
        return endpoint in self._node.server.devices

    def get(self, endpoint: str) -> dict[str, Any] | None:
        """A device as ``/v1/devices/{endpoint}`` shows it, or None."""
        server, now = self._node.server, self._node.now()
        device = server.devices.get(endpoint)
        if device is None:
            return None
        document: dict[str, Any] = msgspec.to_builtins(
            device_document(device, server.facts(device, now), now, server.address_of)
        )
        return document

    def values(self, endpoint: str, path: str = "/") -> list[dict[str, Any]]:
        """The last known values at or below a path, as ``values`` of the API; none of an unknown device."""
        if endpoint not in self:
            return []
        rows = self._node.server.twin_rows(endpoint, Path.parse(path))
        found: list[dict[str, Any]] = msgspec.to_builtins(values_of(rows))
        return found


class PluginContext:
    """A running plugin's way to the daemon.

    ``name`` is the plugin's, ``daemon`` the daemon's, ``settings`` are its settings by their keys, ``log`` its logger,
    ``reactor`` Twisted's, ``devices`` and ``metrics`` what their types say.
    """

    def __init__(self, node: Host, plugin: Plugin, running: Running) -> None:
        self.name = plugin.name
        self.daemon = node.name
        self.log = Logger(namespace=f"lwm2md.plugin.{plugin.name}")
        self.reactor: Any = node.reactor
        self.devices = Devices(node)
        self.thread = threading.get_ident()
        self._node = node
        self._plugin = plugin
        self._running = running
        self._sources: list[EventSource] = []
        self._names: set[str] = set()
        self._tasks: set[Deferred[Any]] = set()
        self._notes = Notes(node, running.storage, plugin.name)
        self._open = 0
        self._ended = False

    @property
    def settings(self) -> Mapping[str, Any]:
        """The values of ``[plugin:NAME]``, those with defaults too, by their keys."""
        return self._plugin.settings

    @property
    def metrics(self) -> PluginMetrics:
        """Where the plugin declares its metrics."""
        return self._plugin.metrics

    def check(self) -> None:
        """Raise PluginFailed if the plugin does not run any more."""
        if self._ended:
            raise PluginFailed(f"the plugin {self.name} does not run any more")

    def now(self) -> float:
        """The Unix time of the daemon's clock."""
        return self._node.now()

    def blocking(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """From another thread: call a function on the reactor's; what it, or its Deferred, gives or raises."""
        if threading.get_ident() == self.thread:
            raise RuntimeError("blocking() would wait for itself on the reactor's thread")
        return blockingCallFromThread(self.reactor, function, *arguments)

    @_on_reactor
    def health(self, text: str | None) -> None:
        """Say what is wrong with the plugin's work, None when all is well; status shows it."""
        self._plugin.health = None if text is None else text[:500]

    @_on_reactor
    def subscribe(
        self,
        types: Sequence[str],
        handler: Callable[[Sequence[Delivered]], Any],
        *,
        durable: bool = False,
        name: str = "events",
    ) -> EventSource:
        """Give events of these types (shell globs) to ``handler``, in batches, one at a time, in order.

        The handler runs where a hook of its shape would. Without ``durable`` it gets what happens, as
        `lwm2md_events` does. With it, it gets every stored event from where its cursor ``name`` is, also what happened
        while the plugin or the daemon was down; the cursor moves when the handler has returned, or its Deferred has
        fired, however long that takes; if it fails the same batch comes again. Raises ValueError if ``name`` is in use.
        """

        invoke, asynchronous, called = self._running.calls.invoke, is_asynchronous(handler), f"events {name}"

        def handle(events: Sequence[Delivered]) -> Deferred[Any]:
            if self._ended:
                return fail(PluginFailed("it has ended"))
            return invoke(plugin, called, lambda: handler(events), asynchronous=asynchronous, endless=durable)

        if name in self._names:
            raise ValueError(f"there is a subscription {name!r} already")
        self._names.add(name)
        node, plugin = self._node, self._plugin
        source: EventSource
        if durable:
            key = f"{self.name}/{name}"
            source = Cursor(
                node.delivery,
                self._running.storage,
                node.reactor,
                plugin=plugin,
                key=key,
                types=types,
                handle=handle,
            )
        else:
            source = Queue(node.delivery, plugin, types, handle, self._running.queue)
        self._sources.append(source)
        return source

    def submit(self, endpoint: str, request: Mapping[str, Any]) -> Deferred[SubmittedOperation]:
        """Ask something of a device, as principal ``plugin:NAME``; ``request`` is a body of ``POST …/operations``.

        Fires when it is taken; fails with `OperationRefused`.
        """
        return Deferred.fromCoroutine(self._submit(endpoint, request))

    async def _submit(self, endpoint: str, request: Mapping[str, Any]) -> SubmittedOperation:
        self.check()
        if self._open >= MOST_OPEN:
            raise OperationRefused("queue-full", f"{self._open} operations of this plugin have not ended")
        self._open += 1
        try:
            asked = asking.request_of(request)
            node = self._node
            authorize = self._running.operation_authorizer
            operation = await asking.submit(node, authorize, f"plugin:{self.name}", endpoint, asked)
        except BaseException:
            self._over()
            raise
        return SubmittedOperation(self._node, operation, self._over)

    def _over(self) -> None:
        self._open -= 1

    @_on_reactor
    def operation(self, identifier: str) -> dict[str, Any] | None:
        """An operation by its id, as ``/v1/operations/{id}`` shows it, or None."""
        found = self._node.server.operations.get(identifier)
        return None if found is None else asking.shown(found.certain)

    @_on_reactor
    def keep(self, key: str, value: bytes | None) -> Deferred[bool]:
        """Keep something small of the plugin's own over restarts, None: not any more. Fires with whether it is durable.

        Raises ValueError for a key beyond 255 characters and a value beyond 64 KiB.
        """
        return self._notes.put(key, value)

    @_on_reactor
    def kept(self) -> Deferred[Kept]:
        """Everything that was kept, as pairs of key and value, in the order of the keys."""
        return self._notes.all()

    @_on_reactor
    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        """Run a coroutine on the reactor until it ends, or until the plugin does: then it is cancelled.

        What it raises counts as a failure of the plugin.
        """
        if len(self._tasks) >= MOST_TASKS:
            coroutine.close()
            raise PluginFailed(f"{len(self._tasks)} tasks run already")
        task = self._running.calls.invoke(self._plugin, "task", lambda: coroutine, asynchronous=True, endless=True)
        task.addErrback(lambda _: None)  # told already
        if not task.called:
            self._tasks.add(task)
            task.addBoth(lambda _: self._tasks.discard(task))
        return task

    def add(self, source: EventSource) -> None:
        """End this, too, when the plugin does."""
        self._sources.append(source)

    @_on_reactor
    def mount_coap(self, root: Any) -> None:
        """Serve a tree of txthings' ``CoAPResource`` objects while the plugin runs.

        Raises ValueError if one of its paths is the daemon's.
        """
        self._running.mount(self._plugin, root)

    async def finish(self) -> None:
        """Get no more events, and let the handlers do what they are at."""
        for finished in [source.close() for source in self._sources]:
            await finished

    def close(self) -> None:
        """End everything that was begun through this context."""
        self._ended = True
        for source in self._sources:
            source.cancel()
        for task in tuple(self._tasks):
            task.cancel()
