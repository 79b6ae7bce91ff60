"""The keys of ``[plugin:mqtt]``, and what they mean together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
from paho.mqtt.enums import MQTTProtocolVersion

from lwm2md.config import values
from lwm2md.config.values import BadValue, Kind, Secret
from lwm2md_mqtt import topics
from lwm2md_mqtt.messages import Kind as MessageKind
from lwm2md_mqtt.topics import Topics

_PORTS: Final = {"mqtt": 1883, "mqtts": 8883}
_LARGEST_TOPIC: Final = 65_535
_OVERHEAD: Final = 2 * _LARGEST_TOPIC
"""What a packet may have beside its payload: topic, properties, lengths."""
_PROTOCOLS: Final = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}
_GROUP: Final = re.compile(r"[^/+#\s]{0,255}")
_PATH_LENGTH: Final = 4096


@attrs.frozen
class BrokerUrl:
    """Where a broker is, and whether to speak TLS with it."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


def url() -> Kind:
    """``mqtt://HOST[:PORT]`` or ``mqtts://HOST[:PORT]``."""
    expected = "mqtt://HOST:PORT or mqtts://HOST:PORT; user and password have keys of their own"

    def parse(text: str) -> BrokerUrl:
        try:
            found = urlsplit(text)
            port = found.port
        except ValueError:
            raise BadValue(expected) from None
        if found.scheme not in _PORTS or not found.hostname or found.username is not None or not text.isprintable():
            raise BadValue(expected, f"mqtt://{text}" if re.fullmatch(r"[\w.-]+(:[0-9]+)?", text) else None)
        if found.path not in ("", "/") or found.query or found.fragment or port == 0:
            raise BadValue(expected)
        return BrokerUrl(found.hostname, port or _PORTS[found.scheme], found.scheme == "mqtts")

    return Kind("url", parse, str, "mqtt://HOST:PORT, mqtts://HOST:PORT")


def project() -> Kind:
    """One or several levels of topics."""

    def parse(text: str) -> str:
        try:
            return topics.check_project(text)
        except ValueError as error:
            raise BadValue(str(error)) from None

    return Kind("topic", parse, str, "LEVEL[/LEVEL...]")


def patterns() -> Kind:
    """A list of shell globs, as a tuple."""

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(values.split_list(text))
        if not text.replace("\n", "").isprintable():
            raise BadValue("names or shell globs, separated by commas or lines")
        return found

    return Kind("patterns", parse, ", ".join, "GLOB[, GLOB...]")


def file() -> Kind:
    """The path of a file; empty is none."""

    def parse(text: str) -> str:
        if len(text) > _PATH_LENGTH or not text.isprintable():
            raise BadValue("the path of a file, or nothing")
        return text

    return Kind("file", parse, str, "PATH")


def group() -> Kind:
    """The name of a group of subscribers; empty is none."""

    def parse(text: str) -> str:
        if not _GROUP.fullmatch(text) or not (text.isprintable() or not text):
            raise BadValue("a name without / + # and spaces, or nothing")
        return text

    return Kind("name", parse, str, "NAME")


def client_id() -> Kind:
    """How the broker knows this daemon; empty is the default."""

    def parse(text: str) -> str:
        if text and values.text(1024).parse(text) != text:
            raise BadValue("a name")
        return text

    return Kind("text", parse, str, "up to 1024 characters")


@attrs.frozen
class Key:
    """One key: its kind, its default as text, None where it must be given, and a line of help."""

    name: str
    kind: Kind
    default: str | None
    help: str


_QOS: Final = values.integer(0, 2)

