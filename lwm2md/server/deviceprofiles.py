"""What is known of how a device wants to be treated: its timers, sizes, formats and abilities (`field.md`, profiles).

RULES: a value that nobody has said is None, and then the settings of the daemon hold. Devices of one kind share one
record, so that a profile costs a device nothing but the reference.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs


@attrs.frozen(slots=True, kw_only=True)
class DeviceProfile:
    """What holds for a device; every value that is None was not said.

    ``name`` is the profile that stands first. ``awake`` is how long the device listens after an exchange, ``nat`` how
    long it can be reached after its last uplink and ``grace`` how long it may be overdue, in seconds; ``ack_timeout``
    (seconds) and ``max_retransmit`` are the engine's for it (RFC 7252 4.8), ``block_size`` is in bytes (RFC 7959).
    ``formats`` are names in the order in which they are to be tried, ``composite`` and ``fetch`` whether the device
    answers composite operations and FETCH, ``observations`` how many it can keep, ``send`` whether its Send is taken.
    """

    name: str | None = None
    awake: float | None = None
    ack_timeout: float | None = None
    max_retransmit: int | None = None
    block_size: int | None = None
    formats: tuple[str, ...] | None = None
    composite: bool | None = None
    fetch: bool | None = None
    observations: int | None = None
    nat: float | None = None
    grace: float | None = None
    send: Literal["accept", "refuse"] | None = None


UNSAID: Final = DeviceProfile()
"""Of a device of which nobody has said anything."""
