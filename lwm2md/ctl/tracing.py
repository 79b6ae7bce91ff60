"""The commands that show what goes over the wire: the last messages of a device, and traces."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lwm2md.ctl.client import Client, path_of
from lwm2md.ctl.errors import DONE, USAGE, CommandError
from lwm2md.ctl.following import follow
from lwm2md.ctl.output import Output, complain
from lwm2md.ctl.tables import show

DURATION: Final = 60.0
_ARROWS: Final = {"in": "→", "out": "←"}
_TRACES: Final = (
    "id",
    "endpoint",
    "address",
    "identity",
    "state",
    "reason",
    "created",
    "ends",
    "messages",
    "undecodable",
)


def messages(options: Namespace, client: Client, output: Output) -> int:
    """``messages``: the last ones from and to a device."""
    found = client.get(path_of("devices", options.endpoint, "messages"), {"limit": options.limit})
    _lines(found["items"], output)
    return DONE


def traces(options: Namespace, client: Client, output: Output) -> int:
    """``traces``: those that run or have ended; or one of them, its file for Wireshark, or its end."""
    if options.trace is None:
        if options.pcapng is not None or options.remove:
            raise CommandError("traces: --pcapng and --remove take the ID of a trace", USAGE)
        heads = [name.upper() for name in _TRACES]
        output.items(client.get("/v1/traces")["items"], heads, _TRACES)
        return DONE
    where = path_of("traces", options.trace)
    if options.pcapng is not None:
        secret = client.get(where)["secrets"]
        _write(options.pcapng, client.download(f"{where}/pcapng"), secret)
    if options.remove:
        client.request("DELETE", where)
        output.said(f"{show(options.trace)} has ended, and is removed")
    elif options.pcapng is None:
        output.facts(client.get(where))
    return DONE


def trace(options: Namespace, client: Client, output: Output) -> int:
    """``trace``: show messages as they come, for a while or until it is interrupted; then remove the trace."""
    if [options.endpoint, options.address, options.identity].count(None) != 2:
        raise CommandError("trace: one of ENDPOINT, --address and --identity is expected", USAGE)
    if options.secrets and options.pcapng is None:
        raise CommandError("trace: --secrets is for the file that --pcapng names", USAGE)
    if options.pcapng is not None:
        _write(options.pcapng, b"", options.secrets)  # what can't be written is told now, not at the end
    names = ("endpoint", "address", "identity", "duration")
    asked = {name: getattr(options, name) for name in names}
    if options.secrets:
        asked["secrets"] = True
    if options.limit is not None:
        asked["limit"] = options.limit
    where = path_of("traces", client.request("POST", "/v1/traces", body=asked).document["id"])
    try:
        with suppress(KeyboardInterrupt):
            _follow(client, where, output)
        if options.pcapng is not None:
            _write(options.pcapng, client.download(f"{where}/pcapng"), options.secrets)
    finally:
        with suppress(CommandError):
            client.request("DELETE", where)
    return DONE


def message_line(message: Mapping[str, Any]) -> str:
    """A message in one line: when (UTC), from (→) or to (←) whom, and what."""
    moment = str(message["time"] or "").partition("T")[2].rstrip("Z")
    whole, _, fraction = moment.partition(".")
    arrow = _ARROWS.get(message["direction"], "?")
    return f"{whole}.{fraction:0<3} {show(message['peer'])} {arrow} {show(message['line'])}"


def _follow(client: Client, where: str, output: Output) -> None:
    for event in follow(client, {}, None, sleep=time.sleep, note=complain, path=f"{where}/messages"):
        if event.type == "ended":
            return
        _lines([event.document], output)


def _lines(found: Iterable[Mapping[str, Any]], output: Output) -> None:
    for message in found:
        output.document(message, [message_line(message)])


def _write(name: str, data: bytes, secret: bool) -> None:
    path = Path(name)
    try:
        if secret:
            path.touch(mode=0o600)
            path.chmod(0o600)
        path.write_bytes(data)
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}", USAGE) from None
