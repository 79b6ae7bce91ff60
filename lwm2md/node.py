"""One running daemon: the core, its storage, its engine and its API, joined.

RULES: everything that has to be decided is decided elsewhere; here is only who is told what, in which order. After each
batch of datagrams, deadline or call of the API the core's effects go to delivery, and what those cause goes out with
the same flush. Sockets are bound first, so that devices get no ICMP error, and served while a large fleet is read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IListeningPort
from twisted.logger import Logger

from lwm2md import __version__, tuning
from lwm2md.backup import Backups
from lwm2md.chance import Chance
from lwm2md.clock import NO_JUMPS
from lwm2md.coap.engine import Engine, Parameters, Peer
from lwm2md.coap.places import PlainPlaces, QuickPlaces
from lwm2md.config import Settings
from lwm2md.config.changes import Reloaded, compare
from lwm2md.delivery import Delivery
from lwm2md.drain import Drain
from lwm2md.gatekeeper import Gatekeeper
from lwm2md.history import History
from lwm2md.http.api import Api
from lwm2md.http.authentication import hash_token
from lwm2md.http.extending import PluginRoutes
from lwm2md.http.routes import Route
from lwm2md.http.table import ROUTES
from lwm2md.lwm2m import models
from lwm2md.net import udp
from lwm2md.net.addresses import Endpoint
from lwm2md.net.driver import Deadlines, Driver
from lwm2md.net.port import DatagramPort
from lwm2md.peers import Peers, is_secure
from lwm2md.plugins.hosting import Hosting
from lwm2md.plugins.loading import Loaded, Loader
from lwm2md.plugins.managing import Managing
from lwm2md.plugins.running import Running
from lwm2md.server.core import Server
from lwm2md.server.deviceprofiles import engine_values
from lwm2md.server.effects import Commit
from lwm2md.server.parameters import NAME
from lwm2md.server.records import Registration
from lwm2md.server.state import Environment
from lwm2md.starting import PAGE, Starting
from lwm2md.storage.interface import Storage
from lwm2md.tracing import traces
from lwm2md.tracing.traces import Tracing

if TYPE_CHECKING:
    from lwm2md.net.txthings import Render, Trees
    from lwm2md.restoration import Restoration

SESSIONS = "sessions"


class Node:
    """One daemon, from binding its sockets to giving them back.

    ``token`` is the administrator's, ``reactor`` Twisted's; ``reload`` reads the configuration again and calls
    `configure`, ``read`` only reads it; ``loaded`` are the plugins, ``restoration`` goes back to a backup,
    ``clock_jumps`` counts jumps of the system's clock. `bind` may raise OSError, `start` fails with StorageError,
    StartError or CannotListenError, with texts fit for the operator.
    """

    _submitting = False
    _api: Api | None = None
    _trees: Trees | None = None
    _settling: IDelayedCall | None = None

    def __init__(
        self,
        settings: Settings,
        storage: Storage,
        token: str,
        reactor: Any,
        reload: Callable[[], Reloaded] | None = None,
        *,
        read: Callable[[], Settings] | None = None,
        loaded: Loaded | None = None,
        restoration: Restoration | None = None,
        clock_jumps: Mapping[str, int] = NO_JUMPS,
    ) -> None:
        self.settings = settings
        self.backups = Backups(storage)
        self.restoration = restoration
        self.clock_jumps = clock_jumps
        self.reload = reload or (lambda: self.configure(self.settings))
        self.storage = storage
        self.reactor = reactor
        self.version = __version__
        self.started = reactor.seconds()
        self.ready = False
        self.admin_token_hash = hash_token(token)
        self._log = Logger()
        self.delivery = Delivery(storage, reactor, settings.storage.events)
        self.history = History(storage, reactor, settings.history.retention, settings.history.values_per_resource)
        chance = self.chance = Chance()
        self._peers = Peers()
        places = QuickPlaces if settings.coap.batched else PlainPlaces
        environment = Environment(
            chance, self._peers.describe, self.delivery.wants, self.delivery.publish, self._peers.reaches, places
        )
        self.server = _server(settings, environment)
        self._gatekeeper = Gatekeeper(settings, storage, self.delivery, reactor, random=chance, settled=self._settled)
        self.vault, self.audit = self._gatekeeper.vault, self._gatekeeper.audit
        self.server.gate.grant = self._gatekeeper.grant
        self.vault.changed.append(self._credentials_changed)
        self._parameters = tuning.parameters(settings)
        self.engine = self._make_engine(settings, chance)
        self.server.attach(self.engine)
        self.tracing = self._make_tracing(settings, chance)
        timed = (self.server, self.tracing)
        self.waits = Deadlines(reactor)
        self._driver = Driver(reactor, self.engine, timed=timed, settle=self._submit, tap=self.tracing, heeds=True)
        self.drain = Drain(self.server, self.delivery, reactor, self.settle)
        self._ports: list[DatagramPort] = []
        self._api_ports: list[IListeningPort] = []
        self._starting = Starting(self.server, storage, reactor, self.settle)
        self._served = self._taken_up = False
        self.delivery.on_settled = self._settled
        self.routes = PluginRoutes(ROUTES, self._extend)
        self.plugins = Running(Hosting(self), storage, loaded or Loaded(), settings.plugins)
        self.managing = Managing(self.plugins, lambda: self.settings, read or (lambda: self.settings), Loader())

    def _make_engine(self, settings: Settings, chance: Chance) -> Engine:
        return Engine(
            self.server,
            chance,
            self._parameters,
            tuning.engine_limits(settings),
            trusted=tuning.trusted(settings.coap.trusted),
            verified=lambda peer: is_secure(peer) or self.server.knows(peer),
            glance=self.server.glance,
            notice=self.server.notice,
            apart=NAME,
            on_error=lambda text: self._log.error("a decision failed: {text}", text=text),
            parameters_for=self._parameters_for,
        )

    def _make_tracing(self, settings: Settings, chance: Chance) -> Tracing:
        return Tracing(
            self._registration,
            self._peers.identify,
            self._store,
            chance,
            locate=self._peers.locate,
            **tuning.tracing_limits(settings),
        )

    def now(self) -> float:
        """The Unix time of the injected clock."""
        return float(self.reactor.seconds())

    def settle(self) -> None:
        """Carry out what the core decided: datagrams, commits, timers. To be called after every change."""
        self._driver.settle()

    def settle_soon(self) -> None:
        """The same in the next turn of the reactor, once for all that changed until then."""
        if self._settling is None:
            self._settling = self.reactor.callLater(0, self._settle)

    def _settle(self) -> None:
        self._settling = None
        self.settle()

    def mount(self, root: Any, render: Render | None = None) -> None:
        """Serve a tree of txthings' `CoAPResource` objects beside the daemon's own paths.

        Of several trees that serve a path the first that was mounted does. ``render`` lets its resources render. Raises
        ValueError if the tree claims a path of the daemon's.
        """
        if self._trees is None:
            # Whoever mounts nothing doesn't pay for txthings, which installs a reactor when it is imported.
            from lwm2md.net.txthings import Trees  # noqa: PLC0415

            self._trees = Trees(self.engine, self.settle, self.reactor)
            self.server.neighbour = self._trees
        self._trees.mount(root, render)

    def unmount(self, root: Any) -> None:
        """Serve a tree no longer that was mounted."""
        if self._trees is not None:
            self._trees.unmount(root)

    def configure(self, found: Settings) -> Reloaded:
        """Run by other settings, as far as they need no restart; nothing of it is seen half done."""
        plan = self.managing.plan(found)
        reloaded = compare(self.settings, found)
        settings = self.settings = reloaded.settings
        self._parameters = tuning.parameters(settings)
        self.server.configure(tuning.server_settings(settings), self.now())
        self.server.library.use(settings.object_models)
        self.delivery.configure(settings.storage.events)
        self.history.configure(settings.history.retention, settings.history.values_per_resource)
        self.tracing.configure(**tuning.tracing_limits(settings))
        self._gatekeeper.configure(settings)
        if self._peers.secured is not None:
            self._peers.secured.configure(settings)
        self.plugins.configure(settings.plugins)
        self.managing.carry_out(plan)
        self.settle_soon()
        return reloaded.also(plan.changed, plan.restart)

    # Effects

    def _submit(self, now: float) -> None:
        """Hand effects to delivery; a storage that answers at once may cause more of them."""
        if self._submitting:
            return
        self._submitting = True
        try:
            while self.server.effects:
                commits = self.server.effects[:]
                self.server.effects.clear()
                self.delivery.submit(commits)
        finally:
            self._submitting = False

    def _settled(self) -> None:
        if not self._submitting:
            self._driver.settle()

    def _store(self, commit: Commit) -> None:
        self.delivery.submit((commit,))

    def _credentials_changed(self, identities: Sequence[str]) -> None:
        self.server.gate.review(identities, self.now())
        self.settle_soon()

    def _parameters_for(self, peer: Peer) -> Parameters:
        profile = self.server.device_profiles.special.get(peer)
        return self._parameters if profile is None else tuning.own_parameters(self._parameters, engine_values(profile))

    def _extend(self, routes: Sequence[Route]) -> None:
        """Serve the routes of plugins."""
        if self._api is not None:
            self._api.extend(routes)

    def _registration(self, endpoint: str) -> Registration | None:
        device = self.server.devices.get(endpoint)
        return None if device is None else device.registration

    # Start and stop

    def bind(self) -> None:
        """Take the addresses of the configuration; nothing is read from them yet."""
        batched = None if self.settings.coap.batched else False
        for address in self.settings.coap.listen:
            try:
                self._ports.append(udp.listen(self.reactor, Endpoint(address.host, address.port), batched=batched))
            except OSError as error:
                self._close_ports()
                raise OSError(f"can't listen on coap://{address}: {error.strerror}") from None
        if self.settings.coaps.listen:
            try:
                self._peers.listen(self)
            except OSError:
                self._close_ports()
                raise

    def follow(self, before: Node) -> None:
        """Go on with the DTLS sessions of a daemon in this process that has stopped; before `start`."""
        if self._peers.secured is not None and before._peers.secured is not None:
            self._peers.secured.inherit(before._peers.secured)

    async def start(self) -> None:
        """Open the storage, serve devices, take the fleet up, then serve everybody."""
        await self.storage.open()
        await self.delivery.start()
        await self.vault.start()
        began = self.now()
        await self._starting.prepare()
        kept = await self.storage.scan(traces.TABLE, traces.PREFIX, PAGE)
        if self._starting.abandoned:
            return
        self.tracing.restore(kept, self.now())
        await self._serve()
        await self._starting.take_up()
        if self._starting.abandoned:
            return
        self._taken_up = True
        await self.plugins.start()
        self.server.started(self.now())
        if self.server.devices:
            self._log.info(
                "{count} devices taken up in {seconds:.1f} s",
                count=len(self.server.devices),
                seconds=self.now() - began,
            )
        self.history.start()
        self._gatekeeper.start()
        self.settle()
        self._api = Api(self, ROUTES)
        self._extend(self.routes.all())
        for address in self.settings.api.listen:
            port = self.reactor.listenTCP(address.port, self._api, interface=address.host)
            self._api_ports.append(port)
            self._log.info("api on http://{address}", address=_tcp(port))
        self.ready = True

    async def _serve(self) -> None:
        """Answer devices from now on, those of a secure transport when their sessions are there."""
        self._served = True
        for port in self._ports:
            self._driver.add(port)
            self._log.info("listening on coap://{address}", address=port.local)
        secured = self._peers.secured
        if secured is not None:
            await secured.begin(self.storage)
            await self._starting.read(SESSIONS, lambda rows, _: secured.restore(rows))
            if not self._starting.abandoned:
                secured.start(self._driver)

    def abandon(self) -> None:
        """Let a start that is under way end at its next step, before `stop`."""
        self._starting.abandoned = True

    async def stop(self) -> None:
        """Take no more requests, end what is under way, store what was written behind, end readers, close the storage.

        Of a fleet that was not taken up whole nothing is stored. Answers of devices are waited for `stop-wait`.
        """
        self.ready = False
        self.backups.stop()
        for api_port in self._api_ports:
            await (api_port.stopListening() or succeed(None))
        if self._taken_up:
            await self.drain.finish(self.settings.lwm2md.stop_wait)
        if self._api is not None:
            self._api.close()
        self.waits.stop()
        await self.plugins.stop()
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if self._trees is not None:
            self._trees.close()
        if self._taken_up:
            await self._store_all()
        if self._peers.secured is not None:
            self._peers.secured.stop(store=self._taken_up)
        self._driver.stop()
        self.history.stop()
        self._gatekeeper.stop()
        self._close_ports()
        if self._served:
            await self.delivery.stop()
        self._served = self._taken_up = False  # whoever stops it again finds nothing left to do
        await self.storage.close()

    def _store_all(self) -> Deferred[None]:
        """Store what is written behind, part by part: of a large fleet it is too much for the memory at once."""
        stored: Deferred[None] = Deferred()
        self.server.stop(self.now(), lambda: stored.callback(None))
        self.settle()
        return stored

    def _close_ports(self) -> None:
        for port in self._ports:
            port.close()
        if self._peers.secured is not None:
            self._peers.secured.port.close()

    # What the API shows

    def listeners(self) -> list[Mapping[str, str]]:
        """Transport and real address of every listener."""
        found = [{"transport": "coap", "address": str(port.local)} for port in self._ports]
        if self._peers.secured is not None:
            found += [{"transport": "coaps", "address": str(address)} for address in self._peers.secured.addresses()]
        return [*found, *({"transport": "http", "address": _tcp(port)} for port in self._api_ports)]

    def counters(self) -> Mapping[str, float]:
        """Counters of the engine, the core, the delivery, the driver and the ports, by name."""
        return dict(self._counters())

    def _counters(self) -> Iterator[tuple[str, float]]:
        for prefix, counters in (
            ("coap", self.engine.counters),
            ("server", self.server.counters),
            ("delivery", self.delivery.counters),
            ("history", self.history.counters),
            ("tracing", self.tracing.counters()),
            ("credentials", self.vault.counters),
            ("backups", self.backups.counters),
        ):
            yield from ((f"{prefix}_{name}", value) for name, value in counters.items())
        if self._trees is not None:
            yield from ((f"txthings_{name}", value) for name, value in self._trees.counters.items())
        if self._peers.secured is not None:
            yield from ((f"dtls_{name}", value) for name, value in self._peers.secured.counters().items())
        ports = [*self._ports, *(() if self._peers.secured is None else self._peers.secured.port.ports)]
        names = ports[0].counters if ports else ()
        yield from ((f"udp_{name}", sum(port.counters[name] for port in ports)) for name in names)
        yield "driver_errors", self._driver.errors
        yield "driver_unroutable", self._driver.unroutable


def _server(settings: Settings, environment: Environment) -> Server:
    """The core, with the models and device profiles that are shipped, and the operator's models."""
    table = files("lwm2md.lwm2m").joinpath("models.txt").read_text("utf-8")
    server = Server(tuning.server_settings(settings), models.parse(table), environment)
    server.library.use(settings.object_models)
    profiles = files("lwm2md.server").joinpath("deviceprofiles.json").read_text("utf-8")
    server.device_profiles.ship(profiles)
    return server


def _tcp(port: IListeningPort) -> str:
    where = port.getHost()
    return str(Endpoint(where.host, where.port))  # type: ignore[attr-defined]
