"""What a Register says beside the name, and the registration that comes of it.

RULES: of Registers that are alike (`lwm2md.coap.alike`) what they say is read once, and kept at their shape. What
settings make of it holds for those settings only: whoever uses it looks whether they are still in force.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from typing import Final

import msgspec

from lwm2md.coap.engine import Peer
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.server.parameters import RegistrationParameters, effective_lifetime
from lwm2md.server.records import Registration
from lwm2md.server.settings import ServerSettings

_DEFAULT_BINDING: Final = "U"
_DEFAULT_VERSION: Final = "1.0"
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


class Frame(msgspec.Struct, frozen=True, gc=False):
    """What a Register makes of a newcomer under these ``settings``; without ``objects`` it is not plain enough.

    ``told`` are the fields of its event as JSON, to be filled with the id, the address and the transport.
    """

    settings: ServerSettings
    objects: ObjectList | None = None
    lifetime: int | None = None
    told: bytes = b""


class Meaning(msgspec.Struct, gc=False):
    """What a Register says beside the name: its parameters, and the list of Objects once that was read.

    ``frame`` is kept here by `lwm2md.server.newcomers`.
    """

    parameters: RegistrationParameters
    listed: ObjectList | None = None
    frame: Frame | None = None

    @property
    def version(self) -> str:
        """The LwM2M version, which need not be said."""
        return self.parameters.version or _DEFAULT_VERSION


def new_id(random: Callable[[int], bytes]) -> str:
    """An id for a Location, which nobody guesses."""
    return b2a_base64(random(12), newline=False).translate(_URL_SAFE).decode()


def lifetime_of(seconds: int | None, version: str, settings: ServerSettings) -> int | None:
    """The effective lifetime of one that is asked for, in seconds; None is infinite."""
    return effective_lifetime(seconds, version, settings.default_lifetime, settings.min_lifetime, settings.max_lifetime)


def registration_of(
    parameters: RegistrationParameters,
    objects: ObjectList,
    lifetime: int | None,
    *,
    identifier: str,
    endpoint: str,
    peer: Peer,
    transport: str,
    identity: str | None,
    now: float,
) -> Registration:
    """The registration of who says this."""
    return Registration(
        identifier,
        endpoint,
        peer,
        transport,
        identity,
        parameters.version or _DEFAULT_VERSION,
        lifetime,
        parameters.binding or _DEFAULT_BINDING,
        parameters.queue_mode,
        parameters.sms,
        objects,
        parameters.labels,
        now,
        now,
    )
