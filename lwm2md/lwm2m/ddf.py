"""Device Description Files: the XML in which OMA SpecWorks and vendors describe Objects (OMA TS Core, appendix D).

RULES: a file has one or more ``Object`` elements below its root, or one as its root. What a model is made of must be
there and right, and every fault is told with its line and element. What is only odd is taken with a remark: a range in
words, a type on an executable Resource, a URN of another Object. Descriptions are skipped as they are read. Entities
and DTDs are refused; size, depth and count are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.etree.ElementTree import ParseError

import attrs
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from lwm2md.lwm2m import ranges
from lwm2md.lwm2m.models import ObjectModel, ResourceModel
from lwm2md.lwm2m.values import ResourceType

MOST_BYTES: Final = 4 << 20
"""Bytes of the largest file that is read."""

_MOST_ELEMENTS: Final = 100_000
_MOST_OBJECTS: Final = 1000
_MOST_REMARKS: Final = 100
_DEEPEST: Final = 32
_LONGEST_NAME: Final = 255
_HIGHEST: Final = 65534
_WRONG: Final = -1

_SKIPPED: Final = frozenset({"Description", "Description1", "Description2"})
_VERSION: Final = re.compile(r"\d{1,5}(?:\.\d{1,5}){0,2}", re.ASCII)
_URN: Final = re.compile(r"urn:oma:lwm2m:[\w-]+:(\d{1,5})(?::(\d{1,5}\.\d{1,5}))?", re.ASCII)
_MARK: Final = b"\xef\xbb\xbf"
_BLANK: Final = b" \t\r\n"

_TYPES: Final[Mapping[str, ResourceType]] = {
    **{kind.value: kind for kind in ResourceType},
    "": ResourceType.NONE,
    "unsignedinteger": ResourceType.UNSIGNED,
}
_OPERATIONS: Final[Mapping[str, str]] = {"": "", "r": "R", "w": "W", "rw": "RW", "wr": "RW", "e": "E"}
_MULTIPLE: Final[Mapping[str, bool]] = {"multiple": True, "single": False}
_MANDATORY: Final[Mapping[str, bool]] = {"mandatory": True, "optional": False}


@attrs.frozen(slots=True)
class Remark:
    """What is wrong or odd at a place of a file; ``element`` is such as ``Object 3303/Item 5700/Type``."""

    line: int
    element: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.element}: {self.message}"


class DdfError(ValueError):
    """A file is refused, for its ``faults``: at least one."""

    def __init__(self, *faults: Remark) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = faults


@attrs.frozen(slots=True)
class Definitions:
    """What a file defines, and what was odd in it."""

    models: tuple[ObjectModel, ...]
    remarks: tuple[Remark, ...]


def read(data: bytes) -> Definitions:
    """The models of a file. Raises DdfError with everything that is wrong."""
    root = _parse(data)
    found = [root] if root.tag == "Object" else [child for child in root.children if child.tag == "Object"]
    if not found:
        raise DdfError(Remark(root.line, root.tag, "an Object element is expected in it"))
    if len(found) > _MOST_OBJECTS:
        raise DdfError(Remark(found[_MOST_OBJECTS].line, "Object", f"a file has at most {_MOST_OBJECTS} of them"))
    reader = _Reader()
    models: dict[tuple[int, str], ObjectModel] = {}
    for element in found:
        model = reader.object(element)
        if models.setdefault((model.id, model.version), model) is not model and model.id != _WRONG:
            reader.fault(element, f"Object {model.id}", f"version {model.version} is in this file already")
    if reader.faults:
        raise DdfError(*reader.faults)
    return Definitions(tuple(models.values()), tuple(reader.odd))


class _Element:
    """An element with what a model may be made of: its id, its children, its text."""

    __slots__ = ("children", "id", "line", "tag", "text")

    def __init__(self, tag: str, line: int, identifier: str | None) -> None:
        self.tag = tag
        self.line = line
        self.id = identifier
        self.children: list[_Element] = []
        self.text = ""

    def child(self, tag: str) -> _Element | None:
        return next((child for child in self.children if child.tag == tag), None)


class _Builder:
    """The parser's target: makes the tree, and refuses what is too large before it is made."""

    def __init__(self, skipped_lines: int) -> None:
        self.expat: Any = None
        self.root: _Element | None = None
        self._lines = skipped_lines
        self._path: list[_Element] = []
        self._skipping = 0
        self._count = 0

    @property
    def line(self) -> int:
        """The line where the parser is."""
        return self._lines + int(self.expat.CurrentLineNumber)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        self._count += 1
        if self._count > _MOST_ELEMENTS or len(self._path) + self._skipping >= _DEEPEST:
            raise DdfError(Remark(self.line, tag, "there are too many elements, or one in another too deep"))
        if self._skipping or tag in _SKIPPED:
            self._skipping += 1
            return
        element = _Element(tag.rpartition("}")[2], self.line, attributes.get("ID"))
        if self._path:
            self._path[-1].children.append(element)
        else:
            self.root = element
        self._path.append(element)

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._skipping:
            self._skipping -= 1
        else:
            self._path.pop()

    def data(self, text: str) -> None:
        """A piece of text; what is longer than any field may be is cut one character too late."""
        if not self._skipping:
            element = self._path[-1]
            if len(element.text) <= ranges.LONGEST:
                element.text += text[: ranges.LONGEST + 1]

    def close(self) -> _Element | None:
        """The root, when all was read."""
        return self.root


