"""One handshake of DTLS 1.2 (RFC 6347), of a server or a client: OpenSSL decides, this is what both have around it.

RULES: what was sent last is sent again, under new record numbers, until the peer goes on: how long the first wait is
says the operator, because the second of RFC 6347 is too short for the networks of devices (RFC 7925 section 11). With a
Connection ID the two Finished travel in records that OpenSSL does not know; `Crossing` carries them over. What begins
and what ends a handshake is the role's (`accepting`, `calling`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import attrs
from cryptography import x509

from lwm2md.net.flights import Flights
from lwm2md.net.openssl import Connection, Session
from lwm2md.security.dtls import keys as derivation
from lwm2md.security.dtls.crossing import Crossing
from lwm2md.security.dtls.hello import ServerHello
from lwm2md.security.dtls.records import (
    ALERT,
    APPLICATION_DATA,
)
from lwm2md.security.dtls.session import DtlsSession, own_keys
from lwm2md.security.dtls.suites import BY_NUMBER, Suite
from lwm2md.security.identity import Identity

_FATAL: Final = 2
_SLOWEST: Final = 60.0
_HELD: Final = 4
_APPLICATION: Final = bytes((APPLICATION_DATA,))


@attrs.frozen(slots=True)
class Timing:
    """How long a flight waits at first before it is sent again, how long a handshake may take, and how large a datagram
    of it may be: seconds and bytes.
    """

    first_wait: float = 2.0
    patience: float = 60.0
    mtu: int = 1280


@attrs.define(slots=True, eq=False)
class Outcome:
    """What a handshake has agreed on. ``keys`` are those of a session (`session.own_keys`), none where the records stay
    in ``connection``. ``flights`` sends the last flight again, as long as the peer has not shown that it came, which it
    need not where ``confirmed``. ``secrets`` are the master secret and both randoms, ``session`` is what a client may
    take up later. ``crossing`` says which of the peer's numbers are used up.
    """

    suite: Suite
    identity: Identity
    keys: bytes = attrs.field(repr=False)
    own_cid: bool
    cid: bytes
    resumed: bool
    confirmed: bool
    secrets: tuple[bytes, bytes, bytes] = attrs.field(repr=False)
    flights: Flights
    crossing: Crossing
    connection: Connection | None
    session: Session | None

    def hand_over(self, session: DtlsSession) -> None:
        """Tell the session to come which of its peer's numbers are used up.

        Without Connection IDs there are none that matter: application data never goes to OpenSSL, and what does has not
        been authenticated when it is seen here, so that a forged number would make the session deaf.
        """
        self.crossing.hand_over(session)


class Owner(Protocol):
    """Whom a handshake tells."""

    counters: dict[str, int]

    def send_to(self, handshake: Handshake, datagrams: Sequence[bytes]) -> None:
        """Send datagrams to its peer."""

    def established(self, handshake: Handshake, outcome: Outcome, now: float) -> None:
        """Take what was agreed on; the handshake is over."""

    def failed(self, handshake: Handshake, cause: str, now: float) -> None:
        """Forget it; ``cause`` is for people."""


class Handshake:
    """What both roles have in common. ``address`` is the peer's, ``peer`` what its session will be called; ``wakes``
    is when `expire` has something to do, and None when it is over; ``due`` belongs to the timers.
    """

    _client = False

    def __init__(self, owner: Owner, address: bytes, peer: bytes, timing: Timing, now: float) -> None:
        self.address = address
        self.peer = peer
        self.due: float | None = None
        # OpenSSL may be silent about the first datagram, and then nothing else sets a time.
        self.wakes: float | None = now + timing.patience
        self.over = False
        self.cid: bytes | None = None
        self.peer_cid: bytes | None = None
        self._owner = owner
        self._timing = timing
        self._ends = now + timing.patience
        self._wait = timing.first_wait
        self._sent_at = now
        self._connection: Connection
        self._crossing = Crossing(owner.counters)
        self._flights = Flights(self._crossing, timing.mtu)
        self._suite: Suite | None = None
        self._hello: ServerHello | None = None
        self._resumes = False
        self._keys = b""

    @property
    def identity_text(self) -> str:
        """The identity that the peer says it has, as far as is known, for people."""
        return ""

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram of the peer."""
        raise NotImplementedError

    def psk(self, identity: bytes) -> tuple[bytes, bytes]:
        """Return the identity (as a client) and the key; an empty key ends the handshake."""
        raise NotImplementedError

    def accepts(self, certificate: x509.Certificate, depth: int, error: int) -> bool:
        """Return whether a certificate of the peer's chain will do."""
        raise NotImplementedError

    def end(self) -> None:
        """Be over, without a word. What is OpenSSL's goes at once: it is large, and a timer may keep this a while."""
        if not self.over:
            self.over, self.wakes = True, None
            del self._connection

    def expire(self, now: float) -> None:
        """Send the last flight again, or give up, if it is time for that."""
        if self.over or self.wakes is None or now < self.wakes:
            return
        if now >= self._ends:
            self._fail("timeout", now)
            return
        self._again(now)
        self._wait = min(2 * self._wait, _SLOWEST)
        self.wakes = min(now + self._wait, self._ends)

    def _again(self, now: float) -> None:
        self._sent_at = now
        self._owner.counters["handshake_retransmissions"] += 1
        self._owner.send_to(self, self._flights.again())

    def _feed(self, datagram: bytes, now: float) -> None:
        """Give a datagram to OpenSSL, and go on with what it says."""
        crossing = self._crossing
        if self._suite is not None and not (crossing.own_cid or crossing.cid):
            # OpenSSL can do it all: what it needs no help with is not looked at twice.
            if datagram[:1] != _APPLICATION:
                self._step(datagram, now)
            elif len(crossing.held) < _HELD:
                crossing.held.append(datagram)
            return
        self._step(b"".join(crossing.incoming(datagram)), now)
        if not self.over:
            self._step(b"".join(self._cross()), now)

    def _step(self, records: bytes, now: float) -> None:
        if records and not self.over:
            self._written(self._connection.step(records), now)

    def _written(self, data: bytes, now: float) -> None:
        """Take what OpenSSL wrote, and whether it has come to an end."""
        connection = self._connection
        if data:
            self._learn(data)
            waited = self._cross() if self._crossing.own_cid or self._crossing.cid else []
            out = self._flights.first(data)
            self._wait = self._timing.first_wait
            self._sent_at = now
            self.wakes = min(now + self._wait, self._ends)
            self._owner.send_to(self, out)
            if waited and not (connection.failed or connection.done):
                self._step(b"".join(waited), now)
                return
        if connection.failed:
            self._fail(f"handshake-failed: {connection.failed}", now)
        elif connection.done:
            self._complete(now)

    def _learn(self, data: bytes) -> None:
        """Look into what OpenSSL wrote before it is sent."""

    def _meet(self, hello: ServerHello) -> None:
        """Take what the server has chosen."""
        self._hello = hello
        self._resumes = self._connection.resumed()
        self._suite = BY_NUMBER.get(hello.suite)
        if hello.cid is not None and self.peer_cid is not None:
            self._crossing.own_cid = self.cid or b""
            self._crossing.cid = self.peer_cid

    def _cross(self) -> list[bytes]:
        """Take the keys once there are any, and return the records for OpenSSL that had to wait for them."""
        if self._keys or self._suite is None or self._suite.in_openssl:
            return []
        secrets = self._connection.secrets()
        if secrets is None:
            return []
        block = derivation.key_block(self._suite, *secrets)
        self._keys = own_keys(self._suite, block, client=self._client)
        self._flights.know(self._suite, self._keys)
        return self._crossing.keyed(self._suite, self._keys)

    def _complete(self, now: float) -> None:
        raise NotImplementedError

    def _established(self, identity: Identity, *, confirmed: bool, now: float) -> None:
        suite, secrets = self._suite, self._connection.secrets()
        if suite is None or secrets is None:
            self._fail("handshake-failed: a cipher suite that is not known", now)
            return
        if not suite.in_openssl and not self._keys:
            self._keys = own_keys(suite, derivation.key_block(suite, *secrets), client=self._client)
            self._flights.know(suite, self._keys)
        connection = self._connection
        outcome = Outcome(
            suite,
            identity,
            self._keys,
            bool(self._crossing.own_cid),
            self._crossing.cid,
            self._resumes,
            confirmed,
            secrets,
            self._flights,
            self._crossing,
            connection if suite.in_openssl else None,
            connection.session() if self._client else None,
        )
        if not suite.in_openssl:
            connection.leave()
        self.end()
        self._owner.established(self, outcome, now)

    def _refuse(self, description: int, cause: str, now: float) -> None:
        self._owner.send_to(self, [self._flights.alert(ALERT, bytes((_FATAL, description)))])
        self._fail(cause, now)

    def _fail(self, cause: str, now: float) -> None:
        self.end()
        self._owner.failed(self, cause, now)
