"""The hooks: what a plugin may implement, when it is called, with what, and what its answer means.

RULES: names begin with ``lwm2md_``. An implementation takes those of the arguments that it needs, by their names. It is
plain, ``async def``, or returns a Deferred; a plain one runs on its plugin's own thread. Each call has a deadline,
``[plugins] deadline``. What a call raises concerns its plugin only; where a hook is *secure*, it means deny.

How a hook is called stands on its specification: *notify*, every plugin on its own; *first*, one after the other until
one answers something else than None; *filter*, the first argument goes from one to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from lwm2md.plugins.marks import Call, call_of, hookspec

if TYPE_CHECKING:
    from lwm2md.plugins.context import PluginContext
    from lwm2md.plugins.contributions import (
        AlertRule,
        ApiRoute,
        Command,
        FirmwareRepository,
        Setting,
        StorageBackend,
    )
    from lwm2md.plugins.measuring import PluginMetrics
    from lwm2md.plugins.records import (
        AskedOperation,
        BootstrapConfiguration,
        BootstrapRequest,
        Credential,
        CredentialQuery,
        Delivered,
        RegistrationRequest,
        Verdict,
    )

API_VERSION: Final = 1
"""The version of this contract. A plugin says for which one it was written: ``API_VERSION = 1``."""


# While the configuration is read


@hookspec("notify", at="load")
def lwm2md_settings() -> Sequence[Setting]:  # type: ignore[empty-body]
    """Say which keys ``[plugin:NAME]`` may have. Without this hook it has none.

    The values are in ``context.settings`` by their keys.
    """


@hookspec("notify", at="load")
def lwm2md_storage_backends() -> Sequence[StorageBackend]:  # type: ignore[empty-body]
    """Offer storages for ``[storage] url``, by the scheme of the URL."""


# The life of a plugin


@hookspec("notify")
def lwm2md_metrics(metrics: PluginMetrics) -> None:
    """Declare the plugin's metrics before it starts; they are shown with the label ``plugin``."""


@hookspec("notify")
def lwm2md_start(context: PluginContext) -> None:
    """Begin; what the plugin does from now on it does through ``context``.

    The daemon serves already, or soon will: it waits for no plugin to start but for those that have a *secure* hook.
    One whose start fails does not run.
    """


@hookspec("notify")
def lwm2md_reload(settings: Mapping[str, Any]) -> None:
    """Take other settings, which are right by the plugin's schema, while running.

    A plugin without this hook is stopped and started again for it, where it is ``RESTARTABLE``.
    """


@hookspec("notify")
def lwm2md_stop() -> None:
    """End: give back what was opened, after a start that failed, too.

    What the context gave ends by itself: subscriptions, resources, tasks.
    """


# What happens to the fleet


@hookspec("notify")
def lwm2md_event_types() -> Sequence[str]:  # type: ignore[empty-body]
    """Say which types of events `lwm2md_events` gets, as shell globs. Without this hook it gets all of them.

    It is better to say: an event that nobody wants, such as ``device.updated`` for each Update, is not even made.
    """


@hookspec("notify")
def lwm2md_events(events: Sequence[Delivered]) -> None:
    """Get what happened, in order, up to a hundred events at once, oldest first.

    Behind it is the plugin's queue of ``[plugins] queue`` events; when that is full the oldest are dropped and counted.
    Who needs every stored event subscribes with a cursor: `PluginContext.subscribe` with ``durable``.
    """


# Who may do what


@hookspec("first", secure=True)
def lwm2md_authorize_registration(registration: RegistrationRequest) -> Verdict | None:
    """Say whether a device may register that the daemon's own rules let register.

    None is no opinion; when nobody has one it may. A failure or no answer in time means no.
    """


@hookspec("first", secure=True)
def lwm2md_authorize_operation(operation: AskedOperation) -> Verdict | None:
    """Say whether an operation may be asked of a device, whoever asks: callers of the API, or other plugins.

    None is no opinion; when nobody has one it may. A failure or no answer in time means no.
    """


@hookspec("first", secure=True)
def lwm2md_credentials(query: CredentialQuery) -> Sequence[Credential] | None:
    """Give the keys of a PSK identity that the daemon has none for, the newest first.

    None asks the next plugin. After a failure nobody else is asked, and the identity has no key.
    """


@hookspec("filter", secure=True)
def lwm2md_bootstrap_configuration(
    configuration: BootstrapConfiguration | None, request: BootstrapRequest
) -> BootstrapConfiguration | None:
    """Give or change what a device is told at bootstrap; ``configuration`` is what there is so far, None for nothing.

    An implementation that does not know the device returns what it got. After a failure the device gets nothing.
    """


# What the daemon can do


@hookspec("notify")
def lwm2md_alert_rules() -> Sequence[AlertRule]:  # type: ignore[empty-body]
    """Add alert rules, for the part of the daemon that raises alerts."""


@hookspec("notify")
def lwm2md_firmware_repositories() -> Sequence[FirmwareRepository]:  # type: ignore[empty-body]
    """Add places where firmware images come from."""


@hookspec("notify")
def lwm2md_http_routes() -> Sequence[ApiRoute]:  # type: ignore[empty-body]
    """Add routes to the API; called after the plugin has started."""


@hookspec("notify", reactor=True)
def lwm2md_coap_resources() -> Any:
    """Give the root of a tree of txthings' ``CoAPResource`` objects, served beside the daemon's own paths.

    Called after the plugin has started, on the reactor's thread, where the resources render, too.
    """


@hookspec("notify", at="load")
def lwm2md_commands() -> Sequence[Command]:  # type: ignore[empty-body]
    """Add commands to ``lwm2mctl``; called in its process, where nothing else of the plugin is."""


SPECIFIED: Final[Mapping[str, Call]] = {
    name: call for name, each in tuple(globals().items()) if callable(each) and (call := call_of(each)) is not None
}
"""Every hook by its name, with how it is called."""
SECURE: Final = frozenset(name for name, call in SPECIFIED.items() if call.secure)
"""Those that guard something."""
