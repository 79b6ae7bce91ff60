"""The settings of ``[coaps]``: where DTLS is spoken, and how much of it anybody may have.

RULES: what proves an identity, and the cipher suites, are in ``[security]``. A limit that is reached has a metric.
"""

from __future__ import annotations

import attrs

from lwm2md.config import values
from lwm2md.config.addresses import Address, listen
from lwm2md.config.setting import setting

_DAY = 86400.0


@attrs.frozen
class Coaps:
    """CoAP over DTLS 1.2. What proves an identity is in [security]."""

    listen: tuple[Address, ...] = setting(
        listen(), "", "Where to listen, separated by commas or lines; port 0 is any free one, empty is off"
    )
    connection_id: bool = setting(
        values.boolean(),
        "yes",
        "Whether devices that ask for a Connection ID get one, and so keep their session behind NATs",
    )
    node: int = setting(
        values.integer(0, 255), "0", "First byte of every Connection ID, by which one can tell whose session it is"
    )
    handshake_wait: float = setting(
        values.duration(0.1, 60), "2s", "How long a flight of a handshake waits for its answer before it is sent again"
    )
    handshake_time: float = setting(values.duration(1, 600), "60s", "How long a handshake may take")
    mtu: int = setting(values.integer(256, 16384), "1200", "Largest datagram of a handshake, in bytes")
    half_open: int = setting(values.integer(1, 1_000_000), "4096", "Handshakes that may be under way at once")
    half_open_source: int = setting(
        values.integer(1, 1_000_000),
        "256",
        "The same from one source: an IPv4 address, or 64 bits of an IPv6 one",
    )
    handshake_rate: float = setting(
        values.number(1, 1_000_000), "1000", "Handshakes that may begin in a second; five seconds' worth at once"
    )
    handshake_rate_source: float = setting(values.number(0.1, 1_000_000), "50", "The same from one source")
    challenge_rate: float = setting(
        values.number(1, 10_000_000), "5000", "Hellos of strangers that are answered with a cookie in a second"
    )
    sessions: int = setting(
        values.integer(1, 10_000_000), "1100000", "Sessions that are kept; those silent longest end when there are more"
    )
    sessions_size: int = setting(values.size(1 << 20, 1 << 40), "1GiB", "Memory for sessions, likewise")
    session_idle: float = setting(
        values.duration(60, 3650 * _DAY), "7d", "How long a session lives of which nothing is heard"
    )
    sessions_in_openssl: int = setting(
        values.integer(0, 1_000_000), "1000", "Sessions with cipher suites of CBC mode, each of which takes up to 80 KB"
    )
    alert_unknown: bool = setting(
        values.boolean(),
        "no",
        "Whether who sends records of a session that is not known here gets an alert, once a minute at most",
    )
