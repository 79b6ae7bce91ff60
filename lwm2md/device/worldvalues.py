"""Values and functions of a world file, read against the model of their Resource.

RULES: a value has the type and range of its model; times may be written as TOML's date and time with an offset; without
a model the type is the one given, or is inferred from the value. What a function can reach lies within the range where
that can be told beforehand, and is cut to it where not.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import attrs

from lwm2md.device import fields
from lwm2md.device.faults import nearest
from lwm2md.device.fields import Table, Wrong
from lwm2md.device.functions import Counter, Cycle, Function, Sine, Walk
from lwm2md.device.recordings import replay
from lwm2md.lwm2m.models import ResourceModel, check_range, limits
from lwm2md.lwm2m.values import ResourceType, Value, ValueError_, from_json, infer

ReadFile = Callable[[str], str]
"""The text of a file that the world file names; raises OSError or ValueError."""

_TYPE_LIMITS: Final = {
    ResourceType.INTEGER: (-(2.0**63), 2.0**63 - 1025),
    ResourceType.UNSIGNED: (0.0, 2.0**64 - 2049),
    ResourceType.TIME: (-(2.0**63), 2.0**63 - 1025),
}
_NUMBERS: Final = frozenset({*_TYPE_LIMITS, ResourceType.FLOAT})
_LEAST_STEP: Final = 1e-6


@attrs.frozen(slots=True)
class Context:
    """What reading a function takes: the pace in seconds where none is given, and how to get at other files."""

    interval: float
    read_file: ReadFile


def typed(model: ResourceModel) -> fields.Reader[Value]:
    """A value of the Resource."""

    def read(value: Any) -> Value:
        try:
            found = from_json(model.type, _moment(value))
            check_range(model, found)
        except ValueError_ as error:
            span = f" {model.range}" if model.range else ""
            raise Wrong(f"{model.type.value}{span} for {model.name} ({error})") from error
        if isinstance(found, float) and not math.isfinite(found):
            raise Wrong("a finite number")
        return found

    return read


def inferred(value: Any) -> ResourceType:
    """The type that a value has by itself. Raises Wrong."""
    if hasattr(value, "tzinfo"):
        return ResourceType.TIME
    if not isinstance(value, str | int | float):
        raise Wrong("a string, a number, true or false, a time, or a table that says more")
    try:
        return infer(value)
    except ValueError_ as error:
        raise Wrong(f"a value ({error})") from error


def inferred_of_function(table: Table) -> ResourceType:
    """The type that the values of a function have where nothing else says it."""
    name = table.take("function", fields.anything, "")
    if name == "constant" and "value" in table:
        return inferred(table.take("value", fields.anything, None))
    return {"counter": ResourceType.INTEGER, "toggle": ResourceType.BOOLEAN}.get(str(name), ResourceType.FLOAT)


def span_of(model: ResourceModel) -> tuple[float, float]:
    """The least and the greatest number that the Resource takes."""
    low, high = limits(model)
    least, greatest = _TYPE_LIMITS.get(model.type, (-math.inf, math.inf))
    return max(low, least), min(high, greatest)


def function(table: Table, model: ResourceModel, context: Context) -> Function | Value | None:
    """The function that ``table`` describes, or the value of a constant one; None where it is wrong."""
    name = table.need("function", fields.choice(_FUNCTIONS))
    if name is None:
        for _ in table.rest():
            continue
        return None
    numeric, read = _FUNCTIONS[name]
    if numeric and model.type not in _NUMBERS:
        table.complain("function", f"one that gives values of type {model.type.value} ({model.name})", name)
    return read(table, model, context)


def _walk(table: Table, model: ResourceModel, context: Context) -> Function | None:
    least, greatest = span_of(model)
    low = table.take("min", fields.number(least, greatest), least)
    high = table.take("max", fields.number(low, greatest), greatest)
    start = table.take("start", fields.number(low, high), None)
    step = table.take("step", fields.number(0), 1.0)
    every = _every(table, context)
    if start is None and high - low > fields.LARGEST:
        start = min(max(0.0, low), high)
    return Walk(start, step, low, high, every)


def _sine(table: Table, model: ResourceModel, context: Context) -> Function | None:
    least, greatest = span_of(model)
    period = table.need("period", fields.seconds(0, above=True))
    offset = table.take("offset", fields.number(least, greatest), 0.0)
    room = min(greatest - offset, offset - least)
    amplitude = table.take("amplitude", fields.number(0, max(0.0, room)), 1.0)
    phase = table.take("phase", _phase, 0.0)
    every = _every(table, context)
    return None if period is None else Sine(period, amplitude, offset, phase, every)


def _square(table: Table, model: ResourceModel, context: Context) -> Function | None:
    period = table.need("period", fields.seconds(0.2))
    low, high = table.need("low", typed(model)), table.need("high", typed(model))
    return None if period is None or low is None or high is None else Cycle((low, high), period / 2)


def _toggle(table: Table, model: ResourceModel, context: Context) -> Function | None:
    values = table.take("values", fields.array(typed(model), 2), None)
    every = _every(table, context)
    if values is None:
        if model.type not in (ResourceType.BOOLEAN, *_NUMBERS):
            table.complain("values", "the values to change between", None)
            return None
        off_on: tuple[Value, Value] = (False, True) if model.type is ResourceType.BOOLEAN else (0, 1)
        values = off_on
    return Cycle(values, every)


def _counter(table: Table, model: ResourceModel, context: Context) -> Function | None:
    least, greatest = span_of(model)
    start = table.take("start", fields.number(least, greatest), min(max(0.0, least), greatest))
    limit = table.take("max", fields.number(start, greatest), max(start, min(greatest, 2.0**31 - 1)))
    step = table.take("step", fields.number(_LEAST_STEP), 1.0)
    return Counter(start, step, _every(table, context), limit)


def _replay(table: Table, model: ResourceModel, context: Context) -> Function | None:
    name = table.need("file", fields.text)
    column = table.take("column", _column, 2)
    loop = table.take("loop", fields.flag, False)
    if name is None:
        return None
    try:
        found = replay(context.read_file(name), column, model.type, loop=loop)
        for value in found.values:
            check_range(model, value)
    except Wrong as wrong:
        table.complain("file", str(wrong), name)
    except ValueError_ as error:
        table.complain("file", f"values for {model.name} ({error})", name)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        table.complain("file", f"a file that can be read ({reason})", name)
    else:
        return found
    return None


def _constant(table: Table, model: ResourceModel, context: Context) -> Value | None:
    return table.need("value", typed(model))


_Read = Callable[[Table, ResourceModel, Context], Function | Value | None]
_FUNCTIONS: Final[dict[str, tuple[bool, _Read]]] = {
    "constant": (False, _constant),
    "walk": (True, _walk),
    "sine": (True, _sine),
    "square": (False, _square),
    "toggle": (False, _toggle),
    "counter": (True, _counter),
    "replay": (False, _replay),
}


def _every(table: Table, context: Context) -> float:
    return table.take("every", fields.seconds(0.1), context.interval)


def _phase(value: Any) -> float | None:
    if value == "random":
        return None
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise Wrong("a share of the period from 0 to 1, or 'random'")
    return float(value)


def _column(value: Any) -> int | str:
    if isinstance(value, str):
        return value
    if type(value) is not int or not 2 <= value <= 1000:
        raise Wrong("the number of a column from 2 up, or its name")
    return value


def _moment(value: Any) -> Any:
    """A date and time of TOML as Unix seconds. Raises Wrong."""
    if not hasattr(value, "isoformat"):
        return value
    if getattr(value, "tzinfo", None) is None or not hasattr(value, "timestamp"):
        raise Wrong("a date and time with an offset, such as 2026-01-01T00:00:00Z")
    return int(value.timestamp())


def nearest_id(wanted: int, present: Any) -> str | None:
    """The id that was probably meant."""
    return nearest(str(wanted), map(str, present))
