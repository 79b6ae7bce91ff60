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

from cryptography.exceptions import InvalidTag

from lwm2md.security.dtls.ciphers import Open, Seal, opener, sealer
from lwm2md.security.dtls.records import APPLICATION_DATA, CID_HEADER, TLS12_CID, number, split
from lwm2md.security.dtls.replay import fresh, mark
from lwm2md.security.dtls.session import DROPS, EPOCH_1, FIRST, LAST, DtlsSession
from lwm2md.security.dtls.suites import Suite

_HELD: Final = 4


def counters() -> dict[str, int]:
    """Return the counters that crossings share."""
    return dict.fromkeys((*DROPS, "overflowed"), 0)


class Crossing:
    """One handshake's datagrams, both ways.

    ``own_cid`` is our Connection ID and ``cid`` the peer's, as the hellos agreed on them; empty for none. They may be
    set until the keys are known. ``held`` are the records that are for the session once there is one. ``counters`` are
    as `counters` makes them.
    """

    __slots__ = ("_bits", "_counters", "_open", "_outward", "_seal", "_top", "_waiting", "cid", "held", "own_cid")

    def __init__(self, counters: dict[str, int], *, own_cid: bytes = b"", cid: bytes = b"") -> None:
        self.own_cid = own_cid
        self.cid = cid
        self.held: list[bytes] = []
        self._counters = counters
        self._waiting: list[bytes] = []
        self._open: Open | None = None
        self._seal: Seal | None = None
        self._outward: tuple[Open, Seal] | None = None
        self._top = EPOCH_1 - 1
        self._bits = 0

    def incoming(self, datagram: bytes) -> list[bytes]:
        """Return the records for OpenSSL in a datagram, in their order."""
        records, clean = split(datagram)
        if not clean:
            self._counters["malformed"] += 1
        return [passed for record in records for passed in self._incoming(record)]

    def keyed(self, suite: Suite, keys: bytes) -> list[bytes]:
        """Know the keys, as `session.own_keys` gives them; return what of epoch 1 had to wait for them."""
        key, iv = suite.key_length, suite.iv_length
        ours, theirs = (keys[:key], keys[2 * key : 2 * key + iv]), (keys[key : 2 * key], keys[2 * key + iv :])
        self._open = opener(suite, *theirs, cid=bool(self.own_cid))
        if self.own_cid:
            self._seal = sealer(suite, *theirs, b"")
        if self.cid:
            self._outward = opener(suite, *ours, cid=False), sealer(suite, *ours, self.cid)
        waiting, self._waiting = self._waiting, []
        return [passed for record in waiting for passed in self._incoming(record)]

    def outgoing(self, datagram: bytes) -> bytes:
        """Return a datagram of OpenSSL's as it goes to the network; empty if nothing of it does.

        What is protected and numbered as records of the session will be goes nowhere.
        """
        out = []
        for record in split(datagram)[0]:
            if number(record) < EPOCH_1 or (number(record) < FIRST and not self.cid):
                out.append(record)
            elif number(record) < FIRST and self._outward is not None:
                out.append(self._changed(record, *self._outward))
        return b"".join(out)

    def hand_over(self, session: DtlsSession) -> None:
        """Tell the new session which of its peer's numbers are used up."""
        session.top, session.bits = self._top, self._bits

    def _incoming(self, record: bytes) -> list[bytes]:
        """Return a record as OpenSSL takes it; nothing if it has to wait, is not for OpenSSL, or is dropped."""
        numbered = number(record)
        cid = record[11 : CID_HEADER - 2] if record[0] == TLS12_CID else b""
        if numbered < EPOCH_1:
            return [record]
        if numbered > LAST:
            self._counters["wrong_epoch"] += 1
        elif cid != self.own_cid:
            self._counters["wrong_form"] += 1
        elif record[0] == APPLICATION_DATA:
            self._keep(self.held, record)
        elif self._open is None:
            self._keep(self._waiting, record)
        elif not fresh(self._top, self._bits, numbered):
            self._counters["replayed"] += 1
        else:
            return self._authentic(record, numbered, self._open)
        return []

    def _authentic(self, record: bytes, numbered: int, unseal: Open) -> list[bytes]:
        try:
            opened = unseal(record, numbered)
        except InvalidTag:
            self._counters["bad_mac"] += 1
            return []
        if opened is None:
            self._counters["malformed"] += 1
            return []
        if opened[0] == APPLICATION_DATA:
            self._keep(self.held, record)
            return []
        self._top, self._bits = mark(self._top, self._bits, numbered)
        return [record if self._seal is None else self._seal(numbered, *opened)]

    def _changed(self, record: bytes, unseal: Open, seal: Seal) -> bytes:
        """Return a record of OpenSSL's in the form that the peer asked for.

        It can't be opened where a hello was forged, and we have read another one than OpenSSL.
        """
        try:
            opened = unseal(record, number(record))
        except InvalidTag:
            opened = None
        if opened is None:
            self._counters["bad_mac"] += 1
            return b""
        return seal(number(record), *opened)

    def _keep(self, where: list[bytes], record: bytes) -> None:
        if len(where) < _HELD:
            where.append(record)
        else:
            self._counters["overflowed"] += 1
