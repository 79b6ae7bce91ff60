"""Every setting of the daemon, as data in one place: type, default, range, help, secret or not, reloadable or not.

RULES: one frozen class per section of the INI file; its docstring is the section's help. A field is a key with dashes
for underscores; its default is written as in the file. Only settings that have an effect are here. The sections of
plugins come from the plugins' own schemas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

import attrs

from lwm2md.config import values
from lwm2md.config.addresses import Address, Network, listen, networks
from lwm2md.config.coaps import Coaps
from lwm2md.config.plugins import Plugins
from lwm2md.config.security import Security
from lwm2md.config.setting import Setting, setting, settings_of
from lwm2md.config.values import Secret

if TYPE_CHECKING:
    from lwm2md.config.material import Material
    from lwm2md.config.reader import Entry
    from lwm2md.lwm2m.models import ObjectModel

__all__ = ["LEVELS", "LOOPBACK", "SECTIONS", "Setting", "Settings", "settings_of", "value_of"]

LOOPBACK: Final = "127.0.0.1"
LEVELS: Final = ("debug", "info", "warn", "error")
_DAY: Final = 86400.0
_YEAR: Final = 365 * _DAY


@attrs.frozen
class Daemon:
    """The daemon itself."""

    state: str = setting(
        values.text(4096), "./lwm2md-state", "Directory of what the daemon keeps; relative to its working directory"
    )
    name: str = setting(values.text(64), "lwm2md", "Name of this daemon in its status", reloadable=True)
    stop_deadline: float = setting(
        values.duration(1, 3600),
        "30s",
        "How long a stop may take before the daemon ends all the same, whatever hangs",
        reloadable=True,
    )
    stop_wait: float = setting(
        values.duration(0, 3600),
        "5s",
        "How long a stop waits for answers of devices to requests that are under way",
        reloadable=True,
    )
    models: str = setting(
        values.directory(),
        "",
        "Directory with DDF files, *.xml, of object models beside the built-in; relative to the file that names it",
        reloadable=True,
    )


@attrs.frozen
class Coap:
    """CoAP over UDP without security (NoSec)."""

    listen: tuple[Address, ...] = setting(
        listen(),
        f"{LOOPBACK}:5683",
        "Where to listen, separated by commas or lines; port 0 is any free one, empty is off",
    )
    nosec: bool = setting(values.boolean(), "no", "Whether plain CoAP may be reached from other machines")
    batched: bool = setting(
        values.boolean(),
        "yes",
        "Whether datagrams are moved and looked up many at once, where the extensions for it were compiled",
    )
    trusted: tuple[Network, ...] = setting(
        networks(),
        "127.0.0.0/8, ::1/128",
        "Networks whose addresses are not forged: others must show by an Echo that they are where they say",
    )
    block_size: int = setting(
        values.power(16, 1024),
        "1024",
        "Largest block of a transfer in blocks, in bytes; devices may ask for smaller ones",
        reloadable=True,
    )
    follow: str = setting(
        values.choice("update", "echo", "register"),
        "update",
        "What takes a registration to another address: an Update, an Update with an Echo, or only a new Register",
        reloadable=True,
    )
    displace: bool = setting(
        values.boolean(),
        "yes",
        "Whether a Register from another address takes the place of a registration that is alive",
        reloadable=True,
    )
    ack_timeout: float = setting(
        values.duration(0.1, 600), "2s", "First wait for an acknowledgement (ACK_TIMEOUT of RFC 7252)", reloadable=True
    )
    ack_random_factor: float = setting(
        values.number(1, 10),
        "1.5",
        "Spread of the first wait, against devices in step (ACK_RANDOM_FACTOR)",
        reloadable=True,
    )
    max_retransmit: int = setting(
        values.integer(0, 20),
        "4",
        "How often a message is sent again before its peer counts as gone (MAX_RETRANSMIT)",
        reloadable=True,
    )


@attrs.frozen
class Registration:
    """How long registrations live."""

    default_lifetime: float = setting(
        values.duration(1, 10 * _YEAR), "24h", "Lifetime of a registration that names none", reloadable=True
    )
    min_lifetime: float = setting(
        values.duration(0, 10 * _YEAR),
        "1s",
        "Shorter lifetimes are taken as this one when expiry is reckoned",
        reloadable=True,
    )
    max_lifetime: float = setting(
        values.duration(0, 10 * _YEAR),
        "0s",
        "Longer lifetimes are taken as this one when expiry is reckoned; 0s is no cap",
        reloadable=True,
    )
    grace: float = setting(
        values.duration(0, 30 * _DAY), "0s", "How long after its lifetime a registration expires", reloadable=True
    )
    revive: float = setting(
        values.duration(0, _DAY),
        "0s",
        "How long after its end an Update brings a registration back, for devices that give up on 4.04; 0s is never",
        reloadable=True,
    )
    identify: bool = setting(
        values.boolean(),
        "yes",
        "Whether devices are asked once for manufacturer, model and firmware where the operator's profiles name them",
        reloadable=True,
    )
    observe_retry: float = setting(
        values.duration(1, 30 * _DAY),
        "60s",
        "When a device is asked again for an observation that it refused or did not answer; twice as long each time",
        reloadable=True,
    )
    observe_retry_max: float = setting(
        values.duration(1, 30 * _DAY), "6h", "The longest time until it is asked again", reloadable=True
    )
    overdue: float = setting(
        values.duration(0, 30 * _DAY),
        "2m",
        "How long after an uplink that was expected and did not come a device counts as not responding",
        reloadable=True,
    )
    nat: float = setting(
        values.duration(0, _DAY),
        "0s",
        "How long devices can be reached after an uplink, where a NAT is before them; 0s is while they are registered",
        reloadable=True,
    )
    nat_seen: float = setting(
        values.duration(0, _DAY),
        "30s",
        "The same for a device whose port changes between Updates, which shows a NAT; 0s takes no notice",
        reloadable=True,
    )
    forget_after: float = setting(
        values.duration(0, 10 * _YEAR),
        "30d",
        "How long a device without a registration stays known, unless it has labels, observations or a profile by "
        "hand; 0s is for ever",
        reloadable=True,
    )
    send: Literal["accept", "refuse"] = setting(
        values.choice("accept", "refuse"),
        "accept",
        "Whether values that devices report by themselves (Send) are taken; the profile of a device may say otherwise",
        reloadable=True,
    )


@attrs.frozen
class Queue:
    """Requests that wait for their device, and what is made of missing answers."""

    awake: float = setting(
        values.duration(1, _DAY),
        "93s",
        "How long a device in queue mode listens after an exchange (MAX_TRANSMIT_WAIT)",
        reloadable=True,
    )
    limit: int = setting(
        values.integer(1, 100000), "100", "Requests that may wait for one device; more are refused", reloadable=True
    )
    total: int = setting(
        values.integer(1, 100_000_000),
        "1000000",
        "Requests that may wait for all devices together; more are refused",
        reloadable=True,
    )
    unanswered: int = setting(
        values.integer(1, 1000),
        "1",
        "Requests in a row without an answer after which a device that does not sleep counts as not responding",
        reloadable=True,
    )
    ttl: float = setting(
        values.duration(1, _YEAR), "24h", "How long a request waits for its device, if it does not say", reloadable=True
    )
    timeout: float = setting(
        values.duration(1, _DAY),
        "93s",
        "How long a device has for its answer, if the request does not say",
        reloadable=True,
    )


@attrs.frozen
class Limits:
    """Bounds of what the daemon keeps in memory and storage."""

    devices: int = setting(
        values.integer(1, 100_000_000),
        "1000000",
        "Devices known at once; the longest gone gives way, else new ones are refused",
        reloadable=True,
    )
    registers: int = setting(
        values.integer(1, 100_000),
        "1000",
        "Registers that wait for the storage at once, half of them of unknown devices; more get 5.03 with Max-Age",
        reloadable=True,
    )
    devices_per_gateway: int = setting(
        values.integer(0, 65534), "128", "Devices shown behind one LwM2M Gateway; more are left out", reloadable=True
    )
    templates: int = setting(
        values.integer(0, 1_000_000), "1000", "Observation templates that operators may put", reloadable=True
    )
    profile_ids: int = setting(
        values.integer(0, 1_000_000), "1000", "Profile ids that operators may configure", reloadable=True
    )
    device_profiles: int = setting(
        values.integer(0, 100_000), "1000", "Device profiles that operators may put", reloadable=True
    )
    observations_per_device: int = setting(
        values.integer(1, 65535), "64", "Observations of one device", reloadable=True
    )
    labels_per_device: int = setting(
        values.integer(0, 65535), "64", "Labels of one device, its own claims included", reloadable=True
    )
    twin_values_per_device: int = setting(
        values.integer(0, 1_000_000), "1000", "Last values kept of one device; the oldest go first", reloadable=True
    )
    deduplication_size: int = setting(
        values.size(1 << 16), "64MiB", "Memory for answers that are kept for requests that come twice"
    )
    pending: int = setting(values.integer(1, 100_000_000), "100000", "CoAP requests to devices that wait for an answer")
    coap_body_size: int = setting(
        values.size(1 << 10, 1 << 30), "1MiB", "Largest body that a device may send in blocks"
    )
    assembly_size: int = setting(
        values.size(1 << 16), "64MiB", "Memory for bodies that devices are sending; more get 5.03 with Max-Age"
    )
    body_size: int = setting(values.size(1 << 10, 1 << 30), "1MiB", "Largest body of an API request", reloadable=True)
    event_readers: int = setting(
        values.integer(0, 100000), "100", "Readers of the event stream at once", reloadable=True
    )
    event_reader_queue: int = setting(
        values.integer(1, 1_000_000),
        "1000",
        "Events that wait for one slow reader before it is disconnected",
        reloadable=True,
    )
    operations_kept: int = setting(
        values.integer(0, 100_000_000),
        "10000",
        "Ended operations that can still be looked up; the oldest go first",
        reloadable=True,
    )
    models: int = setting(
        values.integer(0, 60_000), "1000", "Object models that may be put through the API", reloadable=True
    )
    credentials: int = setting(
        values.integer(0, 100_000_000), "2000000", "Credentials that may be put through the API", reloadable=True
    )
    refused: int = setting(
        values.integer(1, 1_000_000),
        "1000",
        "Devices that were refused and are remembered; the longest ago goes first",
        reloadable=True,
    )
    registrations_per_identity: int = setting(
        values.integer(1, 100_000_000),
        "10000",
        "Endpoints that may be registered by one identity at once",
        reloadable=True,
    )
    messages_size: int = setting(
        values.size(0),
        "16MiB",
        "Memory for the last messages of all devices together, about 250 000 Updates and answers; 0B keeps none",
        reloadable=True,
    )
    traces: int = setting(
        values.integer(0, 1000), "8", "Traces at once; the oldest that has ended makes room", reloadable=True
    )
    trace_size: int = setting(
        values.size(1 << 12, 1 << 30), "4MiB", "Memory of one trace, which ends when it is full", reloadable=True
    )


@attrs.frozen
class Api:
    """The HTTP API, health and metrics."""

    listen: tuple[Address, ...] = setting(
        listen(),
        f"{LOOPBACK}:8080",
        "Where to listen, separated by commas or lines; port 0 is any free one, empty is off",
    )
    metrics_open: bool = setting(values.boolean(), "no", "Whether /metrics answers without a token", reloadable=True)
    admin_token: Secret | None = setting(  # noqa: RUF009  a Secret does not change
        values.secret(), "", "Token of the administrator; empty: made at the first start, kept in STATE/admin.token"
    )


@attrs.frozen
class Storage:
    """What survives a restart."""

    url: str = setting(
        values.storage_url(),
        "sqlite:",
        "Where it is kept: sqlite: is a file in the state directory, a relative PATH below it, memory: is nowhere",
    )
    events: int = setting(
        values.integer(0, 1_000_000_000), "100000", "Events kept for readers that come back", reloadable=True
    )
    cache_size: int = setting(values.size(1 << 20, 1 << 40), "16MiB", "Memory for pages of SQLite's database")
    flush_interval: float = setting(
        values.duration(0.1, 3600), "60s", "How long refreshed lifetimes may be in memory only", reloadable=True
    )


@attrs.frozen
class History:
    """What devices told, kept beyond the newest values."""

    retention: float = setting(
        values.duration(0, 100 * _YEAR), "7d", "How long a value is kept; 0s keeps no history", reloadable=True
    )
    values_per_resource: int = setting(
        values.integer(1, 1_000_000),
        "1000",
        "Values kept of one Resource or Resource Instance; the oldest go first, within a quarter of an hour",
        reloadable=True,
    )


@attrs.frozen
class Logging:
    """What is logged, and how."""

    level: str = setting(values.choice(*LEVELS), "info", "Least level that is logged", reloadable=True)
    levels: tuple[tuple[str, str], ...] = setting(
        values.levels(*LEVELS), "", "Levels of single namespaces, like lwm2md.net=debug, twisted=warn", reloadable=True
    )
    format: str = setting(values.choice("text", "json"), "text", "Lines of text, or a JSON object a line")


_NO_ORIGINS: Final[Mapping[tuple[str, str], str]] = {}
_NO_ENTRIES: Final[Mapping[str, Sequence[Entry]]] = {}


@attrs.frozen
class Settings:
    """The whole configuration: an attribute per section, and where it came from.

    ``files`` are those that were read, in order; ``origins`` says for each (section, key) that was set which file, or
    ``--set``, had the last word. ``object_models`` are those of the directory that ``[lwm2md] models`` names,
    ``material`` is what is in the files that ``[security]`` names. ``plugin_entries`` are the lines of each
    ``[plugin:NAME]`` as written, for the plugin's own schema.
    """

    lwm2md: Daemon = Daemon()
    coap: Coap = Coap()
    coaps: Coaps = Coaps()  # noqa: RUF009  it is frozen
    security: Security = Security()  # noqa: RUF009  it is frozen
    registration: Registration = Registration()
    queue: Queue = Queue()
    limits: Limits = Limits()
    api: Api = Api()
    storage: Storage = Storage()
    history: History = History()
    logging: Logging = Logging()
    plugins: Plugins = Plugins()  # noqa: RUF009  it is frozen
    files: tuple[str, ...] = ()
    origins: Mapping[tuple[str, str], str] = attrs.field(default=_NO_ORIGINS, repr=False)
    object_models: Sequence[ObjectModel] = attrs.field(default=(), repr=False)
    remarks: Sequence[str] = attrs.field(default=(), repr=False)
    plugin_entries: Mapping[str, Sequence[Entry]] = attrs.field(default=_NO_ENTRIES, repr=False)
    material: Material | None = attrs.field(default=None, repr=False)


SECTIONS: Final[Mapping[str, type]] = {
    field.name: type(field.default) for field in attrs.fields(Settings) if attrs.has(type(field.default))
}


def value_of(settings: Settings, section: str, key: str) -> object:
    """Return the value of ``key`` in ``section`` as both are written in the file."""
    return getattr(getattr(settings, section), key.replace("-", "_"))
