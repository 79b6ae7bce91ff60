"""Who may get large answers: proof that a peer receives at its address (RFC 9175 2).

Rules: a peer that nobody vouches for gets at most three times what it has sent, or 136 bytes; where the answer is
larger, or keeps us busy (an observation, a body in blocks), it is asked for an Echo first. The Echo value is the time
and a hash over time and peer under a secret of this engine, so nothing is kept until it comes back. A peer stays
verified for a while, in bounded memory; one that answers a request of ours under its unguessable token is, too.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Peer, Response
from lwm2md.coap.memory import Generations

FREE: Final = 136
"""Bytes that every answer may have."""
FACTOR: Final = 3

_VALID: Final = 247.0
_REMEMBERED: Final = 3600.0
_TIME: Final = 8
_HASH: Final = 8
_SECRET: Final = 32


class Guard:
    """Decides what an address may get. `trusted` and `verified` are asked for what the engine does not know itself."""

    def __init__(
        self,
        random: Callable[[int], bytes],
        trusted: Callable[[Peer], bool] | None,
        verified: Callable[[Peer], bool] | None,
        peers: int,
    ) -> None:
        self._trusted = trusted
        self._verified = verified
        self._secret = random(_SECRET)
        self._known: Generations[Peer, bool] = Generations(_REMEMBERED, peers)

    def knows(self, peer: Peer, now: float) -> bool:
        """Tell whether `peer` is where it says."""
        return bool(
            (self._trusted is not None and self._trusted(peer))
            or self._known.get(peer, now)
            or (self._verified is not None and self._verified(peer))
        )

    def admits(self, peer: Peer, asked: int, answer: int, now: float) -> bool:
        """Tell whether `peer`, which has sent `asked` bytes, may get `answer` bytes."""
        return answer <= max(FREE, FACTOR * asked) or self.knows(peer, now)

    def challenge(self, peer: Peer, now: float) -> Response:
        """Return the answer that asks for an Echo."""
        time = int(now * 1000).to_bytes(_TIME, "big")
        return Response(numbers.UNAUTHORIZED, b"", ((numbers.ECHO, time + self._hash(peer, time)),))

    def take(self, peer: Peer, value: bytes, now: float) -> None:
        """Take an Echo value that came with a request; one that is wrong or old proves nothing."""
        time = value[:_TIME]
        fresh = 0 <= now - int.from_bytes(time, "big") / 1000 + 0.001 < _VALID
        if fresh and hmac.compare_digest(value[_TIME:], self._hash(peer, time)):
            self.confirm(peer, now)

    def confirm(self, peer: Peer, now: float) -> None:
        """Take that `peer` has shown that it receives what is sent to it."""
        self._known.put(peer, True, now)

    def _hash(self, peer: Peer, time: bytes) -> bytes:
        return hmac.digest(self._secret, time + peer, hashlib.sha256)[:_HASH]
