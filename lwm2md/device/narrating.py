"""What happens between a device and its server, in lines for people.

RULES: a line begins with an arrow, to the device or from it; after the operation come its path, what it carried, and
behind the second arrow the code and content of the answer. What the server sent is shown as far as it can be printed.
"""

from __future__ import annotations

from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Response
from lwm2md.coap.message import Message, Options, parse_uint
from lwm2md.device.faults import printable
from lwm2md.lwm2m.formats import NAMES
from lwm2md.lwm2m.values import Value

_LONGEST: Final = 60
_NAMES: Final = {
    "read": "Read",
    "written": "Write",
    "executed": "Execute",
    "created": "Create",
    "deleted": "Delete",
    "discovered": "Discover",
    "attributes written": "Write-Attributes",
    "observed": "Observe",
    "observation cancelled": "Cancel",
}


def asked(message: Message, response: Response, what: str) -> str:
    """A request of the server and its answer; ``what`` is what it led to, in the words of ``requests``."""
    name = _NAMES.get(what) or (what.capitalize() if what != "refused" else numbers.code_name(message.code))
    carried = _content(message.options, message.payload)
    target = "/" + "/".join(message.path)
    return f"← {' '.join(filter(None, (name, target, carried)))} → {_answer(response)}"


def told(path: object, response: Response, value: Value | None) -> str:
    """A notification about ``path``: its value if there is a single one, else how much there is."""
    if response.code >= numbers.BAD_REQUEST:
        return f"→ Notify {path} {_answer(response)}"
    content = _content(response.options, response.payload)
    return f"→ Notify {path} {content if value is None else f'= {shown(value)}'}".rstrip()


def sent(content: Response, answer: Message | str, what: str) -> str:
    """A Send and its answer, or the lack of one, and what follows from that."""
    carried = _content(content.options, content.payload)
    got = answer if isinstance(answer, str) else _answer(Response(answer.code, answer.payload, answer.options))
    return f"→ Send {carried} → {got}{f', {what}' if what else ''}"


def shown(value: Value) -> str:
    """A value for people, cut short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = printable(value.hex() if isinstance(value, bytes) else str(value))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _answer(response: Response) -> str:
    code = numbers.dotted(response.code)
    if response.code >= numbers.BAD_REQUEST:
        return f"{code} {_text(response.payload)}".rstrip()
    return f"{code} {_content(response.options, response.payload)}".rstrip()


def _content(options: Options, payload: bytes) -> str:
    if not payload:
        return ""
    number = next((parse_uint(value) for option, value in options if option == numbers.CONTENT_FORMAT), None)
    if number == numbers.LINK_FORMAT:
        return f"links {len(payload)} bytes"
    return f"{'' if number is None else NAMES.get(number, str(number))} {len(payload)} bytes".lstrip()


def _text(payload: bytes) -> str:
    text = payload.decode("utf-8", "replace")
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
