"""How many handshakes at once, from where, and how fast: what an attacker may take of the processor and the memory.

RULES: whoever has a session is not concerned: only newcomers pass here, and cheapest first: a challenge costs a token,
a handshake needs a valid cookie. There are limits for all and for each source; ``source`` (the shell's) says what of an
address is one source, such as an IPv4 address or the /64 of an IPv6 one. Those who are known, by a live session or by
one that they resume, have a share that strangers can't take; those that are trusted are spared altogether. Sources are
remembered for a while in bounded space.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import attrs

from lwm2md.coap.memory import Generations

REFUSALS: Final = ("half_open", "half_open_source", "rate", "rate_source", "challenges")
_SHARE: Final = 0.75
"""How full a limit may be for strangers."""
_PERIOD: Final = 60.0


@attrs.frozen(slots=True)
class GuardLimits:
    """How many handshakes may be half open, and how many may begin in a second: overall and of one source; in a burst
    that many seconds' worth. ``challenges`` is how many hellos without a cookie are answered in a second.
    """

    half_open: int = 4096
    half_open_source: int = 256
    rate: float = 1000.0
    rate_source: float = 50.0
    burst: float = 5.0
    challenges: float = 20_000.0
    sources: int = 65_536


class Bucket:
    """Tokens that come back at ``rate`` a second, up to ``size``."""

    __slots__ = ("rate", "size", "tokens", "when")

    def __init__(self, rate: float, size: float) -> None:
        self.rate = rate
        self.size = size
        self.tokens = size
        self.when = float("-inf")

    def level(self, now: float) -> float:
        """Return how many tokens there are."""
        if now > self.when:
            self.tokens = min(self.size, self.tokens + (now - self.when) * self.rate)
            self.when = now
        return self.tokens

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        if self.level(now) < 1:
            return False
        self.tokens -= 1
        return True


class HandshakeGuard:
    """Decides whether a handshake may begin."""

    def __init__(
        self,
        limits: GuardLimits | None = None,
        *,
        source: Callable[[bytes], bytes],
        trusted: Callable[[bytes], bool],
    ) -> None:
        self.counters = dict.fromkeys(REFUSALS, 0)
        self.half_open = 0
        self._limits = ours = limits or GuardLimits()
        self.source = source
        self._trusted = trusted
        self._challenges = Bucket(ours.challenges, ours.challenges)
        self._rate = Bucket(ours.rate, ours.rate * ours.burst)
        self._rates: Generations[bytes, Bucket] = Generations(_PERIOD, ours.sources)
        self._half_open: dict[bytes, int] = {}

    def challenge(self, now: float) -> bool:
        """Return whether a hello without a valid cookie is looked at and answered."""
        if self._challenges.take(now):
            return True
        self.counters["challenges"] += 1
        return False

    def admit(self, address: bytes, now: float, *, known: bool = False) -> str | None:
        """Let a handshake begin, which is half open from now on, and return None; else the limit that refuses it."""
        source = self.source(address)
        refusal = self._refusal(source, now, 1.0 if known else _SHARE)
        scarce = refusal is not None or self._rate.tokens < self._rate.size / 2
        # Whether somebody is trusted takes longer to find out than all else, and as a rule there is enough for all.
        if not (scarce and self._trusted(address)):
            if refusal is not None:
                self.counters[refusal] += 1
                return refusal
            self._rate.tokens -= 1
            self._bucket(source, now).tokens -= 1
        self.half_open += 1
        self._half_open[source] = self._half_open.get(source, 0) + 1
        return None

    def release(self, address: bytes) -> None:
        """Know that a handshake that was admitted has ended, well or not."""
        source = self.source(address)
        left = self._half_open.get(source, 0) - 1
        if left < 0:
            return
        self.half_open -= 1
        if left:
            self._half_open[source] = left
        else:
            del self._half_open[source]

    def _refusal(self, source: bytes, now: float, share: float) -> str | None:
        limits = self._limits
        if self.half_open >= limits.half_open * share:
            return "half_open"
        if self._half_open.get(source, 0) >= limits.half_open_source:
            return "half_open_source"
        if self._rate.level(now) < max(1.0, self._rate.size * (1 - share)):
            return "rate"
        if self._bucket(source, now).level(now) < 1:
            return "rate_source"
        return None

    def _bucket(self, source: bytes, now: float) -> Bucket:
        bucket = self._rates.get(source, now)
        if bucket is None:
            bucket = Bucket(self._limits.rate_source, self._limits.rate_source * self._limits.burst)
            self._rates.put(source, bucket, now)
        return bucket


@attrs.define(slots=True)
class Stranger:
    """An address whose records belong to no session: how many, and when (Unix time)."""

    first: float
    last: float
    count: int = 1


class Strangers:
    """Who sends records of associations that nobody has here, after a restart without storage or an eviction.

    The ``limit`` most recent ones are remembered; `tell` says to whom an alert may go that makes poor clients shake
    hands again: to each once in ``pause`` seconds, to ``rate`` in a second altogether.
    """

    def __init__(self, limit: int = 1024, *, pause: float = 60.0, rate: float = 10.0) -> None:
        self.known: OrderedDict[bytes, Stranger] = OrderedDict()
        self._limit = limit
        self._pause = pause
        self._told: Generations[bytes, bool] = Generations(pause, limit)
        self._alerts = Bucket(rate, rate)

    def heard(self, address: bytes, now: float) -> None:
        """Remember that a record came from ``address``."""
        known = self.known.get(address)
        if known is not None:
            known.last = now
            known.count += 1
            self.known.move_to_end(address)
            return
        if len(self.known) >= self._limit:
            self.known.popitem(last=False)
        self.known[address] = Stranger(now, now)

    def tell(self, address: bytes, now: float) -> bool:
        """Return whether an alert may be sent there, as one is then."""
        if self._told.get(address, now) or not self._alerts.take(now):
            return False
        self._told.put(address, True, now)
        return True
