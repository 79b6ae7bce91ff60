"""DDF files as tests need them: short, right unless told otherwise."""

from __future__ import annotations

ITEM = {
    "Name": "Angle",
    "Operations": "R",
    "MultipleInstances": "Single",
    "Mandatory": "Mandatory",
    "Type": "Integer",
    "RangeEnumeration": "0..180",
    "Units": "deg",
    "Description": "Told at length.",
}
OBJECT = {
    "Name": "Door",
    "Description1": "A door.",
    "ObjectID": "32770",
    "ObjectURN": "urn:oma:lwm2m:x:32770",
    "LWM2MVersion": "1.1",
    "ObjectVersion": "1.2",
    "MultipleInstances": "Multiple",
    "Mandatory": "Optional",
}


def item(identifier: object = 0, **changes: str | None) -> str:
    """An Item on one line; None leaves an element out."""
    return f'<Item ID="{identifier}">{_elements(ITEM, changes)}</Item>'


def described(*items: str, **changes: str | None) -> str:
    """An Object: its own elements on one line, each Item on the next."""
    inner = "\n".join(items or (item(),))
    return (
        f'<Object ObjectType="MODefinition">{_elements(OBJECT, changes)}<Resources>\n{inner}\n</Resources>'
        "<Description2 /></Object>"
    )


def file(*objects: str) -> bytes:
    """A whole file; the first Object begins on line 3."""
    inner = "\n".join(objects or (described(),))
    return f'<?xml version="1.0" encoding="utf-8"?>\n<LWM2M>\n{inner}\n</LWM2M>\n'.encode()


def _elements(usual: dict[str, str], changes: dict[str, str | None]) -> str:
    values = {**usual, **changes}
    return "".join(f"<{name}>{text}</{name}>" for name, text in values.items() if text is not None)
