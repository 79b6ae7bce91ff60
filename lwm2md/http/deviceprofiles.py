"""Device profiles: the definitions, and what holds for one device with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from lwm2md.config.schema import Settings
from lwm2md.documents import time_text
from lwm2md.http.bodies import DefinitionBody
from lwm2md.http.documents import Json
from lwm2md.http.named import Named, Words
from lwm2md.http.operations import known_device
from lwm2md.http.replies import Reply, json_reply
from lwm2md.http.request import Call
from lwm2md.http.routes import Route
from lwm2md.lwm2m import formats
from lwm2md.server.core import Server
from lwm2md.server.definitions import Definition, facts_of
from lwm2md.server.deviceprofiles import FIELDS, UNTRIED
from lwm2md.server.effects import Resume
from lwm2md.server.profiling import Layer, Said
from lwm2md.server.records import Device

Source = Literal[Layer, "settings"]


class DefinitionDocument(Definition, frozen=True, omit_defaults=False):
    """One device profile, and whether it is one of the package's or was put through the API."""

    source: Literal["shipped", "api"]


class ProfileValueDocument(msgspec.Struct):
    """One value that holds for a device, and who says it, in which ``profile``; null is what nobody says."""

    name: str
    value: Json | list[str] | None
    source: Source | None
    profile: str | None


class RefusedFormatDocument(msgspec.Struct):
    """A Content-Format that a device refused since it registered, and what it was used for; null is no format."""

    use: str
    format: str | None


class EffectiveProfileDocument(msgspec.Struct):
    """How a device is treated: the profiles that fit it, the first in preference first, and what comes of them.

    ``hand`` is the one that the operator gave it. ``retry`` is when that is tried again which it has not shown to have.
    """

    endpoint: str
    hand: str | None
    profiles: list[str]
    manufacturer: str | None
    model: str | None
    firmware: str | None
    values: list[ProfileValueDocument]
    refused_formats: list[RefusedFormatDocument]
    retry: str | None


def _document(server: Server, definition: Definition) -> DefinitionDocument:
    source: Literal["shipped", "api"] = "shipped" if server.device_profiles.is_shipped(definition.name) else "api"
    return DefinitionDocument(**msgspec.structs.asdict(definition), source=source)


def _put(server: Server, name: str, body: DefinitionBody, then: Resume) -> None:
    definition = Definition(name=name, match=body.match, set=body.set, priority=body.priority, note=body.note)
    server.device_profiles.put(definition, then)


def _effective(call: Call) -> Reply:
    device = known_device(call)
    profiles, settings = call.node.server.device_profiles, _settings(call.node.settings)
    facts, said = facts_of(device), {**_habits(device), **profiles.values(device)}
    values = [_value(name, said.get(name), settings.get(name)) for name in FIELDS]
    retry = (device.learned or UNTRIED).retry
    return json_reply(
        EffectiveProfileDocument(
            device.endpoint,
            device.hand,
            list(profiles.names(device)),
            facts.get("manufacturer"),
            facts.get("model"),
            facts.get("firmware"),
            values,
            _refused(device),
            time_text(retry),
        )
    )


def _value(name: str, said: Said | None, default: Json | None) -> ProfileValueDocument:
    if said is None:
        return ProfileValueDocument(name, default, None if default is None else "settings", None)
    value = list(said.value) if isinstance(said.value, tuple) else said.value
    return ProfileValueDocument(name, value, said.layer, said.profile)  # type: ignore[arg-type]


def _habits(device: Device) -> Mapping[str, Said]:
    """What was learned of when a device can be reached."""
    habits = device.habits
    found = {} if habits is None else {"awake": habits.awake, "nat": habits.nat}
    return {name: Said(value, "learned") for name, value in found.items() if value is not None}


def _settings(settings: Settings) -> Mapping[str, Json | None]:
    """What holds where nobody says anything."""
    return {
        "awake": settings.queue.awake,
        "ack_timeout": settings.coap.ack_timeout,
        "max_retransmit": settings.coap.max_retransmit,
        "block_size": settings.coap.block_size,
        "observations": settings.limits.observations_per_device,
        "nat": settings.registration.nat or None,
        "grace": settings.registration.overdue,
        "send": settings.registration.send,
    }


def _refused(device: Device) -> list[RefusedFormatDocument]:
    refused = None if device.registration is None else device.registration.refused_formats
    found = [(use, None if number is None else formats.NAMES.get(number)) for use, number in refused or ()]
    return [RefusedFormatDocument(use, name) for use, name in sorted(found, key=lambda pair: (pair[0], pair[1] or ""))]


ROUTES: Final = (
    *Named(
        "/v1/profiles/{name}",
        Words(
            "List device profiles",
            "One device profile",
            "Put a device profile in force",
            "Take back a device profile that was put",
        ),
        DefinitionDocument,
        DefinitionBody,
        known=lambda server: server.device_profiles.definitions,
        get=lambda server, name: server.device_profiles.get(name),
        show=_document,
        put=_put,
        remove=lambda server, name, then: server.device_profiles.remove(name, then),
        kept=True,
    ).routes(),
    Route(
        "GET",
        "/v1/devices/{endpoint}/profile",
        _effective,
        "How a device is treated, and who says so",
        answers={200: EffectiveProfileDocument},
    ),
)
