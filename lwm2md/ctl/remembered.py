"""The commands that show what the daemon remembers of a device's values: ``twin`` and ``history``.

RULES: the device is not asked, and need not be there.
"""

from __future__ import annotations

import re
import time
from argparse import ArgumentTypeError, Namespace
from typing import Final

from lwm2md.ctl.client import Client, pages, path_of
from lwm2md.ctl.errors import DONE
from lwm2md.ctl.output import Output
from lwm2md.ctl.values import duration
from lwm2md.timestamps import parse, rfc3339

AGGREGATES: Final = ("mean", "min", "max", "last", "count")
_PERIOD: Final = re.compile(r"[1-9][0-9]{0,5}[smhd]?", re.ASCII)
_TWIN: Final = ("path", "name", "value", "unit", "time", "source", "age")
_HISTORY: Final = ("time", "path", "value", "unit")


def moment(text: str) -> str:
    """The type of a TIME argument: RFC 3339, or how long ago, such as 15m or 7d."""
    try:
        return rfc3339(parse(text))
    except ValueError:
        pass
    try:
        return rfc3339(time.time() - duration(text))
    except (ArgumentTypeError, ValueError):
        raise ArgumentTypeError(
            f"{text!r} is no time such as 2026-01-31T12:00:00Z, and none so long ago as 90s, 15m or 7d"
        ) from None


def period(text: str) -> str:
    """The type of a DURATION argument that the API takes as it is."""
    if _PERIOD.fullmatch(text) is None:
        raise ArgumentTypeError(f"{text!r} is no duration such as 60s, 15m, 24h or 7d")
    return text


def twin(options: Namespace, client: Client, output: Output) -> int:
    """``twin``: the values last known of a device, where they came from and how old they are."""
    ids = map(str, options.path or ())
    document = client.get(path_of("devices", options.endpoint, "resources", *ids), {"source": "twin"})
    output.items(document["values"], [name.upper() for name in _TWIN], _TWIN)
    return DONE


def history(options: Namespace, client: Client, output: Output) -> int:
    """``history``: what a device told of a path, by time."""
    path = path_of("devices", options.endpoint, "history", *map(str, options.path))
    query = {"from": options.since, "to": options.until, "every": options.period, "aggregate": options.aggregate}
    output.items(pages(client, path, query, options.limit), [name.upper() for name in _HISTORY], _HISTORY)
    return DONE
