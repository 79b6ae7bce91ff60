"""The tables of the plugin's README, made of its code: ``python -m tests.mqtt.pages`` prints them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from lwm2md_mqtt.options import KEYS
from lwm2md_mqtt.plugin import GAUGES, HELP


def settings() -> Iterator[str]:
    """A row for each key."""
    for key in KEYS:
        default = "must be given" if key.default is None else f"`{key.default}`" if key.default else ""
        yield f"| `{key.name}` | {key.kind.range} | {default} | {key.help} |"


def metrics() -> Iterator[str]:
    """A row for each metric."""
    for name, text in HELP.items():
        yield f"| `lwm2md_plugin_mqtt_{name}_total` | {text} |"
    for name, text in GAUGES.items():
        yield f"| `lwm2md_plugin_mqtt_{name}` | {text} |"


if __name__ == "__main__":
    sys.stdout.write("\n".join((*settings(), "", *metrics(), "")))
