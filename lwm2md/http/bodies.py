"""Request bodies: the structs that routes take, and their decoding into problem documents when they don't fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from lwm2md.http.problems import FieldError, Problem, wrong_field
from lwm2md.server.definitions import Match
from lwm2md.server.deviceprofiles import ProfileValues
from lwm2md.server.templates import Observed, TemplateMatch, WishAttributes

T = TypeVar("T")
_WHERE: Final = re.compile(r"^(?P<message>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_FLOAT: Final = "got `float`"
_QUOTED: Final = re.compile(r"'([^']*)'|`([^`]*)`")
_LONG: Final = 16
_NAMED: Final = re.compile(r"field `(?P<name>[^`]*)`")


class DeviceBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes of a device: its operator's labels, and the profile that is given by hand; null removes one."""

    labels: dict[Annotated[str, msgspec.Meta(pattern="^[^=!,]+$")], str | None] = {}
    profile: str | msgspec.UnsetType | None = msgspec.UNSET


class DefinitionBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device profile: which devices it is for, and what it says of them; the highest ``priority`` comes first."""

    match: Match = Match()
    set: ProfileValues = ProfileValues()
    priority: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)] = 0
    note: Annotated[str, msgspec.Meta(max_length=1000)] = ""


class TemplateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An observation template: which devices it is for, and what it observes there."""

    observe: Observed
    match: TemplateMatch = TemplateMatch()


class ValueBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to write: one ``value``, or ``values`` by path."""

    value: object = msgspec.UNSET
    values: dict[str, object] | None = None


class PostBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Execute a Resource with ``arguments``, or create an instance with ``id`` and ``values`` below an Object."""

    arguments: dict[str, str | None] | None = None
    id: int | None = None
    values: dict[str, object] | None = None


class ProfileBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The object list that a profile id stands for, in the link format of a Register."""

    links: str


class ObservationBody(WishAttributes, frozen=True, forbid_unknown_fields=True):
    """A standing wish: notification attributes (OMA Core 5.1.2) and the Content-Format by name."""

    format: str | None = None


class CompositeBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A standing wish for several ``paths`` as one: its notification attributes, and the Content-Format by name."""

    paths: tuple[str, ...]
    format: str | None = None
    pmin: int | None = None
    pmax: int | None = None
    epmin: int | None = None
    epmax: int | None = None
    con: bool | int | None = None


class Body(Generic[T]):
    """The decoder of one kind of body; an ``optional`` one may be absent and then has its defaults.

    ``more`` is what its JSON Schema says beyond the type, and what the handler checks. What is wrong with a ``secret``
    one is told without long words of it: one may be a key in the wrong place.
    """

    __slots__ = ("_decoder", "more", "optional", "secret", "type")

    def __init__(
        self,
        type_: type[T],
        *,
        optional: bool = False,
        more: Mapping[str, Any] = MappingProxyType({}),
        secret: bool = False,
    ) -> None:
        self.type = type_
        self.secret = secret
        self.optional = optional
        self.more = more
        self._decoder = msgspec.json.Decoder(type_)

    def decode(self, data: bytes) -> T:
        """The body as its struct; raises `Problem` (bad-json, bad-body) with the member that is wrong."""
        if not data:
            if self.optional:
                return self.type()
            raise Problem("bad-body", "a JSON object is expected as the body")
        try:
            return self._decode(data)
        except msgspec.ValidationError as error:
            text = _QUOTED.sub(_without_long, str(error)) if self.secret else str(error)
            raise _misfit(text) from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Problem("bad-json", str(error)) from None
        except RecursionError:
            raise Problem("bad-json", "the body is nested too deeply") from None

    def _decode(self, data: bytes) -> T:
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as error:
            if _FLOAT not in str(error):
                raise
        # To JSON Schema, and to some languages, 5.0 is an integer.
        return msgspec.convert(_whole(msgspec.json.decode(data)), self.type)


class XmlBody:
    """A body of XML, which the handler reads; ``example`` shows what is expected."""

    __slots__ = ("example",)

    def __init__(self, example: str) -> None:
        self.example = example

    def decode(self, data: bytes) -> bytes:
        """The body as it is."""
        return data


def _whole(value: Any) -> Any:
    """The same with integers for numbers without a fraction."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _without_long(found: re.Match[str]) -> str:
    word = found[1] or found[2] or ""
    return "`...`" if len(word) >= _LONG and not word.startswith("$") else found[0]


def _misfit(message: str) -> Problem:
    found = _WHERE.match(message)
    reason = found["message"] if found else message
    path = (found["path"] or "$") if found else "$"
    named = _NAMED.search(reason)
    field = path.removeprefix("$").removeprefix(".")
    if named:
        field = f"{field}.{named['name']}" if field else named["name"]
    if not field:
        return Problem("bad-body", reason, errors=(FieldError("", reason),))
    return wrong_field("bad-body", field, reason)
