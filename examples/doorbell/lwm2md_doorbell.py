"""A plugin of lwm2md that rings when a device registers: it writes a line into a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lwm2md import hookimpl
from lwm2md.plugins import ApiRequest, ApiRoute, Command, Delivered, PluginContext, PluginMetrics, Setting, values

API_VERSION = 1
RESTARTABLE = True


class Doorbell:
    """What this plugin knows while it runs."""

    def __init__(self) -> None:
        self.file = Path("doorbell.log")
        self.tune = "ding"
        self.rung: list[str] = []

    def use(self, settings: Mapping[str, Any]) -> None:
        """Go by these settings."""
        self.file, self.tune = Path(settings["file"]), settings["tune"]

    def ring(self, endpoint: str) -> None:
        """Write a line; this may take its time, it runs on the plugin's own thread."""
        with self.file.open("a") as file:
            file.write(f"{self.tune}: {endpoint}\n")
        self.rung.append(endpoint)


bell = Doorbell()


@hookimpl
def lwm2md_settings() -> Sequence[Setting]:
    """The keys of ``[plugin:doorbell]``."""
    return [
        Setting("file", values.text(4096), None, "File that the lines are written to"),
        Setting("tune", values.choice("ding", "dong"), "ding", "What each line begins with"),
    ]


@hookimpl
def lwm2md_start(context: PluginContext) -> None:
    """Begin with an empty list."""
    bell.use(context.settings)
    bell.rung.clear()
    context.log.info("the doorbell writes to {file}", file=bell.file)


@hookimpl
def lwm2md_reload(settings: Mapping[str, Any]) -> None:
    """Take another tune or file while running."""
    bell.use(settings)


@hookimpl
def lwm2md_stop() -> None:
    """Say goodbye."""
    with bell.file.open("a") as file:
        file.write("silence\n")


@hookimpl
def lwm2md_event_types() -> Sequence[str]:
    """Registrations are all that this plugin wants to hear of."""
    return ["device.registered"]


@hookimpl
def lwm2md_events(events: Sequence[Delivered]) -> None:
    """Ring once for each device."""
    for event in events:
        bell.ring(str(event.endpoint))


@hookimpl
def lwm2md_metrics(metrics: PluginMetrics) -> None:
    """Show how often it rang."""
    metrics.gauge("rung", "How often the doorbell rang since it was started", read=lambda: len(bell.rung))


@hookimpl
def lwm2md_http_routes() -> Sequence[ApiRoute]:
    """``GET /v1/plugins/doorbell/rung`` and ``DELETE`` of the same."""
    return [
        ApiRoute("GET", "rung", _list, "The devices that rang", answer=dict[str, list[str]]),
        ApiRoute("DELETE", "rung", _clear, "Forget who rang", status=204),
    ]


def _list(request: ApiRequest) -> dict[str, list[str]]:
    return {"items": list(bell.rung)}


def _clear(request: ApiRequest) -> None:
    bell.rung.clear()


@hookimpl
def lwm2md_commands() -> Sequence[Command]:
    """``lwm2mctl doorbell [--forget]``."""
    forget = ("--forget", {"action": "store_true", "help": "forget them"})
    return [Command("doorbell", "Show who rang the doorbell", _command, [forget])]


def _command(options: Any, client: Any, output: Any) -> int:
    if options.forget:
        client.request("DELETE", "/v1/plugins/doorbell/rung")
        output.said("forgotten")
    else:
        output.facts(client.get("/v1/plugins/doorbell/rung"))
    return 0