KEYS: Final[Sequence[Key]] = (
    Key("url", url(), None, "The broker: mqtt:// or, with TLS, mqtts://; ports are 1883 and 8883 if none is given"),
    Key("project", project(), "lwm2m", "What all topics begin with"),
    Key("protocol", values.choice(*_PROTOCOLS), "5", "Version of MQTT"),
    Key("client-id", client_id(), "", "How the broker knows this daemon; by default lwm2md- and the daemon's name"),
    Key("user", client_id(), "", "User name at the broker"),
    Key("password", values.secret(), "", "Password at the broker"),
    Key("ca", file(), "", "File of the certificates (PEM) that the broker's is trusted by; by default the system's"),
    Key("certificate", file(), "", "File of our certificate and those that vouch for it (PEM)"),
    Key("key", file(), "", "File of its private key (PEM); by default in the file of the certificate"),
    Key("keepalive", values.duration(1, 3600), "30s", "After so long without a message the connection is tried"),
    Key("shortest-pause", values.duration(0.01, 3600), "1s", "Pause before the first new attempt to connect"),
    Key("longest-pause", values.duration(0.01, 3600), "60s", "Pauses double with every attempt, up to this"),
    Key("session", values.duration(0, 0xFFFFFFFE), "0s", "How long the broker keeps requests for us while we are away"),
    Key("in-flight", values.integer(1, 10_000), "1000", "Messages on their way to the broker at once"),
    Key("qos-values", _QOS, "1", "Quality of service of sensor topics"),
    Key("qos-events", _QOS, "1", "Quality of service of the topics of events, and of whether this daemon is online"),
    Key("qos-responses", _QOS, "1", "Quality of service of answers"),
    Key("qos-requests", _QOS, "1", "Quality of service of the subscription to requests"),
    Key("payload", values.choice("json", "plain"), "json", "Whether a value is sent with time and unit, or bare"),
    Key("retain", values.boolean(), "no", "Whether the broker keeps the last value of each Resource"),
    Key("events", patterns(), "device.*", "Types of events that are published, as shell globs"),
    Key(
        "live", values.boolean(), "no", "Whether events that are not stored are published, too, while there is a broker"
    ),
    Key("endpoints", patterns(), "*", "Devices that are published, and whose requests are taken, as shell globs"),
    Key("requests", values.boolean(), "yes", "Whether requests to devices are taken"),
    Key("share", group(), "", "Name of a group of daemons of which only one gets each request"),
    Key("request-size", values.size(64, 64 << 20), "64KiB", "Largest payload of a request"),
    Key("pending", values.integer(1, 1_000_000), "1000", "Requests that are open at once; more are refused"),
    Key("wait", values.duration(0, 3600), "2s", "After so long it is answered how far a request is, and its end later"),
)
"""Every key of ``[plugin:mqtt]``."""


@attrs.frozen
class Options:
    """The settings, and what follows from them and from the daemon's name."""

    host: str
    port: int
    tls: bool
    topics: Topics
    client_id: str
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5
    user: str | None = None
    password: str | None = attrs.field(default=None, repr=False)
    ca: str = ""
    certificate: str = ""
    key: str = ""
    keepalive: float = 30.0
    shortest_pause: float = 1.0
    longest_pause: float = 60.0
    session: float = 0.0
    window: int = 1000
    qos: Mapping[MessageKind, int] = attrs.field(factory=lambda: dict.fromkeys(_KINDS, 1))
    retained: Mapping[MessageKind, bool] = attrs.field(factory=lambda: _retained(values=False))
    plain: bool = False
    events: tuple[str, ...] = ("device.*",)
    live: bool = False
    endpoints: tuple[str, ...] = ("*",)
    requests: str = ""
    request_qos: int = 1
    request_size: int = 64 << 10
    pending: int = 1000
    wait: float = 2.0

    @property
    def largest_packet(self) -> int:
        """What the broker need not send, because it would not be taken (MQTT 5.0, 3.1.2.11.4)."""
        return self.request_size + _OVERHEAD


_KINDS: Final[tuple[MessageKind, ...]] = ("values", "events", "responses", "online")


def _retained(*, values: bool) -> dict[MessageKind, bool]:
    return {"values": values, "events": False, "responses": False, "online": True}


def options(settings: Mapping[str, Any], name: str) -> Options:
    """Return what the settings say to the daemon of this name. Raises ValueError where they don't fit together."""
    where: BrokerUrl = settings["url"]
    password: Secret | None = settings["password"]
    if not where.tls and (settings["ca"] or settings["certificate"] or settings["key"]):
        raise ValueError("ca, certificate and key are for mqtts://")
    if settings["key"] and not settings["certificate"]:
        raise ValueError("key is there without certificate")
    if settings["shortest-pause"] > settings["longest-pause"]:
        raise ValueError("shortest-pause is longer than longest-pause")
    if password is not None and not settings["user"]:
        raise ValueError("password is there without user")
    found = Topics(settings["project"], name)
    qos = {kind: settings[f"qos-{'events' if kind == 'online' else kind}"] for kind in _KINDS}
    return Options(
        where.host,
        where.port,
        where.tls,
        found,
        settings["client-id"] or f"lwm2md-{name}",
        _PROTOCOLS[settings["protocol"]],
        settings["user"] or None,
        None if password is None else password.reveal(),
        settings["ca"],
        settings["certificate"],
        settings["key"],
        settings["keepalive"],
        settings["shortest-pause"],
        settings["longest-pause"],
        settings["session"],
        settings["in-flight"],
        qos,
        _retained(values=settings["retain"]),
        settings["payload"] == "plain",
        settings["events"],
        settings["live"],
        settings["endpoints"],
        found.filter(settings["share"]) if settings["requests"] else "",
        settings["qos-requests"],
        settings["request-size"],
        settings["pending"],
        settings["wait"],
    )
