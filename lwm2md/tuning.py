"""The settings of the INI file in the words of the parts that go by them: engine, core, tracing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import cast

import attrs

from lwm2md.coap.blocks import szx_for
from lwm2md.coap.engine import Limits, Parameters, Peer
from lwm2md.config import Settings
from lwm2md.config.addresses import Network
from lwm2md.config.security import Security
from lwm2md.net.addresses import unpack
from lwm2md.security.rules import Policy
from lwm2md.server.settings import Follow, ServerSettings


def engine_limits(settings: Settings) -> Limits:
    """What the engine may keep."""
    limits = settings.limits
    return Limits(
        reply_bytes=limits.deduplication_size,
        pending=limits.pending,
        outstanding=limits.pending,
        body=limits.coap_body_size,
        assembly_bytes=limits.assembly_size,
    )


def trusted(networks: Sequence[Network]) -> Callable[[Peer], bool]:
    """Whether the address of a peer is in one of the networks whose addresses nobody forges."""

    def known(peer: Peer) -> bool:
        address = ip_address(unpack(peer)[1].host)
        return any(address in network for network in networks)

    return known


def parameters(settings: Settings) -> Parameters:
    """The engine's transmission parameters."""
    coap = settings.coap
    return Parameters(
        ack_timeout=coap.ack_timeout,
        ack_random_factor=coap.ack_random_factor,
        max_retransmit=coap.max_retransmit,
        block_szx=szx_for(coap.block_size),
    )


@lru_cache(maxsize=1024)
def own_parameters(ours: Parameters, values: tuple[float | None, int | None, int | None]) -> Parameters:
    """The engine's parameters for a peer, where its profile says something else than the settings."""
    ack_timeout, max_retransmit, block_size = values
    return attrs.evolve(
        ours,
        ack_timeout=ours.ack_timeout if ack_timeout is None else ack_timeout,
        max_retransmit=ours.max_retransmit if max_retransmit is None else max_retransmit,
        block_szx=ours.block_szx if block_size is None else min(ours.block_szx, szx_for(block_size)),
    )


def policy(security: Security) -> Policy:
    """The operator's word on who may register as what."""
    return Policy(
        rules=security.rules,
        allow=security.allow,
        block=security.block,
        block_identities=security.block_identities,
        unsecured=security.unsecured,
        known_certificates=security.known_certificates,
        take_over=security.take_over,
    )


def tracing_limits(settings: Settings) -> dict[str, int]:
    """What traces may take."""
    limits = settings.limits
    return {"budget": limits.messages_size, "most": limits.traces, "trace_size": limits.trace_size}


def server_settings(settings: Settings) -> ServerSettings:
    """The core's settings out of the INI file's."""
    return ServerSettings(
        default_lifetime=int(settings.registration.default_lifetime),
        min_lifetime=int(settings.registration.min_lifetime),
        max_lifetime=int(settings.registration.max_lifetime),
        grace=settings.registration.grace,
        forget_after=settings.registration.forget_after,
        send=settings.registration.send,
        awake=settings.queue.awake,
        timeout=settings.queue.timeout,
        ttl=settings.queue.ttl,
        queue_limit=settings.queue.limit,
        queue_total=settings.queue.total,
        unanswered=settings.queue.unanswered,
        nat=settings.registration.nat,
        nat_seen=settings.registration.nat_seen,
        overdue=settings.registration.overdue,
        follow=cast("Follow", settings.coap.follow),
        displace=settings.coap.displace,
        max_devices=settings.limits.devices,
        registers=settings.limits.registers,
        devices_per_gateway=settings.limits.devices_per_gateway,
        revive=settings.registration.revive,
        identify=settings.registration.identify,
        profile_ids=settings.limits.profile_ids,
        templates=settings.limits.templates,
        observe_retry=settings.registration.observe_retry,
        observe_retry_max=settings.registration.observe_retry_max,
        device_profiles=settings.limits.device_profiles,
        observations_per_device=settings.limits.observations_per_device,
        labels_per_device=settings.limits.labels_per_device,
        twin_values=settings.limits.twin_values_per_device,
        history=settings.history.retention > 0,
        operations_kept=settings.limits.operations_kept,
        models=settings.limits.models,
        flush_interval=settings.storage.flush_interval,
        policy=policy(settings.security),
        admission_timeout=settings.security.admission_timeout,
        refused=settings.limits.refused,
        registrations_per_identity=settings.limits.registrations_per_identity,
    )
