"""What is found out of a device while it is served: its habits, and how it departs from the specifications."""

from __future__ import annotations

import attrs


@attrs.define(slots=True, eq=False, weakref_slot=False)
class Habits:
    """What was learned of a device from requests that it answered, or not; times in seconds.

    ``awake`` is how long it listens, ``nat`` how long it can be reached after its last uplink; ``unanswered`` counts
    requests without an answer since it was ``heard`` of last.
    """

    awake: float | None = None
    nat: float | None = None
    unanswered: int = 0
    heard: float = 0.0


@attrs.define(slots=True, eq=False, weakref_slot=False)
class Deviation:
    """One way in which a device departs from the specifications, passed over in what it sent.

    ``first`` and ``last`` are Unix seconds; ``sample`` is the beginning of the newest payload that has it, if one has.
    Of the ``count`` so many are ``stored``.
    """

    kind: str
    first: float
    last: float
    count: int = 1
    sample: bytes | None = None
    stored: int = 0
