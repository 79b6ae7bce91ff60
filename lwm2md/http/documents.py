"""The documents of devices, operations, observations and models, as structs that the OpenAPI document describes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, TypeVar, cast

import msgspec

from lwm2md.coap.engine import Peer
from lwm2md.documents import time_text, value_document, value_rows
from lwm2md.lwm2m.attributes import NotificationAttributes
from lwm2md.lwm2m.models import ObjectModel, ResourceModel, default_version
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.rows import ValueRow
from lwm2md.server.diagnoses import diagnosis
from lwm2md.server.known import Deviation
from lwm2md.server.library import ModelSource
from lwm2md.server.reach import Facts
from lwm2md.server.records import (
    Device,
    DeviceState,
    Operation,
    OperationState,
    Registration,
    Result,
    Source,
    TwinValue,
    When,
)
from lwm2md.server.wish import Fold, Observation, ObservationState

T = TypeVar("T")
Json = str | int | float | bool


class Page(msgspec.Struct, Generic[T]):
    """One page of a list; ``next`` is the cursor for ``after``, null on the last page."""

    items: list[T]
    next: str | None


class ValueDocument(msgspec.Struct, omit_defaults=True):
    """One Resource or Resource Instance with its value; ``encoding`` is there where a string is not UTF-8.

    In the twin ``source`` is where the value came from, and ``age`` how old it is, in seconds.
    """

    path: str
    value: Json
    type: str
    name: str | None
    unit: str | None
    time: str | None
    encoding: Literal["base64"] | None = None
    source: Source | None = None
    age: float | None = None


class ValuesDocument(msgspec.Struct):
    """The values of a read."""

    values: Sequence[ValueDocument]


class LinkDocument(msgspec.Struct):
    """One link of a Discover's answer."""

    path: str
    attributes: Mapping[str, str | None]


class ResultDocument(msgspec.Struct, omit_defaults=True):
    """What the device answered: ``values``, the ``links`` of a discover, or the ``location`` of what was created."""

    values: Sequence[ValueDocument] | None = None
    links: list[LinkDocument] | None = None
    location: str | None = None


class OperationDocument(msgspec.Struct):
    """One request to a device and how far it got; a composite one has ``paths``, and the root as its path."""

    id: str
    endpoint: str
    op: str
    path: str
    paths: list[str] | None
    state: OperationState
    when: When
    priority: int
    created: str | None
    expires: str | None
    sent: str | None
    ended: str | None
    result: ResultDocument | None
    error: str | None
    coap_code: str | None
    format: str | None


class CancelledDocument(msgspec.Struct):
    """How many operations were cancelled."""

    cancelled: int


class DeviceDocument(msgspec.Struct):
    """One device; what belongs to a registration is null or empty while there is none."""

    endpoint: str
    registration_id: str | None
    state: DeviceState
    state_since: str | None
    state_reason: str | None
    version: str | None
    lifetime: int | None
    binding: str | None
    queue_mode: bool
    labels: Mapping[str, str]
    address: str | None
    transport: str | None
    identity: str | None
    registered_at: str | None
    updated_at: str | None
    expires_at: str | None
    last_seen: str | None
    awake_until: str | None
    reachable_until: str | None
    next_expected: str | None
    overdue: bool
    objects: list[str]
    object_versions: dict[str, str]
    root_path: str | None
    gateway: str | None
    device_id: str | None
    profile: str | None


class ProfileDocument(msgspec.Struct):
    """A profile id and the object list that it stands for."""

    pid: str
    links: str


class ObservationDocument(msgspec.Struct):
    """One standing wish and how it fares at the device; a composite one has ``paths``, and the root as its path.

    A ``fold`` is the daemon's own: it carries those wishes whose state is ``folded``. ``rate`` is in notifications an
    hour, since it was wished for or the daemon began to count.
    """

    id: str
    endpoint: str
    path: str
    paths: list[str] | None
    state: ObservationState
    attributes: dict[str, Any]
    format: str | None
    created: str | None
    error: str | None
    last_notification: str | None
    notifications: int
    rate: float | None
    retry_at: str | None
    template: str | None
    fold: bool


class DeviationDocument(msgspec.Struct):
    """One way in which a device departs from the specifications, how often it was seen, and what to do about it.

    ``sample`` is the beginning of the newest payload that has it: text, or hexadecimal digits, as ``encoding`` says.
    """

    kind: str
    count: int
    first: str | None
    last: str | None
    sample: str | None
    encoding: Literal["text", "hex"] | None
    meaning: str
    advice: str


