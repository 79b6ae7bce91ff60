"""The commands that steer how devices register and report: Update trigger, Disable, Mute Send, profile ids, templates.

RULES: the Server Object's Resources (OMA Core, Object 1) are found through what the device has registered; of several
instances nobody here can say which one is this server's, so the operator does.
"""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path as File
from typing import Final

from lwm2md.ctl import commands
from lwm2md.ctl.client import Client, pages, path_of
from lwm2md.ctl.errors import DONE, FAILED, USAGE, CommandError
from lwm2md.ctl.output import Output
from lwm2md.ctl.tables import show
from lwm2md.lwm2m.paths import Path

_SERVER: Final = 1
_DISABLE: Final = 4
_DISABLE_TIMEOUT: Final = 5
_UPDATE_TRIGGER: Final = 8
_MUTE_SEND: Final = 23
_PROFILES: Final = ("pid", "links")
_TEMPLATES: Final = ("name", "match", "observe")


def update_trigger(options: Namespace, client: Client, output: Output) -> int:
    """``update-trigger``: let a device send an Update."""
    return _execute(options, client, output, _server(options, client), _UPDATE_TRIGGER)


def disable(options: Namespace, client: Client, output: Output) -> int:
    """``disable``: let a device de-register and be silent, for so long if that is said."""
    instance = _server(options, client)
    if options.seconds is not None and (
        _write(options, client, output, (instance, _DISABLE_TIMEOUT), str(options.seconds)) == FAILED
    ):
        return FAILED
    return _execute(options, client, output, instance, _DISABLE)


def mute(options: Namespace, client: Client, output: Output) -> int:
    """``mute``: let a device send nothing by itself, or with ``--off`` what it wants."""
    return _write(options, client, output, (_server(options, client), _MUTE_SEND), "false" if options.off else "true")


def _write(options: Namespace, client: Client, output: Output, place: tuple[int, int], value: str) -> int:
    path = Path((_SERVER, *place))
    asked = Namespace(**vars(options), path=path, values=[value], partial=False, string=False)
    return commands.write(asked, client, output)


def _execute(options: Namespace, client: Client, output: Output, instance: int, resource: int) -> int:
    asked = Namespace(**vars(options), path=Path((_SERVER, instance, resource)), arguments=())
    return commands.execute(asked, client, output)


def _server(options: Namespace, client: Client) -> int:
    """The instance of the Server Object that is about this server."""
    if options.instance is not None:
        return int(options.instance)
    listed = [Path.parse(path) for path in client.get(path_of("devices", options.endpoint))["objects"]]
    found = [path[1] for path in listed if path[0] == _SERVER and len(path) > 1]
    if len(found) > 1:
        paths = ", ".join(f"/{_SERVER}/{instance}" for instance in found)
        raise CommandError(f"{options.endpoint} has {paths}: --instance says which one is this server's", USAGE)
    return found[0] if found else 0


def profile_ids(options: Namespace, client: Client, output: Output) -> int:
    """``profile-ids``: the profile ids that stand for an object list."""
    found = pages(client, "/v1/profile-ids", {}, options.limit)
    output.items(found, [name.upper() for name in _PROFILES], _PROFILES)
    return DONE


def profile_id(options: Namespace, client: Client, output: Output) -> int:
    """``profile-id``: show, set or remove what one of them stands for."""
    path = path_of("profile-ids", options.pid)
    if options.remove:
        client.request("DELETE", path)
        output.said(f"{show(options.pid)} stands for nothing any more")
        return DONE
    if options.links is None:
        output.facts(client.get(path))
    else:
        output.facts(client.request("PUT", path, body={"links": options.links}).document)
    return DONE


def templates(options: Namespace, client: Client, output: Output) -> int:
    """``templates``: the observation templates that are in force."""
    found = pages(client, "/v1/observation-templates", {}, options.limit)
    output.items(found, [name.upper() for name in _TEMPLATES], _TEMPLATES)
    return DONE


def template(options: Namespace, client: Client, output: Output) -> int:
    """``template``: show, put or take back one of them."""
    path = path_of("observation-templates", options.template)
    if options.remove:
        client.request("DELETE", path)
        output.said(f"{show(options.template)} is taken back, and what it observed")
    elif options.file is None:
        output.facts(client.get(path))
    else:
        output.facts(client.request("PUT", path, body=_document(options.file)).document)
    return DONE


def _document(name: str) -> object:
    try:
        return json.loads(File(name).read_bytes())
    except OSError as error:
        raise CommandError(f"{name}: {error.strerror or error}", USAGE) from None
    except ValueError as error:
        raise CommandError(f"{name}: {error}", USAGE) from None
