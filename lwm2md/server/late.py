"""Registrations whose lifetime was over a moment ago: a late Update may bring one back, if the operator allows it.

That is outside the specification (OMA Core 6.2.2 has 4.04 for such an Update), for clients that give up on it where
they should register anew.

RULES: they are in memory only, the newest of them, for as long as the settings say; a restart forgets them.
"""

from __future__ import annotations

from typing import Final

from lwm2md.server.records import Registration
from lwm2md.server.state import State

_MOST: Final = 10_000


class Late:
    """The registrations that may come back, by the id in their Location."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known: dict[str, Registration] = {}

    def keep(self, registration: Registration, now: float) -> None:
        """Remember one that ends now, if that is wanted at all."""
        patience = self._state.settings.revive
        if patience:
            self._known[registration.id] = registration
            self._state.deadlines.at(now + patience, self._over, registration)
            if len(self._known) > _MOST:
                del self._known[next(iter(self._known))]

    def get(self, registration_id: str) -> Registration | None:
        """The one with that id."""
        return self._known.get(registration_id)

    def forget(self, registration_id: str) -> None:
        """It came back."""
        self._known.pop(registration_id, None)

    def _over(self, registration: Registration, now: float) -> None:
        if self._known.get(registration.id) is registration:
            del self._known[registration.id]
