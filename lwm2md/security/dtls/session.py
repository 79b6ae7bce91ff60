"""An established association: its keys, its two sequence numbers, and who it is.

RULES: a session is small, because a million of them sleep: one run of bytes for the keys, no cipher objects but while
it is in use (`ready`), no window object. It seals and opens the records of epoch 1, which is the only one it has:
renegotiation is refused (RFC 7925 section 17), and a new handshake makes a new session. Sources: RFC 5246 section
6.2.3.3 and RFC 6347 section 4.1.2.1 for the additional data, RFC 6655 and 5288 for nonces with an explicit part, RFC
7905 for those without, RFC 9146 section 5 for the records with a Connection ID. What can't be opened is counted by its
cause and dropped; only who has the keys can change anything here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag

from lwm2md.security.dtls.records import (
    CID_HEADER,
    CID_LENGTH,
    DTLS_1_2,
    HEADER,
    MAX_PLAINTEXT,
    MAX_SEQUENCE,
    TLS12_CID,
)
from lwm2md.security.dtls.replay import NONE, fresh, mark
from lwm2md.security.dtls.suites import Suite
from lwm2md.security.identity import Identity

PEER: Final = b"\x5d"
"""What the peers of sessions begin with, as the engine knows them; behind it stands the id, which is our CID too."""

DROPS: Final = ("malformed", "bad_mac", "replayed", "wrong_epoch", "wrong_form")
"""Why a record of a session is dropped: the counters that `DtlsSession.open` needs to find."""

FIRST: Final = 64
"""The sequence number of the first record that a session of its own sends. Those below are OpenSSL's, for its Finished
and for sending that again while the peer has not shown that it arrived; no number may serve twice with one key."""

_EPOCH_1: Final = b"\x00\x01"
_START: Final = 1 << 48
_CID_SEALED: Final = b"\xff" * 8 + bytes((TLS12_CID,))
_CID_OPENED: Final = _CID_SEALED + bytes((CID_LENGTH,))
_CID_HEAD: Final = bytes((TLS12_CID,)) + DTLS_1_2

Ciphers = tuple[Callable[[bytes, bytes, bytes], bytes], bytes, Callable[[bytes, bytes, bytes], bytes], bytes, int]


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
    of the handshake; ``changed`` says that storage does not have all of it yet.
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
        self.sent = _START + FIRST
        self.top = NONE
        self.bits = 0
        self.seen = 0.0
        self.ciphers: Ciphers | None = None

    def ready(self) -> Ciphers:
        """Make the cipher objects that `seal` and `open` need; ``ciphers`` is set to None where they are too many."""
        suite, keys = self.suite, self.keys
        assert suite.aead is not None
        key, iv = suite.key_length, suite.iv_length
        write, read = suite.aead(keys[:key]), suite.aead(keys[key : 2 * key])
        ivs = keys[2 * key :]
        self.ciphers = ciphers = (write.encrypt, ivs[:iv], read.decrypt, ivs[iv:], suite.overhead)
        return ciphers

    def seal(self, content_type: int, plaintext: bytes) -> bytes | None:
        """Return the next record, with ``plaintext`` of that type in it; None once the numbers are used up."""
        number = self.sent
        if number - _START > MAX_SEQUENCE:
            return None
        self.sent = number + 1
        return seal(self.ciphers or self.ready(), number, self.cid, content_type, plaintext)

    def open(self, record: bytes, counters: dict[str, int]) -> tuple[int, bytes, bool] | None:
        """Return the content type, the plaintext, and whether no later record came before; None if it is dropped.

        ``record`` is one whole record with its header, whose length is what that says.
        """
        sequence = int.from_bytes(record[5:11], "big")
        top = self.top
        if record[3:5] != _EPOCH_1:
            counters["wrong_epoch"] += 1
        elif (record[0] == TLS12_CID) is not self.own_cid:
            counters["wrong_form"] += 1
        elif sequence <= top and not fresh(top, self.bits, sequence):
            counters["replayed"] += 1
        else:
            opened = unseal(self.ciphers or self.ready(), record, counters)
            if opened is not None:
                self.top, self.bits = mark(top, self.bits, sequence)
                return opened[0], opened[1], sequence > top
        return None


def seal(ciphers: Ciphers, number: int, cid: bytes, content_type: int, plaintext: bytes) -> bytes:
    """Return the record with epoch and sequence ``number``, for a peer with Connection ID ``cid``, empty for none."""
    encrypt, iv, _, _, overhead = ciphers
    eight = number.to_bytes(8, "big")
    if cid:
        head = _CID_HEAD + eight + cid
        plaintext += bytes((content_type,))
        size = len(plaintext)
        data = _CID_SEALED + bytes((len(cid),)) + head + size.to_bytes(2, "big")
    else:
        size = len(plaintext)
        head = bytes((content_type,)) + DTLS_1_2
        data = eight + head + size.to_bytes(2, "big")
        head += eight
    length = (size + overhead).to_bytes(2, "big")
    if len(iv) == 4:
        return head + length + eight + encrypt(iv + eight, plaintext, data)
    return head + length + encrypt(_added(iv, eight), plaintext, data)


def unseal(ciphers: Ciphers, record: bytes, counters: dict[str, int]) -> tuple[int, bytes] | None:
    """Return the content type and plaintext of a whole record, with our Connection ID or with none; None if dropped."""
    _, _, decrypt, iv, overhead = ciphers
    cid = record[0] == TLS12_CID
    start = CID_HEADER if cid else HEADER
    size = len(record) - start - overhead
    if size < cid or size > MAX_PLAINTEXT + cid * 256:
        counters["malformed"] += 1
        return None
    length = size.to_bytes(2, "big")
    data = _CID_OPENED + record[: start - 2] + length if cid else record[3:11] + record[:3] + length
    try:
        if len(iv) == 4:
            plaintext = decrypt(iv + record[start : start + 8], record[start + 8 :], data)
        else:
            plaintext = decrypt(_added(iv, record[3:11]), record[start:], data)
    except InvalidTag:
        counters["bad_mac"] += 1
        return None
    if not cid:
        return record[0], plaintext
    plaintext = plaintext.rstrip(b"\0")
    if not plaintext:
        counters["malformed"] += 1
        return None
    return plaintext[-1], plaintext[:-1]


def _added(iv: bytes, eight: bytes) -> bytes:
    """Return the nonce of a suite without an explicit part (RFC 7905 section 2)."""
    return (int.from_bytes(iv, "big") ^ int.from_bytes(eight, "big")).to_bytes(12, "big")
