"""How devices, operations, observations, twin values and object models are written to storage and read back.

One msgspec structure per table; values are JSON, so that an operator can look into the database with its own tools.
Those of registrations are in `registrationrows`. A row that can't be read raises ``msgspec.ValidationError`` or
``msgspec.DecodeError``.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from sys import intern
from typing import Literal

import msgspec

from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.models import ObjectModel
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.values import ObjectLink, Value
from lwm2md.server.definitions import Definition
from lwm2md.server.known import Habits
from lwm2md.server.records import (
    Behind,
    Device,
    Operation,
    OperationRequest,
    OperationState,
    Source,
    TwinValue,
)
from lwm2md.server.wish import Fold, Observation

REGISTRATIONS = "registrations"
REFRESHES = "refreshes"
DEVICES = "devices"
OBSERVATIONS = "observations"
OPERATIONS = "operations"
TWIN = "twin"
PROFILES = "profile_ids"
TEMPLATES = "templates"
REFUSED = "refused"
META = "meta"
MODELS = "models"
DEVICE_PROFILES = "device_profiles"
FINDINGS = "findings"
RESTORED = "restored"
"""The key of the row of `META` that says that all else is from a backup, and was not taken up since."""


class _Objects(msgspec.Struct, omit_defaults=True):
    paths: list[str]
    root: str = "/"
    formats: tuple[int, ...] = ()
    versions: dict[int, str] = {}
    deviations: tuple[str, ...] = ()


class _Device(msgspec.Struct, omit_defaults=True, gc=False):
    labels: dict[str, str] | None = None
    last_seen: float = 0.0
    disabled: bool = False
    gateway: str | None = None
    prefix: str = ""
    device_id: str = ""
    profiles: dict[str, _Objects] | None = None
    hand: str | None = None
    awake: float | None = None
    nat: float | None = None
    changed: float = 0.0
    reason: str = ""
    silent: bool = False
    secured: bool = False


class _Observation(msgspec.Struct, omit_defaults=True):
    endpoint: str
    path: str
    token: bytes
    created: float
    attributes: tuple[str, ...] = ()
    format: str | None = None
    established: float | None = None
    outdated: tuple[str, ...] = ()
    paths: list[str] = []
    template: str | None = None
    fold: bool = False
    attached: bool = False


class _Operation(msgspec.Struct, omit_defaults=True):
    endpoint: str
    request: OperationRequest
    created: float
    expires: float
    state: OperationState
    sent: float | None = None
    ended: float | None = None
    error: str | None = None
    coap_code: str | None = None


_Kind = Literal["opaque", "objlnk", "float", "plain"]


class _Twin(msgspec.Struct, array_like=True):
    kind: _Kind
    value: str | int | float | bool
    time: float
    source: Source


_encoder = msgspec.json.Encoder()
encode = _encoder.encode
_read_device = msgspec.json.Decoder(_Device).decode
_read_sample = msgspec.json.Decoder(tuple[_Kind, str] | str | int | float | bool).decode


def read_grants(value: bytes) -> list[tuple[float, float]]:
    """What starts have granted: seconds, for what was last heard of before a time."""
    return msgspec.json.decode(value, type=list[tuple[float, float]])


def device_row(device: Device) -> bytes:
    """What stays of a device without a registration: what the operator gave it, the last uplink, why it is gone, where
    it was, its lists, and what was learned of its habits.
    """
    row = _Device(device.labels or None, device.last_seen, device.disabled, hand=device.hand)
    row.changed, row.reason, row.silent = device.changed, device.reason, not device.responding
    row.secured = device.secured
    if device.habits is not None:
        row.awake, row.nat = device.habits.awake, device.habits.nat
    behind = device.behind
    if behind is not None:
        row.gateway, row.prefix, row.device_id = behind.gateway.endpoint, behind.prefix, behind.device_id
    if device.profiles:
        row.profiles = {profile: _as_row(found) for profile, found in device.profiles.items()}
    return encode(row)


def read_device(key: str, value: bytes, gateway: Callable[[str], Device]) -> Device:
    """The device of a row; ``gateway`` finds the one that it is behind."""
    row = _read_device(value)
    device = Device(key, row.labels or None, None, row.last_seen)
    device.disabled, device.hand, device.secured = row.disabled, row.hand, row.secured
    device.changed, device.reason, device.responding = row.changed, intern(row.reason), not row.silent
    if row.gateway is not None:
        device.behind = Behind(gateway(row.gateway), row.prefix, row.device_id)
    if row.awake is not None or row.nat is not None:
        device.habits = Habits(row.awake, row.nat)
    if row.profiles:
        device.profiles = {profile: _listed(found) for profile, found in row.profiles.items()}
    return device


def _as_row(found: ObjectList) -> _Objects:
    paths = [str(path) for path in found.paths]
    return _Objects(paths, found.root, found.formats, dict(found.versions), found.deviations)


def _listed(row: _Objects) -> ObjectList:
    return ObjectList(row.root, row.formats, tuple(map(Path.parse, row.paths)), row.versions, row.deviations)


def read_definition(value: bytes) -> Definition:
    """The definition of a device profile of a row."""
    return msgspec.json.decode(value, type=Definition)


def observation_row(observation: Observation) -> bytes:
    """A wish, as table ``observations`` keeps it by id; the token in it lets notifications go on after a restart."""
    attributes = observation.attributes.to_query() if observation.attributes is not None else ()
    return encode(
        _Observation(
            observation.endpoint,
            str(observation.path),
            observation.token,
            observation.created,
            attributes,
            observation.format,
            observation.established,
            observation.aside.outdated,
            [str(path) for path in observation.paths],
            observation.template,
            isinstance(observation, Fold),
            observation.aside.attached,
        )
    )


def read_observation(key: str, value: bytes) -> Observation:
    """The wish of a row."""
    row = msgspec.json.decode(value, type=_Observation)
    attributes = NotificationAttributes.from_query(row.attributes) if row.attributes else None
    found = (Fold if row.fold else Observation)(
        key,
        row.endpoint,
        Path.parse(row.path),
        row.token,
        row.created,
        attributes,
        row.format,
        established=row.established,
        paths=tuple(map(Path.parse, row.paths)),
        template=row.template,
    )
    if row.outdated:
        found.own.outdated = row.outdated
    if row.attached:
        found.own.attached = True
    return found


def operation_row(operation: Operation) -> bytes:
    """An accepted operation, as table ``operations`` keeps it by id; results are not kept beyond memory."""
    return encode(
        _Operation(
            endpoint=operation.endpoint,
            request=operation.request,
            created=operation.created,
            expires=operation.expires,
            state=operation.state,
            sent=operation.sent,
            ended=operation.ended,
            error=operation.error,
            coap_code=operation.coap_code,
        )
    )


def read_operation(key: str, value: bytes) -> Operation:
    """The operation of a row."""
    row = msgspec.json.decode(value, type=_Operation)
    return Operation(
        id=key,
        endpoint=row.endpoint,
        request=row.request,
        path=ROOT if row.request.path is None else Path.parse(row.request.path),
        paths=tuple(map(Path.parse, row.request.paths or ())),
        created=row.created,
        expires=row.expires,
        state=row.state,
        sent=row.sent,
        ended=row.ended,
        error=row.error,
        coap_code=row.coap_code,
        kept=True,
    )


def twin_key(endpoint: str, path: Path) -> str:
    """The key of a twin value; a path has no space, so that it can't be mistaken for another endpoint's."""
    return f"{path} {endpoint}"


def twin_row(value: TwinValue) -> bytes:
    """A last known value, as table ``twin`` keeps it: what `_Twin` says, without making one."""
    plain = value.value
    if type(plain) is float and isfinite(plain):
        return encode(("plain", plain, value.time, value.source))
    return encode((*_plain(plain), value.time, value.source))


def read_twin(key: str, value: bytes) -> tuple[str, Path, TwinValue]:
    """Endpoint, path and value of a row."""
    row = msgspec.json.decode(value, type=_Twin)
    path, _, endpoint = key.partition(" ")
    return endpoint, Path.parse(path), TwinValue(_value(row.kind, row.value), row.time, row.source)


def sample_value(value: Value) -> bytes:
    """A value as the series of its path keeps it: as JSON has it, or what kind it is and its text."""
    if type(value) is float and isfinite(value):
        return encode(value)  # nearly all of what is told again and again
    kind, plain = _plain(value)
    return encode(plain if kind == "plain" else (kind, plain))


def read_sample(value: bytes) -> Value:
    """The value of a sample."""
    found: tuple[_Kind, str] | str | int | float | bool = _read_sample(value)
    return _value(*found) if isinstance(found, tuple) else found


def _plain(value: Value) -> tuple[_Kind, str | int | float | bool]:
    """What JSON keeps of a value, and what kind it is."""
    if isinstance(value, bytes):
        return "opaque", value.hex()
    if isinstance(value, ObjectLink):
        return "objlnk", str(value)
    if isinstance(value, float) and not isfinite(value):
        return "float", str(value)  # NaN and the infinities, for which JSON has no number
    return "plain", value


def _value(kind: _Kind, plain: str | int | float | bool) -> Value:
    if kind == "opaque":
        return bytes.fromhex(str(plain))
    if kind == "objlnk":
        object_id, _, instance = str(plain).partition(":")
        return ObjectLink(int(object_id), int(instance))
    return float(plain) if kind == "float" else plain


def model_key(identifier: int, version: str) -> str:
    """The key of an object model."""
    return f"{identifier}:{version}"


def model_row(model: ObjectModel) -> bytes:
    """An operator's object model, as table ``models`` keeps it."""
    return encode(model)


def read_model(value: bytes) -> ObjectModel:
    """The object model of a row."""
    return msgspec.json.decode(value, type=ObjectModel)
