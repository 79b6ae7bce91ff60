"""What the server's core refuses, each with the stable word that the API shows as ``code``."""

from __future__ import annotations

from typing import ClassVar


class Refused(Exception):  # noqa: N818 - "Refused" is the word the API's users read
    """A request of the operator that can't be taken; nothing was changed.

    ``code`` is the stable word of the problem document, ``field`` the member of the request that is wrong, if one is.
    """

    code: ClassVar[str] = "refused"

    def __init__(self, text: str, field: str | None = None) -> None:
        super().__init__(text)
        self.field = field


class UnknownDevice(Refused):
    """No device with this Endpoint Client Name is known."""

    code: ClassVar[str] = "unknown-device"


class NotRegistered(Refused):
    """The device is known but has no registration now."""

    code: ClassVar[str] = "not-registered"


class QueueFull(Refused):
    """As many requests as allowed already wait for this device."""

    code: ClassVar[str] = "queue-full"


class BadOperation(Refused):
    """The operation, its path or its values don't fit the specification or the device's model."""

    code: ClassVar[str] = "bad-operation"


class UnknownOperation(Refused):
    """No operation has this id, or it was forgotten since."""

    code: ClassVar[str] = "unknown-operation"


class UnknownObservation(Refused):
    """No observation has this id, or the device has none on this path."""

    code: ClassVar[str] = "unknown-observation"


class UnknownModel(Refused):
    """No model of this Object in this version is known."""

    code: ClassVar[str] = "unknown-model"


class BuiltInModel(Refused):
    """The model was not put through the API, so it can't be removed there."""

    code: ClassVar[str] = "built-in-model"


class UnknownProfile(Refused):
    """The operator has configured no object list for this profile id."""

    code: ClassVar[str] = "unknown-profile-id"


class UnknownDeviceProfile(Refused):
    """There is no device profile of this name."""

    code: ClassVar[str] = "unknown-profile"


class UnknownTemplate(Refused):
    """There is no observation template of this name."""

    code: ClassVar[str] = "unknown-template"


class UnknownCredential(Refused):
    """There is no credential of this identity."""

    code: ClassVar[str] = "unknown-credential"


class ConfiguredCredential(Refused):
    """The credential is of a file of the configuration, so it can't be changed through the API."""

    code: ClassVar[str] = "configured-credential"


class NeedsMore(Refused):
    """A device can't be let in by this alone; the text says what is needed."""

    code: ClassVar[str] = "admission-needs-more"


class UnknownRefusal(Refused):
    """Nothing was refused by this id, or it has been forgotten since."""

    code: ClassVar[str] = "unknown-refusal"


class ShippedProfile(Refused):
    """The device profile is one of the package's, so it can't be removed."""

    code: ClassVar[str] = "shipped-profile"


class Drained(Refused):
    """The daemon is being drained: it takes nothing new for devices."""

    code: ClassVar[str] = "draining"


class LimitReached(Refused):
    """A bound of the configuration is reached (observations per device, labels, models)."""

    code: ClassVar[str] = "limit-reached"
