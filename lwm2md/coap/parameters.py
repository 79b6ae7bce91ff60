"""How patient the engine is and how much it keeps: RFC 7252 4.8 by its own names, and the limits.

Rules: both are frozen and handed in at construction; every memory of the engine has its limit here, and a defined
answer when it is reached (see each attribute).
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Parameters:
    """Transmission parameters; times in seconds."""

    ack_timeout: float = 2.0
    ack_random_factor: float = 1.5
    max_retransmit: int = 4
    nstart: int = 1
    max_latency: float = 100.0
    separate_after: float = 1.0
    """How long a request may stay unanswered before the empty acknowledgement goes out."""
    block_szx: int = 6
    """Size exponent of our blocks, and of those that we ask for: 2 ** (it + 4) bytes, 0 to 6."""
    probing_rate: float = 1.0
    """Bytes per second of Non-confirmable requests to a peer that has not answered the last one."""

    @property
    def max_transmit_span(self) -> float:
        """Longest time from the first transmission to the last."""
        return self.ack_timeout * ((1 << self.max_retransmit) - 1) * self.ack_random_factor

    @property
    def max_transmit_wait(self) -> float:
        """Longest time from the first transmission until the sender gives up."""
        return self.ack_timeout * ((2 << self.max_retransmit) - 1) * self.ack_random_factor

    @property
    def exchange_lifetime(self) -> float:
        """Time after which the message ID of a Confirmable message may be used again."""
        return self.max_transmit_span + 2 * self.max_latency + self.ack_timeout

    @property
    def non_lifetime(self) -> float:
        """Time after which the message ID of a Non-confirmable message may be used again."""
        return self.max_transmit_span + self.max_latency


@attrs.frozen
class Limits:
    """What one engine keeps at most."""

    reply_bytes: int = 64 * 1024 * 1024
    """Replies remembered for duplicates; beyond it the oldest are forgotten."""
    reply_tail: int = 128
    """Bytes remembered of one peer's replies before the newest, which is always remembered; short ones take 20."""
    pending: int = 10_000
    """Requests that the handler has not answered yet; beyond it 5.03 with Max-Age."""
    busy_max_age: int = 5
    """Max-Age of that 5.03, in seconds."""
    queued_per_peer: int = 16
    """Exchanges of ours per peer, waiting ones included; beyond it the outcome is `overloaded`."""
    outstanding: int = 100_000
    """Exchanges of ours in all; beyond it the outcome is `overloaded`."""
    peers: int = 100_000
    """Peers whose next message ID or count of Resets is remembered; beyond it the oldest are forgotten."""
    resets_per_minute: int = 10
    """Resets of messages that nobody asked for, per peer; beyond it silence."""
    body: int = 1024 * 1024
    """Longest body, in bytes, that is put together: of a request 4.13, of a response `bad-response`."""
    assembly_bytes: int = 64 * 1024 * 1024
    """Bytes of unfinished bodies of requests in all; beyond it 5.03 with Max-Age."""
    assemblies_per_peer: int = 2
    """Unfinished bodies of requests of one peer; beyond it the oldest is forgotten."""
    slice_bytes: int = 16 * 1024 * 1024
    """Bytes of large responses kept for their later blocks; beyond it the oldest are forgotten and asked for again."""
    slices_per_peer: int = 4
    """Large responses kept for one peer; beyond it the oldest is forgotten."""
    observers: int = 10_000
    """Observers of ours whose block size is remembered; beyond it the oldest is forgotten."""
