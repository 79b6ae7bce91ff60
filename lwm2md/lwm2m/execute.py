"""The arguments of Execute (OMA LwM2M Core, Execute): ``2='10.3',5``.

Rules: strict in both directions. An argument is a digit, used once, with or without a quoted value; a value has no
space, quotation mark, apostrophe or backslash, and only printable ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

Arguments = dict[int, str | None]

_VALUE: Final = re.compile(r"[!#-&(-\[\]-~]*")
_ARGUMENT: Final = re.compile(r"([0-9])(?:='([!#-&(-\[\]-~]*)')?")


class BadArguments(ValueError):  # noqa: N818 - named as the specification speaks of them
    """The arguments break the grammar; the message says where."""


def parse_arguments(payload: bytes) -> Arguments:
    """Read the payload of an Execute; empty is no arguments. Raises BadArguments."""
    try:
        text = payload.decode("ascii")
    except UnicodeDecodeError as error:
        raise BadArguments(f"byte {error.start} is not ASCII") from None
    arguments: Arguments = {}
    at = 0
    while at < len(text) or arguments:
        found = _ARGUMENT.match(text, at)
        if found is None:
            raise BadArguments(f"an argument expected at character {at}")
        number = int(found[1])
        if number in arguments:
            raise BadArguments(f"argument {number} twice")
        arguments[number] = found[2]
        at = found.end()
        if at == len(text):
            break
        if text[at] != ",":
            raise BadArguments(f"a comma expected at character {at}")
        at += 1
    return arguments


def format_arguments(arguments: Mapping[int, str | None]) -> bytes:
    """Write the payload of an Execute. Raises BadArguments for what the grammar has no form for."""
    return ",".join(_format(number, value) for number, value in arguments.items()).encode("ascii")


def _format(number: int, value: str | None) -> str:
    if not 0 <= number <= 9:
        raise BadArguments(f"argument {number} is not a digit")
    if value is None:
        return str(number)
    if _VALUE.fullmatch(value) is None:
        raise BadArguments(f"the value of argument {number} has a character that cannot be sent")
    return f"{number}='{value}'"
