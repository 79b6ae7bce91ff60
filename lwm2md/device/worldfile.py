"""A world file as a whole: settings of the device, its Objects, its behaviour and its events.

RULES: everything that is wrong is told at once, with the keys that lead to it; what is right is read although something
else is wrong. The shell reads the file, and the recordings that it names, and hands their text in. The command line
stands over the file: the version that it gives decides which models the values are checked against.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Any, Final

import attrs

from lwm2md.coap import numbers
from lwm2md.device import fields
from lwm2md.device.behaviour import (
    ADDRESS,
    DEEDS,
    DEREGISTER,
    DIE,
    NO_BEHAVIOUR,
    OFFLINE,
    REBOOT,
    SET,
    Behaviour,
    Event,
)
from lwm2md.device.faults import Fault, WorldErrors
from lwm2md.device.fields import Faults, Table, Wrong
from lwm2md.device.objects import DEFAULT_HISTORY, Child
from lwm2md.device.reach import WAKES
from lwm2md.device.script import Script
from lwm2md.device.sending import Sending
from lwm2md.device.worldobjects import Builder
from lwm2md.device.worldvalues import Context, ReadFile
from lwm2md.lwm2m.formats import NUMBERS
from lwm2md.lwm2m.models import Models
from lwm2md.lwm2m.paths import ROOT, Path, PathError

VERSIONS: Final = ("1.0", "1.1", "1.2")
DEFAULT_VERSION: Final = "1.1"
DEFAULT_INTERVAL: Final = 10.0
MAX_LIFETIME: Final = 2**31 - 1

RESERVED: Final = frozenset({"ep", "lt", "lwm2m", "b", "Q", "sms", "pid"})
"""The parameters of a Register that are no labels."""

_PLACE: Final = re.compile(r"at line ([0-9]+),")
_SENDABLE: Final = ("senml-cbor", "senml-json", "lwm2m-cbor")
_ENDINGS: Final = ("cancel", "keep")
_FIRST_ERROR: Final = 0x80
_LAST_ERROR: Final = 0xBF


@attrs.frozen(slots=True)
class WorldFile:
    """What a world file says; None where it says nothing. Strings may have places for the device's name and number."""

    script: Script
    server: str | None = None
    endpoint: str | None = None
    fleet: int | None = None
    stagger: float | None = None
    interval: float | None = None
    version: str | None = None
    lifetime: int | None = None
    queue: bool | None = None
    labels: tuple[tuple[str, str], ...] = ()
    path: str | None = None
    formats: tuple[str, ...] = ()
    report_format: str | None = None
    profile: int = 0
    binding: str = "U"
    history: int = DEFAULT_HISTORY
    keeps: bool = False
    sendings: tuple[Sending, ...] = ()


@attrs.frozen(slots=True)
class Given:
    """What the command line says that decides how a file is read; None where it says nothing."""

    version: str | None = None
    interval: float | None = None


def parse(text: str, *, file: str, models: Models, read_file: ReadFile, given: Given | None = None) -> WorldFile:
    """Read the text of a world file; ``file`` is what faults call it. Raises WorldErrors."""
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = _PLACE.search(str(error))
        reason = str(error) if isinstance(error, ValueError) else "tables in tables without end"
        raise WorldErrors([Fault(file, "", f"TOML ({reason})", line=int(found[1]) if found else 0)]) from error
    return read(content, file=file, models=models, read_file=read_file, given=given)


def read(
    content: Mapping[str, Any], *, file: str, models: Models, read_file: ReadFile, given: Given | None = None
) -> WorldFile:
    """Read the table that a world file's TOML holds. Raises WorldErrors."""
    given = given or Given()
    faults = Faults(file)
    top = Table(faults, "", content)
    found = _device(top.table("device") or Table(faults, "device", {}))
    version = given.version or found.version or DEFAULT_VERSION
    context = Context(given.interval or found.interval or DEFAULT_INTERVAL, read_file)
    builder = Builder(models, version, context)
    own = top.table("objects"), top.table("values")
    if own[0] is not None:
        builder.objects(own[0])
    if own[1] is not None:
        builder.values(own[1])
    children = tuple(child for table in top.tables("child") if (child := _child(table, builder.behind())) is not None)
    scripted = own != (None, None) or bool(children)
    supported = builder.supported()
    behaviour = _behaviour(top.table("behaviour") or Table(faults, "behaviour", {}))
    events = tuple(event for table in top.tables("event") if (event := _event(table, builder)) is not None)
    sendings = tuple(sending for table in top.tables("send") if (sending := _sending(table)) is not None)
    seed = top.take("seed", fields.text, "")
    top.end()
    if faults.found:
        raise WorldErrors(faults.found)
    script = Script(
        supported if scripted else None,
        builder.contents(),
        builder.motions(),
        behaviour,
        events,
        seed,
        children,
    )
    return attrs.evolve(found, script=script, sendings=sendings)


def _device(table: Table) -> WorldFile:
    found = WorldFile(
        Script(),
        table.take("server", fields.text, None),
        table.take("endpoint", fields.text, None),
        table.take("fleet", fields.whole(1, 1_000_000), None),
        table.take("stagger", fields.seconds(0), None),
        table.take("interval", fields.seconds(0.1), None),
        table.take("version", fields.choice(VERSIONS), None),
        table.take("lifetime", fields.whole(1, MAX_LIFETIME), None),
        table.take("queue", fields.flag, None),
        _labels(table),
        table.take("path", _path, None),
        table.take("formats", fields.array(fields.choice(NUMBERS)), ()),
        table.take("report-format", fields.choice(NUMBERS), None),
        table.take("profile", fields.whole(0, 6), 0),
        table.take("binding", _binding, "U"),
        table.take("history", fields.whole(0, 100_000), DEFAULT_HISTORY),
        table.take("unacknowledged", fields.choice(_ENDINGS), _ENDINGS[0]) != _ENDINGS[0],
    )
    table.end()
    return found


