"""What is known of how a device wants to be treated: its timers, sizes, formats and abilities (`field.md`, profiles).

RULES: a value that nobody has said is None, and then the settings of the daemon hold. Devices of one kind share one
record, so that a profile costs a device nothing but the reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Final, Literal

import attrs
import msgspec

_DAY: Final = 86400

Seconds = Annotated[float, msgspec.Meta(ge=0.1, le=30 * _DAY)]
BlockSize = Literal[16, 32, 64, 128, 256, 512, 1024]
FormatName = Literal[
    "text",
    "opaque",
    "cbor",
    "tlv",
    "json",
    "senml-json",
    "senml-cbor",
    "senml-etch-json",
    "senml-etch-cbor",
    "lwm2m-cbor",
]


class ProfileValues(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a profile can say; every value that is absent is not said.

    ``awake`` is how long the device listens after an exchange, ``nat`` how long it can be reached after its last
    uplink and ``grace`` how long it may be overdue, in seconds; ``ack_timeout`` (seconds) and ``max_retransmit`` are
    those of RFC 7252 4.8 towards it, ``block_size`` is in bytes (RFC 7959). ``formats`` are in the order in which they
    are to be tried, ``composite`` and ``fetch`` say whether the device takes composite operations, and answers FETCH
    at all, ``observations`` how many it can keep, ``send`` whether its Send is taken.
    """

    awake: Seconds | None = None
    ack_timeout: Annotated[float, msgspec.Meta(ge=0.1, le=600)] | None = None
    max_retransmit: Annotated[int, msgspec.Meta(ge=0, le=20)] | None = None
    block_size: BlockSize | None = None
    formats: Annotated[tuple[FormatName, ...], msgspec.Meta(max_length=10)] | None = None
    composite: bool | None = None
    fetch: bool | None = None
    observations: Annotated[int, msgspec.Meta(ge=0, le=65535)] | None = None
    nat: Seconds | None = None
    grace: Annotated[float, msgspec.Meta(ge=0, le=30 * _DAY)] | None = None
    send: Literal["accept", "refuse"] | None = None


class DeviceProfile(ProfileValues, frozen=True, kw_only=True, omit_defaults=True):
    """What holds for a device; ``name`` is the profile that stands first, if one fits."""

    name: str | None = None

    @property
    def composes(self) -> bool:
        """Whether composite operations are to be tried: nobody has said that the device takes none."""
        return self.fetch is not False and self.composite is not False


UNSAID: Final = DeviceProfile()
"""Of a device of which nobody has said anything."""

FIELDS: Final = ProfileValues.__struct_fields__


def said(values: ProfileValues) -> Mapping[str, object]:
    """Those of the values that are said, by name."""
    found = ((name, getattr(values, name)) for name in FIELDS)
    return {name: value for name, value in found if value is not None}


def merged(name: str | None, layers: Iterable[ProfileValues]) -> DeviceProfile:
    """What holds where these say something, the first of them in preference."""
    values: dict[str, object] = {}
    for layer in layers:
        values = {**said(layer), **values}
    return DeviceProfile(name=name, **values) if values or name else UNSAID  # type: ignore[arg-type]


def engine_values(values: ProfileValues) -> tuple[float | None, int | None, int | None]:
    """What the transmission of messages depends on: ACK_TIMEOUT, MAX_RETRANSMIT and the size of blocks."""
    return values.ack_timeout, values.max_retransmit, values.block_size


@attrs.frozen(slots=True)
class Learned:
    """What a device has shown of its abilities; None is what it has shown nothing of.

    What it has not is tried again from ``retry`` on, in Unix seconds. ``nameless`` is one that does not say what it is,
    ``observations`` how many it had when it refused one more.
    """

    fetch: bool | None = None
    composite: bool | None = None
    block_size: BlockSize | None = None
    retry: float | None = None
    nameless: bool = False
    observations: int | None = None

    def values(self) -> ProfileValues:
        """The same as what a profile says."""
        return ProfileValues(
            fetch=self.fetch,
            composite=self.composite,
            block_size=self.block_size,
            observations=self.observations,
        )


UNTRIED: Final = Learned()
"""Of a device that has shown nothing."""
