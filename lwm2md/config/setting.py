"""One setting as the schema has it, and how a field of a section's class says what it is."""

from __future__ import annotations

from typing import Any, Final

import attrs

from lwm2md.config.values import Kind

SETTING: Final = "lwm2md.setting"
"""Where the metadata of a field has its `Setting`."""


@attrs.frozen
class Setting:
    """What the schema says about one key: its ``kind``, ``default`` as text, a line of help, if a reload applies it."""

    key: str
    kind: Kind
    default: str
    help: str
    reloadable: bool


def setting(kind: Kind, default: str, help: str, *, reloadable: bool = False) -> Any:  # noqa: A002
    """Return a field that is the setting of its name; ``default`` is written as in the file."""
    made = Setting("", kind, default, help, reloadable)
    return attrs.field(default=kind.parse(default), metadata={SETTING: made})
