"""lwm2md: a LwM2M device-management daemon on Twisted."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lwm2md.plugins.marks import hookimpl as hookimpl

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Give plugins ``lwm2md.hookimpl``; whoever needs none does not load pluggy for it."""
    if name == "hookimpl":
        from lwm2md.plugins.marks import hookimpl  # noqa: PLC0415

        return hookimpl
    raise AttributeError(f"module 'lwm2md' has no attribute {name!r}")
