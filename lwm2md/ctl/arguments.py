"""The command line of lwm2mctl: its commands, their arguments, and the options that all of them take.

RULES: options that all commands take stand before or after the command's name. ``run`` of what is parsed is the
function of the command.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from lwm2md import __version__
from lwm2md.ctl import (
    commands,
    completing,
    doctoring,
    keeping,
    managing,
    modelling,
    plugging,
    remembered,
    securing,
    tracing,
    values,
    watching,
)
from lwm2md.ctl.client import DEFAULT_URL

if TYPE_CHECKING:
    from lwm2md.plugins.contributions import Command

_ENDPOINT: Final = ("endpoint", {"metavar": "ENDPOINT", "help": "the Endpoint Client Name of a device"})
_PATH: Final = ("path", {"metavar": "PATH", "type": values.lwm2m_path, "help": "a path such as /3/0/0"})
_PATHS: Final = (
    "paths",
    {"metavar": "PATH", "type": values.any_path, "nargs": "+", "help": "paths such as /3/0/0; / is everything"},
)
_FORCE: Final = (
    "--force",
    {"action": "store_true", "help": "send it, whatever the device's model and list of Objects say"},
)
_FORMAT: Final = ("--format", {"metavar": "NAME", "help": "the Content-Format, such as tlv or senml-cbor"})
_WAITING: Final = (
    (
        "--when",
        {
            "choices": ("now", "next-contact", "window"),
            "help": "now, with its next contact, or when it listens (window)",
        },
    ),
    ("--ttl", {"type": values.duration, "metavar": "DURATION", "help": "how long it may wait, such as 12h"}),
    (
        "--retries",
        {"type": int, "choices": range(101), "metavar": "N", "help": "how often it is sent again if nobody answers"},
    ),
)
_OBSERVED: Final = ("endpoint", {"metavar": "ENDPOINT|ID", "help": "a device, or the id of an observation"})
_WHERE: Final = (
    "path",
    {"metavar": "PATH", "type": values.lwm2m_path, "nargs": "?", "help": "the path that is observed at the device"},
)
_STATES: Final = ("online", "sleeping", "not-responding", "offline")
_OPERATION_STATES: Final = ("queued", "sent", "done", "failed", "expired", "cancelled")
_LONGEST: Final = 3600.0


def _seconds(text: str) -> float:
    found = values.number_of(text)
    if found is None or not 0 <= found <= _LONGEST:
        raise ArgumentTypeError(f"{text!r} is no number of seconds from 0 to {_LONGEST:g}")
    return found


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _instance(text: str) -> int:
    return values.lwm2m_path(f"/{text}")[0]


_EVERY: Final = (
    "--watch",
    {
        "dest": "every",
        "type": _seconds,
        "nargs": "?",
        "const": 2.0,
        "default": None,
        "metavar": "SECONDS",
        "help": "again and again (default: every 2 seconds)",
    },
)


class _CommandParser(ArgumentParser):
    """Takes options between the arguments of a list too, as in ``create ENDPOINT PATH --id 5 KEY=VALUE``."""

    _sorting = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse options first, then the rest; called by the parser of the command's name."""
        if self._sorting:
            return super().parse_known_args(args, namespace)
        self._sorting = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._sorting = False


def parser(environment: Mapping[str, str], more: Iterable[Command] = ()) -> ArgumentParser:
    """The parser; ``environment`` gives LWM2MD_URL, ``more`` are the commands of plugins."""
    top = ArgumentParser("lwm2mctl", description="The lwm2md daemon from the command line.", allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"lwm2mctl {__version__}")
    _global_options(top, environment.get("LWM2MD_URL") or DEFAULT_URL)
    shared = _CommandParser(add_help=False, argument_default=SUPPRESS, allow_abbrev=False)
    _global_options(shared, SUPPRESS)
    found = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_CommandParser)

    def add(name: str, run: Any, summary: str, *arguments: tuple[str, Mapping[str, Any]]) -> None:
        command = found.add_parser(name, help=summary, description=summary, parents=[shared], allow_abbrev=False)
        command.set_defaults(run=run)
        for argument, how in arguments:
            command.add_argument(argument, **how)

    _looking(add)
    _telling(add)
    _asking(add)
    _managing(add)
    keeping.add_to(add)
    _templating(add)
    _doctoring(add)
    _remembered(add)
    _watching(add)
    _tracing(add)
    securing.arguments(add, ("--limit", {"type": _count, "metavar": "N", "help": "at most so many"}), _EVERY)
    plugging.add_to(add, _EVERY)
    for command in more:
        add(command.name, command.run, command.summary, *command.arguments)
    return top