def _child(table: Table, builder: Builder) -> Child | None:
    endpoint = table.need("endpoint", fields.text)
    prefix = table.need("prefix", _segment)
    described = table.table("objects")
    if described is not None:
        builder.objects(described)
    for motion in builder.motions():
        table.complain("objects", f"values that stay: {motion.path} of a device behind a gateway does not move")
    table.end()
    return None if endpoint is None or prefix is None else Child(endpoint, prefix, builder.contents())


def _segment(value: Any) -> str:
    text = fields.text(value)
    if not text.isascii() or not text.isalnum() or text.isdigit():
        raise Wrong("letters and digits that are no number, such as d01")
    return text


def _labels(table: Table) -> tuple[tuple[str, str], ...]:
    labels = table.table("labels")
    if labels is None:
        return ()
    for key, value in labels:
        if key in RESERVED or not (key.isascii() and key.isidentifier()):
            labels.complain(key, "a name of letters, digits and _ that is no parameter of the registration", value)
    return tuple((key, labels.take(key, _label, "")) for key, _ in labels)


def _behaviour(table: Table) -> Behaviour:
    sleep, default = table.table("sleep"), NO_BEHAVIOUR
    awake = asleep = None
    wakes, keeps_port = default.wakes, default.keeps_port
    if sleep is not None:
        awake = sleep.need("awake", fields.seconds(0.1))
        asleep = sleep.take("asleep", fields.seconds(0.1), None)
        wakes = sleep.take("wakes-for", fields.array(fields.choice(WAKES), 0), wakes)
        keeps_port = sleep.take("keep-port", fields.flag, keeps_port)
        sleep.end()
    wrong = table.table("wrong")
    every, code = 0, default.wrong_code
    if wrong is not None:
        every = wrong.need("every", fields.whole(1, 1_000_000)) or 0
        code = wrong.take("code", _error_code, code)
        wrong.end()
    found = Behaviour(
        awake,
        asleep,
        table.take("drop", fields.whole(1, 1_000_000), 0),
        every,
        code,
        table.take("late", fields.span, default.late),
        table.take("loss", fields.number(0, 1), 0.0),
        wakes,
        keeps_port,
    )
    table.end()
    return found


def _event(table: Table, builder: Builder) -> Event | None:
    do = table.need("do", fields.choice(DEEDS))
    every = table.take("every", fields.seconds(1), None)
    at = table.take("at", fields.seconds(0), every)
    if at is None:
        table.complain("at", "a number of seconds from the start, or 'every'")
    back = table.take("back", fields.seconds(0), 1.0 if do == REBOOT else None) if do in _RETURNING else None
    quiet = table.take("quiet", fields.flag, False) if do == ADDRESS else False
    path, value = ROOT, None
    if do == SET:
        found, wish = table.need("path", _resource), table.need("value", fields.anything)
        if found is not None and wish is not None:
            path = found
            try:
                value = builder.value_at(path, wish)
            except Wrong as wrong:
                table.complain("value", str(wrong), wish)
    if do is not None:
        table.end()
    return None if do is None or at is None else Event(do, at, every, back, path, value, quiet)


_RETURNING: Final = (REBOOT, DEREGISTER, DIE, OFFLINE)


def _sending(table: Table) -> Sending | None:
    paths = table.need("paths", fields.array(_target))
    every = table.take("every", fields.seconds(0.1), None)
    collect = table.take("collect", fields.seconds(0.1), None)
    on_change = table.take("on-change", fields.flag, False)
    if every is None and not on_change:
        table.complain("every", "a number of seconds, or 'on-change'")
    named = table.take("format", fields.choice(_SENDABLE), None)
    confirmable = table.take("confirmable", fields.flag, True)
    table.end()
    number = None if named is None else NUMBERS[named]
    return None if paths is None else Sending(paths, every, collect, on_change, confirmable, number)


def _resource(value: Any) -> Path:
    path = _target(value)
    if len(path) < 3:
        raise Wrong("the path of a resource such as /3/0/0")
    return path


def _target(value: Any) -> Path:
    try:
        return Path.parse(fields.text(value))
    except PathError as error:
        raise Wrong(f"the path of a resource such as /3/0/0 ({error})") from error


def _binding(value: Any) -> str:
    if not isinstance(value, str) or "U" not in value or set(value) - set("UMHTSN") or len(set(value)) < len(value):
        raise Wrong("some of the letters U M H T S N, with U, such as 'U' or 'UT'")
    return value


def _path(value: Any) -> str:
    text = fields.text(value)
    if not text.startswith("/") or any(c in text for c in '<>"?#,; ') or "//" in text:
        raise Wrong("an absolute path such as /lwm2m")
    return text


def _label(value: Any) -> str:
    return str(value) if type(value) is int and abs(value) < 1 << 63 else fields.text(value)


def _error_code(value: Any) -> int:
    try:
        code = numbers.parse_dotted(value) if isinstance(value, str) else 0
    except ValueError:
        code = 0
    if not _FIRST_ERROR <= code <= _LAST_ERROR:
        raise Wrong("the code of an error such as '5.03'")
    return code
