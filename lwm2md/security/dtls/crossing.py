"""Epoch 1 of a handshake, between the network and OpenSSL.

RULES: OpenSSL knows no Connection IDs (RFC 9146): each Finished in a record of type 25 is opened here and handed to it
as the ordinary record that it expects, and what it sends is opened and sealed again for a peer that wants its own
Connection ID. A record keeps its number on the way, so each number still serves once on the network. The keys are
known as soon as OpenSSL has taken the ClientKeyExchange; what comes before waits. Records of epoch 1 are authenticated
here in any case, Connection ID or not, before OpenSSL sees them: so the session that follows knows which numbers are
used up. Early application data never goes to OpenSSL: it is held for the session. What is held is bounded.
"""

from __future__ import annotations

from typing import Final

from lwm2md.security.dtls.records import (
    APPLICATION_DATA,
    CID_HEADER,
    TLS12_CID,
    epoch,
    sequence,
    split,
)
from lwm2md.security.dtls.replay import NONE, fresh, mark
from lwm2md.security.dtls.session import DROPS, FIRST, Ciphers, DtlsSession, seal, unseal
from lwm2md.security.dtls.suites import Suite

_HELD: Final = 4

_NAMES: Final = (*DROPS, "overflowed")


def counters() -> dict[str, int]:
    """Return the counters that crossings share."""
    return dict.fromkeys(_NAMES, 0)


class Crossing:
    """One handshake's datagrams, both ways.

    ``own_cid`` is our Connection ID and ``cid`` the peer's, as the hellos agreed on them; empty for none. They may be
    set until the first record of epoch 1. ``held`` are the records that are for the session once there is one.
    ``counters`` are as `counters` makes them.
    """

    __slots__ = ("_bits", "_counters", "_ours", "_theirs", "_top", "_waiting", "cid", "held", "own_cid")

    def __init__(self, counters: dict[str, int], *, own_cid: bytes = b"", cid: bytes = b"") -> None:
        self.own_cid = own_cid
        self.cid = cid
        self.held: list[bytes] = []
        self._counters = counters
        self._waiting: list[bytes] = []
        self._ours: Ciphers | None = None
        self._theirs: Ciphers | None = None
        self._top = NONE
        self._bits = 0

    def incoming(self, datagram: bytes) -> list[bytes]:
        """Return the records for OpenSSL in a datagram, in their order."""
        records, clean = split(datagram)
        if not clean:
            self._counters["malformed"] += 1
        out = []
        for record in records:
            if epoch(record) == 0:
                out.append(record)
            elif epoch(record) != 1:
                self._counters["wrong_epoch"] += 1
            else:
                out += self._epoch_1(record)
        return out

    def keyed(self, suite: Suite, keys: bytes) -> list[bytes]:
        """Know the keys, as `session.own_keys` gives them; return what of epoch 1 had to wait for them."""
        key, iv = suite.key_length, suite.iv_length
        ivs = keys[2 * key :]
        self._ours = _both_ways(suite, keys[:key], ivs[:iv])
        self._theirs = _both_ways(suite, keys[key : 2 * key], ivs[iv:])
        waiting, self._waiting = self._waiting, []
        return [plain for record in waiting for plain in self._epoch_1(record)]

    def outgoing(self, datagram: bytes) -> bytes:
        """Return a datagram of OpenSSL's as it goes to the network; empty if nothing of it does.

        What is protected and numbered as records of the session will be goes nowhere.
        """
        out = []
        for record in split(datagram)[0]:
            if epoch(record) == 0:
                out.append(record)
            elif sequence(record) < FIRST:
                out.append(self._sealed(record) if self.cid else record)
        return b"".join(out)

    def hand_over(self, session: DtlsSession) -> None:
        """Tell the new session which of its peer's numbers are used up."""
        session.top, session.bits = self._top, self._bits

    def _epoch_1(self, record: bytes) -> list[bytes]:
        """Return a record of epoch 1 as OpenSSL takes it, nothing if it has to wait or is dropped."""
        number = sequence(record)
        cid = record[11 : CID_HEADER - 2] if record[0] == TLS12_CID else b""
        if cid != self.own_cid:
            self._counters["wrong_form"] += 1
        elif record[0] == APPLICATION_DATA:
            self._keep(self.held, record)
        elif self._theirs is None:
            self._keep(self._waiting, record)
        elif not fresh(self._top, self._bits, number):
            self._counters["replayed"] += 1
        else:
            return self._opened(self._theirs, record, number)
        return []

    def _opened(self, theirs: Ciphers, record: bytes, number: int) -> list[bytes]:
        opened = unseal(theirs, record, self._counters)
        if opened is None:
            return []
        if opened[0] == APPLICATION_DATA:
            self._keep(self.held, record)
            return []
        self._top, self._bits = mark(self._top, self._bits, number)
        return [seal(theirs, 1 << 48 | number, b"", *opened) if self.own_cid else record]

    def _sealed(self, record: bytes) -> bytes:
        if self._ours is None:
            return b""
        opened = unseal(self._ours, record, self._counters)
        return b"" if opened is None else seal(self._ours, 1 << 48 | sequence(record), self.cid, *opened)

    def _keep(self, where: list[bytes], record: bytes) -> None:
        if len(where) < _HELD:
            where.append(record)
        else:
            self._counters["overflowed"] += 1


def _both_ways(suite: Suite, key: bytes, iv: bytes) -> Ciphers:
    """Return ciphers that open what they seal: the direction of a handshake that is ours to change."""
    assert suite.aead is not None
    aead = suite.aead(key)
    return aead.encrypt, iv, aead.decrypt, iv, suite.overhead
