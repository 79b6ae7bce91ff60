"""What a class of settings is made of: one `Setting` a field, as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from lwm2md.config.values import Kind

_SETTING: Final = "lwm2md.setting"


@attrs.frozen
class Setting:
    """What the schema says about one key: its ``kind``, ``default`` as text, a line of help, if a reload applies it."""

    key: str
    kind: Kind
    default: str
    help: str
    reloadable: bool


def setting(kind: Kind, default: str, help: str, *, reloadable: bool = False) -> Any:  # noqa: A002
    """A field of a section's class."""
    found = Setting("", kind, default, help, reloadable)
    return attrs.field(default=kind.parse(default), metadata={_SETTING: found})


def settings_of(section: type) -> Iterator[Setting]:
    """Give the settings of a section's class, in the order of the class."""
    for field in attrs.fields(section):
        yield attrs.evolve(field.metadata[_SETTING], key=field.name.replace("_", "-"))