class ResourceDocument(msgspec.Struct):
    """One Resource of an object model."""

    id: int
    name: str
    operations: str
    type: str
    multiple: bool
    mandatory: bool
    range: str | None
    unit: str | None


class ObjectDocument(msgspec.Struct):
    """One Object of a device with its instances and its model; ``name`` is null where no model is known.

    ``version`` is what the device registered, ``model_version`` that of the model, the nearest where it has no other.
    """

    id: int
    version: str
    model_version: str | None
    name: str | None
    instances: list[int]
    resources: list[ResourceDocument]


class ObjectsDocument(msgspec.Struct):
    """The Objects of a device; ``notices`` say where a model of another version, or none, had to do."""

    items: list[ObjectDocument]
    notices: list[str]


class ModelDocument(msgspec.Struct):
    """One object model in one version; ``lwm2m_version`` is the least version of LwM2M that it is for."""

    id: int
    version: str
    name: str
    multiple: bool
    mandatory: bool
    lwm2m_version: str
    source: ModelSource


class WholeModelDocument(ModelDocument):
    """One object model in one version, with its Resources."""

    resources: list[ResourceDocument]


def values_of(rows: Iterable[ValueRow], *, int64_as_string: bool = False) -> list[ValueDocument]:
    """The ``values`` list of a document."""
    return cast("list[ValueDocument]", value_rows(rows, int64_as_string=int64_as_string))


def twin_document(
    rows: Iterable[ValueRow], twin: Mapping[Path, TwinValue], now: float, *, int64_as_string: bool = False
) -> ValuesDocument:
    """The last known values, with where they came from and their age at ``now`` (Unix seconds)."""
    found = []
    for row in rows:
        known = twin[Path.parse(row.path)]
        shown = value_document(row, int64_as_string=int64_as_string)
        found.append({**shown, "source": known.source, "age": round(max(0.0, now - known.time), 3)})
    return ValuesDocument(cast("list[ValueDocument]", found))


def operation_document(operation: Operation, *, int64_as_string: bool = False) -> OperationDocument:
    """An operation as ``/v1/operations/{id}`` shows it."""
    return OperationDocument(
        operation.id,
        operation.endpoint,
        operation.op,
        str(operation.path),
        _paths(operation.paths),
        operation.state,
        operation.request.when,
        operation.request.priority,
        time_text(operation.created),
        time_text(operation.expires),
        time_text(operation.sent),
        time_text(operation.ended),
        None if operation.result is None else _result(operation.result, int64_as_string),
        operation.error,
        operation.coap_code,
        operation.format,
    )


def _paths(paths: Iterable[Path]) -> list[str] | None:
    return [str(path) for path in paths] or None


def _result(result: Result, int64_as_string: bool) -> ResultDocument:
    values = None if result.values is None else values_of(result.values, int64_as_string=int64_as_string)
    links = None if result.links is None else [LinkDocument(link.path, link.attributes) for link in result.links]
    return ResultDocument(values, links, result.location)


def device_document(device: Device, facts: Facts, now: float, address_of: Callable[[Peer], str]) -> DeviceDocument:
    """A device, with the facts known of it, as ``/v1/devices/{endpoint}`` shows it at ``now`` (Unix seconds)."""
    seen = time_text(device.last_seen) if device.last_seen else None
    behind = device.behind
    gateway, device_id = (None, None) if behind is None else (behind.gateway.endpoint, behind.device_id)
    standing = device.standing(now)
    state = (standing.state, time_text(standing.since), standing.reason or None)
    registration = device.registration
    if registration is None:
        return DeviceDocument(
            device.endpoint, None, *state, None, None, None, False, dict(device.all_labels()), None, None, None, None,
            None, None, seen, None, None, None, False, [], {}, None, gateway, device_id, device.hand,
        )  # fmt: skip
    lasting = device.carrier.registration or registration  # a gateway's Updates are those of the devices behind it
    return DeviceDocument(
        device.endpoint,
        registration.id,
        *state,
        registration.version,
        registration.lifetime,
        registration.binding,
        registration.queue_mode,
        dict(device.all_labels()),
        address_of(registration.peer),
        registration.transport,
        registration.identity,
        time_text(registration.registered_at),
        time_text(lasting.updated_at),
        time_text(lasting.expires_at()),
        seen,
        time_text(facts.awake_until),
        time_text(facts.reachable_until),
        time_text(facts.next_expected),
        facts.overdue,
        [str(path) for path in registration.objects.paths],
        {str(identifier): version for identifier, version in registration.objects.versions.items()},
        registration.objects.root,
        gateway,
        device_id,
        device.hand,
    )


