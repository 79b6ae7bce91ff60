"""Live registrations by what their messages show: the address they come from, or the identity that was proved.

Several may share one; nearly always there is just one, and then it costs no more than a reference.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from lwm2md.server.records import Registration

_Key = TypeVar("_Key", bytes, str)


class Senders(Generic[_Key]):
    """Registrations by one of those keys."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[_Key, Registration | dict[Registration, None]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._found

    def add(self, key: _Key, registration: Registration) -> None:
        """Find a registration by this key from now on."""
        found = self._found.setdefault(key, registration)
        if isinstance(found, dict):
            found[registration] = None
        elif found is not registration:
            self._found[key] = {found: None, registration: None}

    def remove(self, key: _Key, registration: Registration) -> None:
        """Find it no more; harmless where it was not found."""
        found = self._found.get(key)
        if isinstance(found, dict):
            found.pop(registration, None)
            if len(found) == 1:
                self._found[key] = next(iter(found))
        elif found is registration:
            del self._found[key]

    def find(self, key: _Key) -> Collection[Registration]:
        """Those with this key."""
        found = self._found.get(key)
        if found is None:
            return ()
        return found if isinstance(found, dict) else (found,)