def _global_options(target: ArgumentParser, url: str) -> None:
    absent = SUPPRESS if url is SUPPRESS else None
    target.add_argument("--url", default=url, help=f"the API (default: $LWM2MD_URL or {DEFAULT_URL})")
    target.add_argument("--token-file", default=absent, metavar="FILE", help="the file with the token")
    target.add_argument(
        "--json", action="store_true", default=absent or False, help="JSON, as where output is no terminal"
    )
    target.add_argument(
        "--wait", type=_seconds, default=absent, metavar="SECONDS", help="how long to wait for a device (default: 10)"
    )
    target.add_argument(
        "--timeout", type=_seconds, default=absent, metavar="SECONDS", help="how long a device may take to answer"
    )


def _looking(add: Any) -> None:
    limit = ("--limit", {"type": _count, "metavar": "N", "help": "at most so many"})
    of = {"dest": "of", "metavar": "ENDPOINT", "help": "only those of this device"}
    add("status", commands.status, "Show the state of the daemon", _EVERY)
    add(
        "devices",
        commands.devices,
        "List devices",
        ("--selector", {"metavar": "TERMS", "help": "terms on labels, such as farm=north,enclosure!=7"}),
        ("--state", {"choices": _STATES, "help": "only those in this state"}),
        limit,
        _EVERY,
    )
    given = {"metavar": "NAME", "help": "give it this profile by hand"}
    taken = {"action": "store_true", "help": "take away the profile that was given to it by hand"}
    add(
        "device",
        commands.device,
        "Show one device",
        _ENDPOINT,
        ("--profile", given),
        ("--no-profile", taken),
        _EVERY,
    )
    add(
        "deviations",
        commands.deviations,
        "List in which ways devices depart from the specifications",
        ("of", {"nargs": "?", "metavar": "ENDPOINT", "help": "those of this device"}),
        ("--kind", {"metavar": "KIND", "help": "the devices that do it in this way"}),
        limit,
        _EVERY,
    )
    add("objects", commands.objects, "List the Objects of a device", _ENDPOINT, _EVERY)
    add(
        "operations",
        commands.operations,
        "List operations",
        ("--endpoint", of),
        ("--state", {"choices": _OPERATION_STATES, "help": "only those in this state"}),
        limit,
        _EVERY,
    )
    add("operation", commands.operation, "Show one operation", ("id", {"metavar": "ID"}), _EVERY)
    add("queue", commands.queue, "List what waits for a device", _ENDPOINT, limit, _EVERY)
    one = ("id", {"nargs": "?", "metavar": "ID"})
    all_of = {"dest": "of", "metavar": "ENDPOINT", "help": "all operations of this device"}
    add("cancel", commands.cancel, "Cancel an operation, or all of a device", one, ("--endpoint", all_of))
    where = {"nargs": "?", "metavar": "ENDPOINT", "help": "only those of this device"}
    add("observations", commands.observations, "List observations", ("of", where), limit, _EVERY)
    add("observation", commands.observation, "Show one observation", _OBSERVED, _WHERE, _EVERY)
    labels = {"nargs": "+", "type": values.label, "metavar": "LABEL", "help": "key=value sets, key- removes"}
    add("label", commands.label, "Set and remove labels", _ENDPOINT, ("labels", labels))
    add("forget", commands.forget, "Remove everything that is known of a device", _ENDPOINT)
    add("reload", commands.reload, "Let the daemon read its configuration again")


def _telling(add: Any) -> None:
    limit = ("--limit", {"type": _count, "metavar": "N", "help": "at most so many"})
    shell = ("shell", {"choices": ("bash", "zsh"), "help": "the shell that is to complete"})
    action = {"nargs": "?", "choices": tuple(modelling.ACTIONS), "default": "list", "help": "(default: list)"}
    what = {"nargs": "*", "metavar": "WHAT", "help": "OBJECT [VERSION] to show, OBJECT VERSION to delete, FILE to put"}
    add(
        "models",
        modelling.models,
        "List, show, put and delete object models",
        ("action", action),
        ("what", what),
        limit,
        _EVERY,
    )
    add("health", commands.health, "Show whether the daemon lives and serves", _EVERY)
    add("metrics", commands.metrics, "Show all counters")
    add("openapi", commands.openapi, "Show the API's document for programs (OpenAPI)")
    add("completion", completing.script, "Print what makes a shell complete commands", shell)


