"""The commands that are about the daemon itself and what it keeps: draining, backups, and going back to one."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from typing import Any, Final

from lwm2md.ctl.client import Client
from lwm2md.ctl.errors import DONE, PENDING
from lwm2md.ctl.output import Output

_DRAIN: Final = "/v1/drain"
_PAUSE: Final = 0.25


def drain(
    options: Namespace,
    client: Client,
    output: Output,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> int:
    """``drain``: let the daemon take nothing new, or see whether it does; ``--wait`` until that is done, or so long."""
    end = now() + (options.wait or 0.0)
    document = client.get(_DRAIN) if options.show else client.request("POST", _DRAIN).document
    while document["state"] != "drained" and now() < end:
        sleep(_PAUSE)
        document = client.get(_DRAIN)
    output.facts(document)
    return PENDING if options.wait and document["state"] != "drained" else DONE


def undrain(options: Namespace, client: Client, output: Output) -> int:
    """``undrain``: let the daemon take everything again."""
    output.facts(client.request("DELETE", _DRAIN).document)
    return DONE


def add_to(add: Any) -> None:
    """Add the commands to a parser."""
    show = {"action": "store_true", "help": "only see how far it is"}
    add("drain", drain, "Let the daemon take nothing new, end what is under way, store everything", ("--show", show))
    add("undrain", undrain, "Let the daemon take everything again")
