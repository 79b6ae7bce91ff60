"""Which of a few pre-shared keys a peer has, found before OpenSSL is told one.

RULES: during a rotation an identity has two keys, and OpenSSL asks once. So the Finished waits, and each key is tried
on it: the right one opens it. That works where a pre-shared key is all that the secret is made of; with ECDHE, OpenSSL
alone knows the rest, and the newest key is the one that counts. Each key takes the same time, right or wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from cryptography.exceptions import InvalidTag

from lwm2md.security.dtls.ciphers import opener
from lwm2md.security.dtls.keys import extended_master_secret, key_block, master_secret, psk_premaster
from lwm2md.security.dtls.records import TLS12_CID, number
from lwm2md.security.dtls.session import own_keys
from lwm2md.security.dtls.suites import Suite


@attrs.frozen(slots=True)
class Agreed:
    """What both ends of a handshake know before the key. ``bound`` are its messages as `handshake.transcript` gives
    them where the ends agreed on an extended master secret, else None.
    """

    suite: Suite
    client_random: bytes
    server_random: bytes
    bound: bytes | None

    def block(self, psk: bytes) -> bytes:
        """Return the key block that a pre-shared key leads to."""
        premaster = psk_premaster(psk)
        if self.bound is None:
            master = master_secret(self.suite, premaster, self.client_random, self.server_random)
        else:
            master = extended_master_secret(self.suite, premaster, self.bound)
        return key_block(self.suite, master, self.client_random, self.server_random)

    def fitting(self, psks: Sequence[bytes], finished: bytes) -> int | None:
        """Return which of the keys opens the client's record ``finished``; None if none does."""
        fits = [self._opens(own_keys(self.suite, self.block(psk), client=False), finished) for psk in psks]
        return fits.index(True) if True in fits else None

    def _opens(self, keys: bytes, record: bytes) -> bool:
        suite = self.suite
        key, iv = suite.key_length, suite.iv_length
        unseal = opener(suite, keys[key : 2 * key], keys[2 * key + iv :], cid=record[0] == TLS12_CID)
        try:
            return unseal(record, number(record)) is not None
        except InvalidTag:
            return False
