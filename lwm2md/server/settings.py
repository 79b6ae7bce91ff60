"""What the operator may tune in the server's decisions; the INI file's values arrive here as plain numbers."""

from __future__ import annotations

from typing import Final, Literal

import attrs

from lwm2md.security.rules import Policy

_POLICY: Final = Policy()
Follow = Literal["update", "echo", "register"]


@attrs.frozen(slots=True, kw_only=True)
class ServerSettings:
    """Times in seconds, limits as counts.

    ``default_lifetime``, ``min_lifetime`` and ``max_lifetime`` (0: no cap) shape the effective lifetime; ``grace`` is
    added before a registration expires. ``awake`` is how long a queue-mode device listens after an exchange,
    ``timeout`` how long an answer may take, ``ttl`` how long a request may wait for its device. A device without a
    registration is forgotten ``forget_after`` it was last seen (0: never). For ``revive`` seconds after its end an
    Update brings a registration back; with ``identify`` devices are asked what they are, where profiles need that.
    ``send`` is whether what devices send by themselves is taken, ``history`` whether values are kept beyond the newest.

    ``nat`` is how long a device can be reached after its last uplink (0: while it is registered), ``nat_seen`` the same
    for one that shows that a NAT is before it (0: takes no notice). A device is not responding that is ``overdue``
    seconds late, or has left ``unanswered`` requests unanswered. ``follow`` says what takes an unauthenticated
    registration to another address, ``displace`` whether a Register from elsewhere may take its place.

    At most so many ``registers`` wait for the storage, half of them of devices that are not known.
    What a device refuses to observe it is asked again after ``observe_retry``, then after twice that and so on up to
    ``observe_retry_max``; so many ``templates`` of wishes may be kept.

    ``policy`` says who may register as what; a Register waits ``admission_timeout`` for what must be asked about that.
    So many ``refused`` devices are remembered, and one identity has ``registrations_per_identity`` at most.
    """

    default_lifetime: int = 86400
    min_lifetime: int = 1
    max_lifetime: int = 0
    grace: float = 0.0
    forget_after: float = 30 * 86400.0
    revive: float = 0.0
    identify: bool = True
    send: Literal["accept", "refuse"] = "accept"
    awake: float = 93.0
    timeout: float = 93.0
    ttl: float = 86400.0
    queue_limit: int = 100
    queue_total: int = 1_000_000
    unanswered: int = 1
    nat: float = 0.0
    nat_seen: float = 30.0
    overdue: float = 120.0
    follow: Follow = "update"
    displace: bool = True
    max_devices: int = 1_000_000
    registers: int = 1000
    observe_retry: float = 60.0
    observe_retry_max: float = 6 * 3600.0
    templates: int = 1000
    devices_per_gateway: int = 128
    profile_ids: int = 1000
    device_profiles: int = 1000
    observations_per_device: int = 64
    labels_per_device: int = 64
    twin_values: int = 1000
    history: bool = True
    operations_kept: int = 10_000
    models: int = 1000
    flush_interval: float = 60.0
    policy: Policy = _POLICY
    admission_timeout: float = 10.0
    refused: int = 1000
    registrations_per_identity: int = 10_000
