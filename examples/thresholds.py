"""An example plugin: alert rules, here one: a temperature above a limit."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lwm2md import hookimpl
from lwm2md.plugins import Alert, AlertRule, Delivered, PluginContext, Setting, values

API_VERSION = 1
RESTARTABLE = True

_limit = 40.0


@hookimpl
def lwm2md_settings() -> Sequence[Setting]:
    """The keys of ``[plugin:thresholds]``."""
    return [Setting("limit", values.number(-273, 1000), "40", "Temperature in °C above which there is an alert")]


@hookimpl(reactor=True)
def lwm2md_start(context: PluginContext) -> None:
    """Take the limit."""
    global _limit  # noqa: PLW0603
    _limit = context.settings["limit"]


@hookimpl
def lwm2md_alert_rules() -> Sequence[AlertRule]:
    """One rule; its alert is cleared by the first value that is low again."""
    return [AlertRule("too-hot", ["device.value"], _too_hot)]


def _too_hot(event: Delivered) -> Alert | None:
    for row in json.loads(event.document)["values"]:
        if row["path"].startswith("/3303/") and row["path"].endswith("/5700"):
            return Alert(event.endpoint, "warning", f"{row['path']} is {row['value']}", raised=row["value"] > _limit)
    return None
