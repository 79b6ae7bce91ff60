"""An established association: its keys, its two sequence numbers, and who it is.

RULES: a session is small, because a million of them sleep: one run of bytes for the keys, no cipher objects but while
it is in use (`ready`), no window object. It has one epoch, the first: renegotiation is refused (RFC 7925 section 17),
and a new handshake makes a new session. What can't be opened is counted by its cause and dropped; only who has the keys
can change anything here. Numbers are those of records with their epoch in front, 64 bits.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidTag

from lwm2md.security.dtls.ciphers import Open, Seal, opener, sealer
from lwm2md.security.dtls.records import MAX_SEQUENCE, TLS12_CID
from lwm2md.security.dtls.replay import ALL, fresh, mark
from lwm2md.security.dtls.suites import Suite
from lwm2md.security.identity import Identity

PEER: Final = b"\x5d"
"""What the peers of sessions begin with, as the engine knows them; behind it stands the id, which is our CID too."""

DROPS: Final = ("bad_mac", "malformed", "replayed", "wrong_epoch", "wrong_form")
"""Why a record of a session is dropped: the counters that `DtlsSession.open` needs to find."""

EPOCH_1: Final = 1 << 48
LAST: Final = EPOCH_1 | MAX_SEQUENCE

FIRST: Final = EPOCH_1 + 64
"""The number of the first record that a session sends. Those below are OpenSSL's, for its Finished and for sending that
again while the peer has not shown that it arrived; no number may serve twice with one key.
"""


def own_keys(suite: Suite, block: bytes, *, client: bool) -> bytes:
    """Return the key block in the order of a session: the key we write with, the one we read with, then so the IVs."""
    key, iv = suite.key_length, suite.iv_length
    if client:
        return block[: suite.block_length]
    return block[key : 2 * key] + block[:key] + block[2 * key + iv : 2 * (key + iv)] + block[2 * key : 2 * key + iv]


class DtlsSession:
    """One association. ``peer`` is its stable name, ``address`` where it was heard last ("" once others are there).

    ``keys`` are as `own_keys` gives them. ``own_cid`` says that its peer puts our Connection ID (the peer's name
    without its first octet) into every record; ``cid`` is what the peer wants in ours, empty for none. ``scope`` says
    which credentials proved the identity. ``confirmed`` is False until the peer has shown that it got the last flight
    of the handshake; ``changed`` says that storage does not have all of it yet. ``sent`` is the number of the next
    record to send, ``top`` and ``bits`` are the window of those received.
    """

    __slots__ = (
        "address",
        "bits",
        "changed",
        "cid",
        "ciphers",
        "confirmed",
        "identity",
        "keys",
        "own_cid",
        "peer",
        "scope",
        "seen",
        "sent",
        "suite",
        "top",
    )

    def __init__(
        self,
        peer: bytes,
        address: bytes,
        suite: Suite,
        keys: bytes,
        identity: Identity,
        *,
        own_cid: bool = False,
        cid: bytes = b"",
        scope: str = "",
        confirmed: bool = True,
    ) -> None:
        self.peer = peer
        self.address = address
        self.suite = suite
        self.keys = keys
        self.identity = identity
        self.own_cid = own_cid
        self.cid = cid
        self.scope = scope
        self.confirmed = confirmed
        self.changed = False
        self.sent = FIRST
        self.top = EPOCH_1 - 1
        self.bits = 0
        self.seen = 0.0
        self.ciphers: tuple[Seal, Open] | None = None

    def ready(self) -> tuple[Seal, Open]:
        """Make what seals and opens; ``ciphers`` is set to None again where they are too many."""
        suite, keys = self.suite, self.keys
        key, iv = suite.key_length, suite.iv_length
        seal = sealer(suite, keys[:key], keys[2 * key : 2 * key + iv], self.cid)
        self.ciphers = ciphers = seal, opener(suite, keys[key : 2 * key], keys[2 * key + iv :], cid=self.own_cid)
        return ciphers

    def seal(self, content_type: int, plaintext: bytes) -> bytes | None:
        """Return the next record, with ``plaintext`` of that type in it; None once the numbers are used up."""
        number = self.sent
        if number > LAST:
            return None
        self.sent = number + 1
        return (self.ciphers or self.ready())[0](number, content_type, plaintext)

    def open(self, record: bytes, number: int, counters: dict[str, int]) -> tuple[int, bytes, bool] | None:
        """Return the content type, the plaintext, and whether no later record came before; None if it is dropped.

        ``record`` is one whole DTLS 1.2 record with its header, ``number`` its number as that says.
        """
        top = self.top
        behind = top - number
        if not EPOCH_1 <= number <= LAST:
            counters["wrong_epoch"] += 1
        elif (record[0] == TLS12_CID) is not self.own_cid:
            counters["wrong_form"] += 1
        elif behind >= 0 and not fresh(top, self.bits, number):
            counters["replayed"] += 1
        else:
            try:
                opened = (self.ciphers or self.ready())[1](record, number)
            except InvalidTag:
                counters["bad_mac"] += 1
                return None
            if opened is None:
                counters["malformed"] += 1
                return None
            if behind == -1:
                self.top = number
                self.bits = (self.bits << 1 | 1) & ALL
            else:
                self.top, self.bits = mark(top, self.bits, number)
            return opened[0], opened[1], behind < 0
        return None
