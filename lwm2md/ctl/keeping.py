"""The commands that are about the daemon itself and what it keeps: draining, backups, and going back to one."""

from __future__ import annotations

import os
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path as File
from typing import Any, Final

from lwm2md.ctl.client import Client
from lwm2md.ctl.errors import DONE, FAILED, PENDING, UNREACHABLE, CommandError
from lwm2md.ctl.output import Output

_DRAIN: Final = "/v1/drain"
_BACKUP: Final = "/v1/backup"
_RESTORE: Final = "/v1/restore"
_PAUSE: Final = 0.25
_TRIES: Final = 2400
"""How often a daemon is asked again that is on its way from one state to another: ten minutes."""
_PATIENCE: Final = 3600.0
"""Seconds that the copy, or the check, of a large state may take."""


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


def backup(options: Namespace, client: Client, output: Output) -> int:
    """``backup``: a copy of all that the daemon keeps, in a file of the caller's; or how far one is."""
    if options.show or options.file is None:
        output.facts(client.get(_BACKUP))
        return DONE
    part = File(f"{options.file}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            size = client.save("POST", _BACKUP, file, _PATIENCE)
            os.fsync(file.fileno())
        part.replace(options.file)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise CommandError(f"{options.file}: {error.strerror}") from None
    except CommandError:
        part.unlink(missing_ok=True)
        raise
    output.document({"file": options.file, "bytes": size}, [f"{options.file}: {size} bytes"])
    return DONE


def restore(options: Namespace, client: Client, output: Output, sleep: Callable[[float], None] = time.sleep) -> int:
    """``restore``: let the daemon go back to a backup, and wait until it has; or what came of the last one."""
    if options.show or options.file is None:
        output.facts(client.get(_RESTORE))
        return DONE
    try:
        with open(options.file, "rb") as file:
            document = client.send("POST", _RESTORE, file, _PATIENCE)
    except OSError as error:
        raise CommandError(f"{options.file}: {error.strerror}") from None
    tries = 0
    while document["state"] == "restoring":
        sleep(_PAUSE)
        try:
            document = client.get(_RESTORE)
        except CommandError as error:
            tries += 1
            if error.status != UNREACHABLE or tries > _TRIES:
                raise
    output.facts(document)
    return DONE if document["state"] == "done" else FAILED


def add_to(add: Any) -> None:
    """Add the commands to a parser."""
    whither = ("file", {"metavar": "FILE", "nargs": "?", "help": "where it goes (without: as --show)"})
    whence = ("file", {"metavar": "FILE", "nargs": "?", "help": "a backup (without: as --show)"})
    shown = {"action": "store_true", "help": "only see what came of the last one"}
    add("backup", backup, "Make a copy of all that the daemon keeps, while it runs", whither, ("--show", shown))
    add("restore", restore, "Let the daemon go back to a backup", whence, ("--show", shown))
    show = {"action": "store_true", "help": "only see how far it is"}
    add("drain", drain, "Let the daemon take nothing new, end what is under way, store everything", ("--show", show))
    add("undrain", undrain, "Let the daemon take everything again")
