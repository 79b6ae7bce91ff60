"""Topics: which messages are for whom.

RULES (MQTT 5.0, 4.7): ``/ + #`` and NUL have a meaning in topics, so an endpoint's name has them percent-encoded, and
``%`` with them; of an endpoint that is named like one of our own levels the first letter. What brokers refuse in any
topic (control characters and non-characters, 1.5.4) is encoded too, so that no device's name can end a connection.
Whatever is percent-encoded in a request's topic is understood.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

REQUESTS: Final = "requests"
RESPONSES: Final = "responses"
SENSOR: Final = "sensor"
NODES: Final = "nodes"

_LONGEST: Final = 65_535
_LONGEST_PROJECT: Final = 1024
_OURS: Final = frozenset({REQUESTS, RESPONSES})
_REFUSED: Final = "+#\\x00-\\x1f\\x7f-\\x9f\\ufdd0-\\ufdef" + "".join(
    f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000)
)
_SPECIAL: Final = re.compile(f"[/%{_REFUSED}]")
_WRONG: Final = re.compile(f"[{_REFUSED}]")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})?")


class TopicError(ValueError):
    """The topic is none that a request can have; the message says why."""


class Address(msgspec.Struct, frozen=True):
    """Whom a request is for, what is asked (a method in capitals), and of which path (``""`` for none).

    ``tail`` is the topic from the endpoint on, as it came: the answer goes to the same.
    """

    endpoint: str
    method: str
    path: str
    tail: str


def encode(name: str) -> str:
    """Return an Endpoint Client Name as one level of a topic."""
    if name in _OURS:
        return _escape(name[0]) + name[1:]
    return name if _SPECIAL.search(name) is None else _SPECIAL.sub(lambda found: _escape(found[0]), name)


def decode(level: str) -> str:
    """Return the name that a level of a topic stands for. Raises TopicError where it is no percent-encoded UTF-8."""
    if "%" not in level:
        return level
    try:
        return _ESCAPE.sub(_byte, level.encode()).decode()
    except UnicodeDecodeError:
        raise TopicError(f"{level[:100]!r} does not stand for UTF-8") from None


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def _byte(found: re.Match[bytes]) -> bytes:
    if found[1] is None:
        raise TopicError("% stands before two hexadecimal digits")
    return bytes((int(found[1], 16),))


def check_project(project: str) -> str:
    """Return what may stand before all topics. Raises ValueError for what brokers would take for something else."""
    levels = project.split("/")
    if not all(levels) or project.startswith("$"):
        raise ValueError("levels of a topic, such as lwm2md or site/lwm2md, not beginning with $")
    if _WRONG.search(project) or len(project.encode()) > _LONGEST_PROJECT:
        raise ValueError(f"at most {_LONGEST_PROJECT} bytes, without + # and control characters")
    return project


class Topics:
    """The topics of one ``project``; ``node`` is the daemon's name, in those that are about itself."""

    def __init__(self, project: str, node: str) -> None:
        self._project = project
        self._requests = f"{project}/{REQUESTS}/"
        self._responses = f"{project}/{RESPONSES}/"
        self._node = f"{project}/{NODES}/{encode(node)}/"
        self.online = self._node + "online"

    def filter(self, share: str = "") -> str:
        """The filter of all requests, shared by the daemons of a group if ``share`` names one (MQTT 5.0, 4.8.2)."""
        requests = f"{self._requests}#"
        return f"$share/{share}/{requests}" if share else requests

    def parse(self, topic: str) -> Address:
        """Take the topic of a request apart. Raises TopicError."""
        if not topic.startswith(self._requests):
            raise TopicError("not the topic of a request")
        tail = topic[len(self._requests) :]
        endpoint, _, rest = tail.partition("/")
        method, slash, path = rest.partition("/")
        if not (endpoint and method):
            raise TopicError("the topic has no endpoint and method")
        if len(topic.encode()) >= _LONGEST:
            raise TopicError("the topic is too long to be answered")
        return Address(decode(endpoint), method, slash + path, tail)

    def response(self, address: Address) -> str:
        """Where the answer to a request goes."""
        return self._responses + address.tail

    def sensor(self, level: str, path: str) -> str:
        """Where the values of a Resource go; ``level`` is the endpoint encoded, ``path`` such as ``/3303/0/5700``."""
        return f"{self._project}/{level}/{SENSOR}{path}"

    def event(self, level: str | None, name: str) -> str:
        """Where an event goes: to its device's topics, or to the daemon's own where it is about no device."""
        return f"{self._node}{name}" if level is None else f"{self._project}/{level}/{name}"