def _asking(add: Any) -> None:
    string = ("--string", {"action": "store_true", "help": "send values as strings, whatever they look like"})
    source = {"choices": ("device", "twin"), "default": "device", "help": "twin: the value last read or notified"}
    written = {"nargs": "+", "metavar": "VALUE", "help": "one value for PATH, or PATH=VALUE... below it"}
    partial = ("--partial", {"action": "store_true", "help": "leave what is not named as it is"})
    arguments = {"nargs": "*", "type": values.execute_argument, "metavar": "ARG=VALUE", "help": "such as 0=text"}
    initial = {"nargs": "*", "type": values.resource_pair, "metavar": "KEY=VALUE", "help": "such as 5700=21.5"}
    identifier = ("--id", {"dest": "instance", "type": _instance, "metavar": "N", "help": "the new Object Instance ID"})
    changes = {"nargs": "+", "type": values.attribute, "metavar": "NAME=VALUE", "help": "such as pmin=10; pmin= unsets"}
    how = (_FORMAT, _FORCE, *_WAITING)
    once = (_FORCE, *_WAITING[:2])
    at = (_ENDPOINT, _PATH)
    add("read", commands.read, "Read from a device", *at, ("--source", source), *how, _EVERY)
    add("write", commands.write, "Write to a device", *at, ("values", written), partial, string, *how)
    add("execute", commands.execute, "Execute a Resource", *at, ("arguments", arguments), *once)
    new = (("values", initial), identifier, string)
    add("create", commands.create, "Create an Object Instance", *at, *new, _FORMAT, *once)
    add("delete", commands.delete, "Delete an Object Instance, or a Resource Instance", *at, *how[1:])
    depth = ("--depth", {"type": int, "choices": range(4), "help": "how many levels below PATH (LwM2M 1.2)"})
    add("discover", commands.discover, "List paths and their attributes", *at, depth, *how[1:], _EVERY)
    changed = ("attributes", changes)
    add("attributes", commands.attributes, "Write notification attributes", *at, changed, *how[1:])
    _composing(add, string, how)


def _composing(add: Any, string: Any, how: Any) -> None:
    pairs = {"nargs": "*", "type": values.resource_pair, "metavar": "PATH=VALUE", "help": "such as /3/0/14=+02"}
    removed = ("--delete", {"type": values.lwm2m_path, "action": "append", "default": [], "metavar": "PATH"})
    add("read-composite", commands.read_composite, "Read several paths at once", _ENDPOINT, _PATHS, *how, _EVERY)
    add(
        "write-composite",
        commands.write_composite,
        "Write values of several Objects at once, or delete Resource Instances",
        _ENDPOINT,
        ("values", pairs),
        removed,
        string,
        *how,
    )


def _managing(add: Any) -> None:
    limit = ("--limit", {"type": _count, "metavar": "N", "help": "at most so many"})
    which = {
        "type": _instance,
        "metavar": "N",
        "help": "the Server Object Instance of this server, if there are several",
    }
    silence = {
        "type": values.duration,
        "dest": "seconds",
        "metavar": "DURATION",
        "help": "for how long, such as 15m (default: as the device has it)",
    }
    links = {"nargs": "?", "metavar": "LINKS", "help": "the list that it is to stand for, such as '</1/0>,</3/0>'"}
    remove = {"action": "store_true", "help": "let it stand for nothing"}
    add("update-trigger", managing.update_trigger, "Let a device send an Update", _ENDPOINT, ("--instance", which))
    add(
        "disable",
        managing.disable,
        "Let a device de-register and be silent for a while",
        _ENDPOINT,
        ("--for", silence),
        ("--instance", which),
    )
    add(
        "mute",
        managing.mute,
        "Let a device send no values by itself (Mute Send), or let it send them",
        _ENDPOINT,
        ("--off", {"action": "store_true", "help": "let it send"}),
        ("--instance", which),
    )
    add("profile-ids", managing.profile_ids, "List the profile ids that stand for an object list", limit, _EVERY)
    add(
        "profile-id",
        managing.profile_id,
        "Show, set or remove what a profile id stands for",
        ("pid", {"metavar": "PID", "help": "a profile id, such as oma:sensor"}),
        ("links", links),
        ("--remove", remove),
    )


def _templating(add: Any) -> None:
    limit = ("--limit", {"type": _count, "metavar": "N", "help": "at most so many"})
    add("templates", managing.templates, "List observation templates", limit, _EVERY)
    add(
        "template",
        managing.template,
        "Show, put or take back an observation template",
        ("template", {"metavar": "NAME", "help": "the name of a template"}),
        ("file", {"metavar": "FILE", "nargs": "?", "help": "put what is in it, JSON, in force"}),
        ("--remove", {"action": "store_true", "help": "take it back, and what it observed"}),
    )


