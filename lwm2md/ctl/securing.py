"""The commands on who may come: the arguments of ``credentials``, the inbox of refused devices, the audit log."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections import deque
from typing import Any, Final

from lwm2md.ctl import values
from lwm2md.ctl.client import Client, pages, path_of
from lwm2md.ctl.errors import DONE
from lwm2md.ctl.output import Output
from lwm2md.ctl.tables import show

_REFUSED: Final = ("id", "cause", "endpoint", "identity", "address", "count", "last")
_AUDIT: Final = ("time", "by", "action", "subject", "details")
ACTIONS: Final = ("list", "show", "add", "generate", "rotate", "block", "unblock", "revoke", "import")
_SHORTEST: Final = 8
_LONGEST: Final = 64


def credentials(options: Namespace, client: Client, output: Output) -> int:
    """``credentials``: what proves an identity, and what is done with it."""
    from lwm2md.ctl import credentials as found  # noqa: PLC0415  who asks for something else doesn't pay for it

    return found.ACTIONS[options.action](options.credential, options, client, output)


def refused(options: Namespace, client: Client, output: Output) -> int:
    """``refused``: the inbox, or one of it, or one out of it."""
    if options.refused is None:
        found = pages(client, "/v1/refused", {"cause": options.cause}, options.limit)
        output.items(found, [name.upper() for name in _REFUSED], _REFUSED)
        return DONE
    path = path_of("refused", options.refused)
    if options.dismiss:
        client.request("DELETE", path)
        output.said(f"{show(options.refused)} is off the list")
    else:
        output.facts(client.get(path))
    return DONE


def admit(options: Namespace, client: Client, output: Output) -> int:
    """``admit``: let a refused device in."""
    from lwm2md.ctl.credentials import given_key  # noqa: PLC0415  as above

    key = given_key(options)
    body = {} if key is None else {"key": key}
    output.facts(client.request("POST", path_of("refused", options.refused, "admit"), body=body).document)
    return DONE


def audit(options: Namespace, client: Client, output: Output) -> int:
    """``audit``: the last records of the audit log, the newest below."""
    query = {"action": options.deed, "subject": options.subject}
    found = deque(pages(client, "/v1/audit", query, None), maxlen=options.limit)
    output.items(found, [name.upper() for name in _AUDIT], _AUDIT)
    return DONE


def arguments(add: Any, limit: Any, every: Any) -> None:
    """Add these commands to the command line; ``limit`` and ``every`` are the options that lists share."""
    action = {"nargs": "?", "choices": ACTIONS, "default": "list", "help": "(default: list)"}
    what = {"nargs": "*", "metavar": "WHAT", "help": "IDENTITY; FILE... to import, lines IDENTITY,KEY,ENDPOINT"}
    endpoint = {"action": "append", "metavar": "PATTERN", "help": "what it may register as; may be given again"}
    overlap = {"type": values.duration, "metavar": "DURATION", "help": "how long earlier keys stay valid, such as 7d"}
    pairs = {"type": values.pair, "action": "append", "default": [], "metavar": "KEY=VALUE"}
    key_file = ("--key-file", {"metavar": "FILE", "help": "the file with the key in hex; - is standard input"})
    add(
        "credentials",
        credentials,
        "List, show, add, generate, rotate, block, revoke and import credentials",
        ("action", action),
        ("credential", what),
        ("--endpoint", endpoint),
        ("--scope", {"choices": ("registration", "bootstrap"), "default": "registration"}),
        key_file,
        ("--overlap", overlap),
        ("--label", {**pairs, "help": "a label for the devices that register with it"}),
        ("--note", {"metavar": "TEXT", "help": "what it is for"}),
        ("--bytes", {"type": _size, "default": 16, "metavar": "N", "help": "length of a generated key (default: 16)"}),
        ("--out", {"metavar": "FILE", "help": "write a generated key to this new file, not to the terminal"}),
        ("--partial", {"action": "store_true", "help": "import what is right of a file, though lines are wrong"}),
        limit,
    )
    one = {"metavar": "ID", "help": "the id that the list shows"}
    add(
        "refused",
        refused,
        "List devices that were refused, and why",
        ("refused", {**one, "nargs": "?"}),
        ("--cause", {"metavar": "CAUSE", "help": "those of this cause only"}),
        ("--dismiss", {"action": "store_true", "help": "take it off the list"}),
        limit,
        every,
    )
    add("admit", admit, "Let a refused device in", ("refused", one), key_file)
    add(
        "audit",
        audit,
        "Show who did what when",
        ("--action", {"dest": "deed", "metavar": "ACTION", "help": "records of this action only"}),
        ("--subject", {"metavar": "SUBJECT", "help": "records on this subject only"}),
        limit,
    )


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and _SHORTEST <= int(text[:4]) <= _LONGEST):
        raise ArgumentTypeError(f"{text!r} is no whole number from {_SHORTEST} to {_LONGEST}")
    return int(text)