def _parse(data: bytes) -> _Element:
    if len(data) > MOST_BYTES:
        raise DdfError(Remark(1, "LWM2M", f"a file has at most {MOST_BYTES} bytes"))
    whole = data.removeprefix(_MARK).lstrip(_BLANK)
    builder = _Builder(data[: len(data) - len(whole)].count(b"\n"))
    parser = DefusedXMLParser(target=builder, forbid_dtd=True)
    builder.expat = parser.parser
    try:
        parser.feed(whole)
        root: _Element | None = parser.close()
    except ParseError as error:
        raise DdfError(Remark(builder.line, _where(builder), f"not well-formed XML: {error.msg}")) from None
    except DefusedXmlException:
        raise DdfError(Remark(builder.line, _where(builder), "DTDs and entities are refused")) from None
    except DdfError:
        raise
    except (ValueError, LookupError) as error:  # an encoding that nobody knows, or not for single bytes
        raise DdfError(Remark(builder.line, _where(builder), f"not readable: {error}")) from None
    assert root is not None
    return root


def _where(builder: _Builder) -> str:
    return "/".join(element.tag for element in builder._path[-3:]) or "LWM2M"


def _named(element: str, identifier: int) -> str:
    return element if identifier == _WRONG else f"{element} {identifier}"


class _Reader:
    """Makes models of elements, and notes what is wrong and what is odd."""

    def __init__(self) -> None:
        self.faults: list[Remark] = []
        self.odd: list[Remark] = []

    def fault(self, element: _Element, where: str, message: str) -> None:
        """Note what is wrong."""
        if len(self.faults) < _MOST_REMARKS:
            self.faults.append(Remark(element.line, where, message))

    def remark(self, element: _Element, where: str, message: str) -> None:
        """Note what is odd."""
        if len(self.odd) < _MOST_REMARKS:
            self.odd.append(Remark(element.line, where, message))

    def object(self, element: _Element) -> ObjectModel:
        """The model of an Object element."""
        number = element.child("ObjectID")
        identifier = self._identifier(number or element, "Object/ObjectID", None if number is None else number.text)
        where = _named("Object", identifier)
        return ObjectModel(
            identifier,
            self._version(element, "ObjectVersion", where, self._of_urn(element, identifier, where)),
            self._name(element, where),
            self._word(element, "MultipleInstances", where, _MULTIPLE),
            self._word(element, "Mandatory", where, _MANDATORY),
            self._resources(element, where),
            self._version(element, "LWM2MVersion", where, "1.0"),
        )

    def _of_urn(self, element: _Element, identifier: int, where: str) -> str:
        """The version that the URN names: where no other is given, it is this one."""
        urn = element.child("ObjectURN")
        match = None if urn is None else _URN.fullmatch(urn.text.strip())
        if urn is not None and match is not None and int(match[1]) != identifier:
            self.remark(urn, f"{where}/ObjectURN", "names another Object")
        return (match and match[2]) or "1.0"

    def _resources(self, element: _Element, where: str) -> dict[int, ResourceModel]:
        found: dict[int, ResourceModel] = {}
        listed = element.child("Resources")
        if listed is None:
            self.fault(element, where, "a Resources element is expected in it")
            return found
        for item in listed.children:
            if item.tag == "Item":
                model = self._resource(item, where)
                if found.setdefault(model.id, model) is not model and model.id != _WRONG:
                    self.fault(item, f"{where}/Item {model.id}", "this Resource is there already")
        return found

    def _resource(self, item: _Element, parent: str) -> ResourceModel:
        identifier = self._identifier(item, f"{parent}/Item", item.id)
        where = _named(f"{parent}/Item", identifier)
        operations = self._word(item, "Operations", where, _OPERATIONS)
        kind = self._type(item, where, operations)
        multiple = self._word(item, "MultipleInstances", where, _MULTIPLE)
        if multiple and operations == "E":
            self.remark(item, f"{where}/MultipleInstances", "what is executed has no instances, taken as Single")
        return ResourceModel(
            identifier,
            self._name(item, where),
            operations,
            kind,
            multiple and operations != "E",
            self._word(item, "Mandatory", where, _MANDATORY),
            self._range(item, where, kind),
            " ".join(self._text(item, "Units").split()),
        )

    def _type(self, item: _Element, where: str, operations: str) -> ResourceType:
        kind: ResourceType = self._word(item, "Type", where, _TYPES)
        if operations == "E" and kind is not ResourceType.NONE:
            self.remark(item, f"{where}/Type", "what is executed has no type")
            return ResourceType.NONE
        if operations != "E" and kind is ResourceType.NONE:
            self.fault(item.child("Type") or item, f"{where}/Type", "a type is expected")
        return kind

    def _range(self, item: _Element, where: str, kind: ResourceType) -> str:
        found = ranges.normal(self._text(item, "RangeEnumeration"), kind)
        if found is None:
            element = item.child("RangeEnumeration") or item
            self.remark(element, f"{where}/RangeEnumeration", "says nothing that can be checked")
        return found or ""

    def _identifier(self, element: _Element, where: str, text: str | None) -> int:
        digits = (text or "").strip()
        if digits.isdecimal() and digits.isascii() and len(digits) <= 5 and int(digits) <= _HIGHEST:
            return int(digits)
        self.fault(element, where, f"an id from 0 to {_HIGHEST} is expected")
        return _WRONG

    def _name(self, element: _Element, where: str) -> str:
        name = " ".join(self._text(element, "Name").split())
        if not 1 <= len(name) <= _LONGEST_NAME:
            self.fault(
                element.child("Name") or element, f"{where}/Name", f"1 to {_LONGEST_NAME} characters are expected"
            )
        return name

    def _version(self, element: _Element, tag: str, where: str, absent: str) -> str:
        text = self._text(element, tag).strip() or absent
        if _VERSION.fullmatch(text) is None:
            self.fault(element.child(tag) or element, f"{where}/{tag}", "a version such as 1.0 is expected")
        return text if "." in text else f"{text}.0"

    def _word(self, element: _Element, tag: str, where: str, words: Mapping[str, Any]) -> Any:
        word = "".join(self._text(element, tag).split()).lower()
        if word not in words or element.child(tag) is None:
            known = ", ".join(name for name in words if name)
            self.fault(element.child(tag) or element, f"{where}/{tag}", f"one of {known} is expected")
            return words[next(iter(words))]
        return words[word]

    def _text(self, element: _Element, tag: str) -> str:
        found = element.child(tag)
        return "" if found is None else found.text
