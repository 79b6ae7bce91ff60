"""Query parameters: declared with a route, checked before its handler runs, described in the OpenAPI document.

RULES: a parameter that the route does not declare, one given twice, or a value that does not fit is refused by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl

import attrs

from lwm2md.http.problems import Problem, wrong_field

Query = Mapping[str, object]
MOST_FIELDS: Final = 50
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?")
_WHOLE: Final = re.compile(r"[0-9]{1,20}")


@attrs.frozen(slots=True)
class Parameter:
    """One query parameter. ``parse`` raises ValueError with what was expected; ``schema`` is its JSON Schema."""

    name: str
    summary: str
    schema: Mapping[str, object]
    parse: Callable[[str], object]
    default: object = None


def text(name: str, summary: str) -> Parameter:
    """A parameter that takes any text."""
    return Parameter(name, summary, {"type": "string"}, str)


def matching(name: str, summary: str, pattern: str) -> Parameter:
    """A parameter whose whole text matches ``pattern``."""
    expression = re.compile(pattern)

    def parse(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(f"text of the form {pattern} is expected")
        return value

    return Parameter(name, summary, {"type": "string", "pattern": f"^({pattern})$"}, parse)


def seconds(name: str, summary: str, most: float, default: float | None = None) -> Parameter:
    """A duration in seconds from 0 to ``most``."""

    def parse(value: str) -> float:
        number = float(value) if _NUMBER.fullmatch(value) else math.nan
        if not 0 <= number <= most:
            raise ValueError(f"a number of seconds from 0 to {most:g} is expected")
        return number

    return Parameter(name, summary, _bounded("number", 0, most, default), parse, default)


def whole(name: str, summary: str, least: int, most: int, default: int) -> Parameter:
    """A whole number from ``least`` to ``most``."""

    def parse(value: str) -> int:
        number = int(value) if _WHOLE.fullmatch(value) else least - 1
        if not least <= number <= most:
            raise ValueError(f"a whole number from {least} to {most} is expected")
        return number

    return Parameter(name, summary, _bounded("integer", least, most, default), parse, default)


def choice(name: str, summary: str, options: Sequence[str], default: str | None = None) -> Parameter:
    """One word of ``options``."""

    def parse(value: str) -> str:
        if value not in options:
            raise ValueError("one of " + ", ".join(options) + " is expected")
        return value

    schema: dict[str, object] = {"type": "string", "enum": list(options)}
    if default is not None:
        schema["default"] = default
    return Parameter(name, summary, schema, parse, default)


def parse_query(raw: bytes, declared: Mapping[str, Parameter], defaults: Query) -> Query:
    """The declared parameters of the query string ``raw``, with defaults for those absent; raises `Problem`."""
    if not raw:
        return defaults
    found = dict(defaults)
    seen = set()
    for name, value in _pairs(raw):
        parameter = declared.get(name)
        if parameter is None:
            known = ", ".join(declared) or "none"
            raise wrong_field("bad-query", name, f"is not a parameter of this route (known: {known})")
        if name in seen:
            raise wrong_field("bad-query", name, "is given twice")
        seen.add(name)
        try:
            found[name] = parameter.parse(value)
        except ValueError as error:
            raise wrong_field("bad-query", name, str(error)) from None
    return found


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS, separator="&"
        )
    except ValueError:
        raise Problem("bad-query", "the query is not percent-encoded UTF-8, or has too many fields") from None


def _bounded(kind: str, least: float, most: float, default: float | None) -> dict[str, object]:
    schema: dict[str, object] = {"type": kind, "minimum": least, "maximum": most}
    if default is not None:
        schema["default"] = default
    return schema


LIMIT: Final = whole("limit", "how many items at most", 1, 1000, 100)
AFTER: Final = text("after", "the `next` cursor of the page before")
FORCE: Final = choice(
    "force", "`true` sends it, whatever the device's model and list of Objects say", ("true", "false"), "false"
)
WAIT: Final = seconds("wait", "seconds to wait for the end of the operation", 3600, 10)
WHEN: Final = choice(
    "when",
    "`now` though the device may be asleep, with its `next-contact`, or as soon as it listens (`window`)",
    ("now", "next-contact", "window"),
    "window",
)
RETRIES: Final = Parameter(
    "retries",
    "how often a request may be sent again that nobody has answered",
    {"type": "integer", "minimum": 0, "maximum": 100},
    whole("retries", "", 0, 100, 0).parse,
)
TTL: Final = seconds("ttl", "seconds that the request may wait for the device", 30 * 86400)
TIMEOUT: Final = seconds("timeout", "seconds to wait for the device's answer", 3600)
FORMAT: Final = text("format", "the Content-Format to ask for or to write in, by name")
INT64: Final = choice("int64", "`string` writes integers beyond 53 bits as strings", ("string", "number"), "number")
