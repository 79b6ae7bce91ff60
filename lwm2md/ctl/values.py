"""From what was typed in a shell to what the API takes: paths, pairs and typed values.

RULES: the server knows how to read text for every type of its models but Boolean, so text is what is sent where a model
is known. Without a model a JSON number, true or false is sent as such and anything else as text.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from lwm2md.lwm2m.paths import Path, PathError

Types = Mapping[tuple[int, int], str]
"""The type of each Resource by Object and Resource ID, as far as models know it."""

_PAIR: Final = re.compile(r"(/?[0-9]+(?:/[0-9]+)*)=(.*)", re.DOTALL)
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhd])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_NUMBER: Final = 40


def lwm2m_path(text: str) -> Path:
    """The type of a PATH argument; the leading slash may be missing. Few commands take the root."""
    try:
        path = Path.parse(text if text.startswith("/") or not text else f"/{text}")
    except PathError as error:
        raise ArgumentTypeError(f"{text!r} is no LwM2M path: {error}") from None
    if not path:
        raise ArgumentTypeError("'/' names no Object")
    return path


def any_path(text: str) -> Path:
    """The type of a PATH of a composite operation, which may be the root."""
    return Path() if text == "/" else lwm2m_path(text)


def pair(text: str) -> tuple[str, str]:
    """The type of a NAME=VALUE argument."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ArgumentTypeError(f"{text!r} is not of the form NAME=VALUE")
    return name, value


def resource_pair(text: str) -> tuple[str, str]:
    """The type of a PATH=VALUE argument, where PATH may be relative ("14=+02", "6/0=1", "/3/0/14=+02")."""
    found = _PAIR.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not of the form PATH=VALUE")
    return found[1], found[2]


def execute_argument(text: str) -> tuple[str, str | None]:
    """The type of an argument of Execute: a digit, or DIGIT=VALUE."""
    name, equals, value = text.partition("=")
    if not (len(name) == 1 and name.isascii() and name.isdigit()):
        raise ArgumentTypeError(f"{text!r} is not of the form ARG=VALUE with ARG from 0 to 9")
    return name, value if equals else None


def label(text: str) -> tuple[str, str | None]:
    """The type of a label: key=value sets it, key- removes it."""
    key, equals, value = text.partition("=")
    if key and equals:
        return key, value
    if len(text) > 1 and text.endswith("-"):
        return text[:-1], None
    raise ArgumentTypeError(f"{text!r} is neither key=value nor key-")


def attribute(text: str) -> tuple[str, float | int | None]:
    """The type of a notification attribute: NAME=NUMBER sets it, NAME= unsets it."""
    name, value = pair(text)
    if not value:
        return name, None
    number = number_of(value)
    if number is None:
        raise ArgumentTypeError(f"{text!r}: {value!r} is no number")
    return name, number


def number(text: str) -> float | int:
    """The type of an option that takes a number."""
    found = number_of(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no number")
    return found


def duration(text: str) -> int:
    """The type of a DURATION argument, such as 90s, 15m, 24h or 7d, in seconds."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ArgumentTypeError(f"{text!r} is no duration such as 90s, 15m, 24h or 7d")
    return int(found[1]) * _SECONDS[found[2]]


def number_of(text: str) -> float | int | None:
    """The JSON number that the text is, or None."""
    try:
        found = msgspec.json.decode(text) if len(text) <= _LONGEST_NUMBER else None
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    return found if isinstance(found, int | float) and not isinstance(found, bool) else None


def types_of(objects: Mapping[str, Any]) -> Types:
    """The types in the document of ``/v1/devices/{endpoint}/objects``."""
    return {
        (item["id"], resource["id"]): resource["type"] for item in objects["items"] for resource in item["resources"]
    }


def typed(text: str, kind: str | None) -> object:
    """What to send for ``text``, to a Resource of the type ``kind``, None where no model is known."""
    if kind is not None and kind != "boolean":
        return text
    lowered = text.lower()
    if kind == "boolean" and lowered in _TRUE | _FALSE:
        return lowered in _TRUE
    if lowered in ("true", "false"):
        return lowered == "true"
    found = number_of(text)
    return text if found is None else found


def whole_path(base: Path, key: str) -> Path:
    """The path that a key of ``values`` stands for: absolute, or relative to ``base``. Raises PathError."""
    return Path.parse(key if key.startswith("/") else f"{base}/{key}" if base else f"/{key}")


def body_of_values(base: Path, pairs: Sequence[tuple[str, str]], types: Types | None) -> dict[str, object]:
    """``values`` with each text typed; without ``types`` all stay text. Raises PathError."""
    found: dict[str, object] = {}
    for key, text in pairs:
        path = whole_path(base, key)
        found[key] = text if types is None else typed(text, kind_of(path, types))
    return found


def kind_of(path: Path, types: Types) -> str | None:
    """The type of the Resource at or above ``path``."""
    return types.get((path[0], path[2])) if len(path) > 2 else None