def observation_document(observation: Observation, started: float, now: float) -> ObservationDocument:
    """An observation as ``/v1/observations/{id}`` shows it, in a daemon that was ``started`` at that Unix time."""
    counted = now - max(observation.created, started)
    return ObservationDocument(
        observation.id,
        observation.endpoint,
        str(observation.path),
        _paths(observation.paths),
        observation.state,
        {} if observation.attributes is None else attributes_of(observation.attributes),
        observation.format,
        time_text(observation.created),
        observation.error,
        time_text(observation.last_notification),
        observation.notifications,
        round(observation.notifications * 3600.0 / counted, 3) if observation.notifications and counted > 0 else None,
        time_text(observation.aside.retry_at),
        observation.template,
        isinstance(observation, Fold),
    )


def deviation_document(deviation: Deviation) -> DeviationDocument:
    """A deviation as ``/v1/devices/{endpoint}/deviations`` shows it."""
    sample, encoding = _sample(deviation.sample)
    first, last = time_text(deviation.first), time_text(deviation.last)
    return DeviationDocument(deviation.kind, deviation.count, first, last, sample, encoding, *diagnosis(deviation.kind))


def _sample(payload: bytes | None) -> tuple[str | None, Literal["text", "hex"] | None]:
    if payload is None:
        return None, None
    text = payload.decode("ascii", "replace")
    return (text, "text") if text.isascii() and text.isprintable() else (payload.hex(), "hex")


def attributes_of(attributes: NotificationAttributes) -> dict[str, Any]:
    """The notification attributes that are set, by name."""
    return {name: bool(value) if name in _FLAGS else value for name, value in attributes.as_changes().items()}


_FLAGS = frozenset({"edge", "con"})


def objects_document(registration: Registration, model_of: Mapping[int, ObjectModel | None]) -> ObjectsDocument:
    """The Objects that a device registered, with their models where ``model_of`` has one."""
    instances: dict[int, list[int]] = {}
    for path in registration.objects.paths:
        if path.object is not None:
            found = instances.setdefault(path.object, [])
            if path.instance is not None:
                found.append(path.instance)
    items = [_object(registration, key, instances[key], model_of[key]) for key in sorted(instances)]
    return ObjectsDocument(items, [notice for notice in map(_notice, items) if notice is not None])


def _notice(found: ObjectDocument) -> str | None:
    if found.model_version is None:
        return f"object {found.id} version {found.version}: no model is known"
    if found.model_version != found.version:
        return f"object {found.id} version {found.version}: the model of version {found.model_version} is used"
    return None


def _object(
    registration: Registration, identifier: int, instances: list[int], model: ObjectModel | None
) -> ObjectDocument:
    version = registration.objects.versions.get(identifier) or default_version(identifier, registration.version)
    resources = [] if model is None else [resource_document(found) for _, found in sorted(model.resources.items())]
    used, name = (None, None) if model is None else (model.version, model.name)
    return ObjectDocument(identifier, version, used, name, sorted(instances), resources)


def model_document(model: ObjectModel, source: ModelSource) -> ModelDocument:
    """A model as the list of models shows it."""
    return ModelDocument(model.id, model.version, model.name, model.multiple, model.mandatory, model.enabler, source)


def whole_model_document(model: ObjectModel, source: ModelSource) -> WholeModelDocument:
    """A model as ``/v1/models/{object}/{version}`` shows it."""
    resources = [resource_document(found) for _, found in sorted(model.resources.items())]
    row = model_document(model, source)
    return WholeModelDocument(**msgspec.structs.asdict(row), resources=resources)


def resource_document(model: ResourceModel) -> ResourceDocument:
    """A Resource's model."""
    return ResourceDocument(
        model.id,
        model.name,
        model.operations,
        model.type.value,
        model.multiple,
        model.mandatory,
        model.range or None,
        model.unit or None,
    )