def _doctoring(add: Any) -> None:
    limit = ("--limit", {"type": _count, "metavar": "N", "help": "at most so many"})
    of = {"nargs": "?", "metavar": "ENDPOINT", "help": "this device, not the whole fleet"}
    pairs = {"type": values.pair, "action": "append", "default": []}
    match = {**pairs, "metavar": "WHAT=GLOB", "help": "manufacturer, model, firmware, endpoint; labels=TERMS"}
    says = {**pairs, "metavar": "NAME=VALUE", "help": "such as awake=20 or formats=tlv,text"}
    add("doctor", doctoring.doctor, "Say how a device is, or what is wrong in the fleet", ("of", of), _EVERY)
    add("profiles", doctoring.profiles, "List device profiles", limit, _EVERY)
    add(
        "profile",
        doctoring.profile,
        "Show, put or take back a device profile",
        ("profile", {"metavar": "NAME", "help": "the name of a profile"}),
        ("--match", match),
        ("--set", says),
        ("--priority", {"type": int, "metavar": "N", "help": "the highest comes first (default: 0)"}),
        ("--note", {"metavar": "TEXT", "help": "what it is for"}),
        ("--remove", {"action": "store_true", "help": "take back what was put"}),
    )


def _remembered(add: Any) -> None:
    limit = ("--limit", {"type": _count, "metavar": "N", "help": "at most so many"})
    below = {"metavar": "PATH", "type": values.lwm2m_path, "nargs": "?", "help": "only at and below this path"}
    moment = {"type": remembered.moment, "metavar": "TIME"}
    every = {
        "type": remembered.period,
        "dest": "period",
        "metavar": "DURATION",
        "help": "one row for so long, such as 60s or 15m",
    }
    add("twin", remembered.twin, "Show the values last known of a device", _ENDPOINT, ("path", below), _EVERY)
    add(
        "history",
        remembered.history,
        "Show what a device told of a path",
        _ENDPOINT,
        _PATH,
        ("--from", {**moment, "dest": "since", "help": "from this time on, or for so long, such as 24h"}),
        ("--to", {**moment, "dest": "until", "help": "before this time"}),
        ("--every", every),
        ("--aggregate", {"choices": remembered.AGGREGATES, "help": "what a row says of its values (default: mean)"}),
        limit,
    )


def _number(name: str) -> tuple[str, dict[str, Any]]:
    return f"--{name}", {"type": values.number, "metavar": "NUMBER"}


def _watching(add: Any) -> None:
    conditions = [_number(name) for name in watching.ATTRIBUTES]
    periods = [_number(name) for name in watching.OF_SEVERAL]
    watch = ("--watch", {"action": "store_true", "help": "go on and show the values as they come"})
    of = {"dest": "of", "metavar": "ENDPOINT", "help": "only those of this device"}
    how = (_FORMAT, _FORCE)
    add("observe", watching.observe, "Observe a path", _ENDPOINT, _PATH, *conditions, watch, *how)
    several = (_PATHS, *periods, watch, *how)
    add("observe-composite", watching.observe, "Observe several paths as one", _ENDPOINT, *several)
    add("unobserve", commands.unobserve, "Observe a path no longer", _OBSERVED, _WHERE)
    add(
        "events",
        watching.events,
        "Show events as they happen",
        ("--types", {"metavar": "TYPES", "help": "such as device.value,operation.*"}),
        ("--endpoint", of),
        ("--selector", {"metavar": "TERMS", "help": "terms on labels, such as farm=north"}),
        ("--after", {"metavar": "ID", "help": "replay what came after this event first"}),
    )


def _tracing(add: Any) -> None:
    limit = ("--limit", {"type": _count, "metavar": "N", "help": "at most so many messages"})
    add("messages", tracing.messages, "Show the last messages from and to a device", _ENDPOINT, limit, _EVERY)
    add(
        "trace",
        tracing.trace,
        "Show messages as they come",
        ("endpoint", {"nargs": "?", "metavar": "ENDPOINT", "help": "those of this device"}),
        ("--address", {"metavar": "PREFIX", "help": "those of these addresses, such as 10.0.0.0/8 or 10.1.2.3"}),
        ("--identity", {"metavar": "NAME", "help": "those of every peer that has proved this identity"}),
        (
            "--duration",
            {
                "type": values.number,
                "default": tracing.DURATION,
                "metavar": "SECONDS",
                "help": f"for how long (default: {tracing.DURATION:g})",
            },
        ),
        limit,
        ("--pcapng", {"metavar": "FILE", "help": "write them to a file for Wireshark at the end"}),
        ("--secrets", {"action": "store_true", "help": "in it, records of DTLS and the secrets that open them"}),
    )
    one = ("trace", {"nargs": "?", "metavar": "ID", "help": "only this one"})
    file = ("--pcapng", {"metavar": "FILE", "help": "write what it has to a file for Wireshark"})
    remove = ("--remove", {"action": "store_true", "help": "end it, and remove what it has"})
    add("traces", tracing.traces, "List, show, save and end traces", one, file, remove, _EVERY)
