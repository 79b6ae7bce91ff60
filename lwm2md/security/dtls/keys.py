"""Keys from secrets: the PRF of TLS 1.2 (RFC 5246 section 5), master secrets and key blocks.

RULES: OpenSSL shakes hands and gives the master secret; this cuts it into the keys of the records. For a plain
pre-shared key the master secret is computed here too (RFC 4279 section 2, RFC 7627), so that the keys of a rotation can
be tried on a Finished that waits.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.hmac import HMAC

from lwm2md.security.dtls.suites import Hash, Suite

MASTER_LENGTH: Final = 48
_HASHES: Final = {"sha256": SHA256(), "sha384": SHA384()}


def prf(hash_name: Hash, secret: bytes, label: bytes, seed: bytes, length: int) -> bytes:
    """Return ``length`` octets of the PRF with P_SHA256 or P_SHA384."""
    keyed = HMAC(secret, _HASHES[hash_name])
    seed = label + seed
    chain, out = seed, b""
    while len(out) < length:
        chain = _digest(keyed, chain)
        out += _digest(keyed, chain + seed)
    return out[:length]


def _digest(keyed: HMAC, data: bytes) -> bytes:
    # To copy one that has its key takes a third of the time of making one.
    work = keyed.copy()
    work.update(data)
    return work.finalize()


def key_block(suite: Suite, master: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """Return the key block: the client's key, the server's key, the client's IV, the server's IV."""
    return prf(suite.hash, master, b"key expansion", server_random + client_random, suite.block_length)


def psk_premaster(psk: bytes) -> bytes:
    """Return the premaster secret of a pre-shared key without any exchange beside it (RFC 4279 section 2)."""
    size = len(psk).to_bytes(2, "big")
    return size + bytes(len(psk)) + size + psk


def master_secret(suite: Suite, premaster: bytes, client_random: bytes, server_random: bytes) -> bytes:
    """Return the master secret (RFC 5246 section 8.1)."""
    return prf(suite.hash, premaster, b"master secret", client_random + server_random, MASTER_LENGTH)


def extended_master_secret(suite: Suite, premaster: bytes, messages: bytes) -> bytes:
    """Return the master secret bound to the handshake (RFC 7627 section 4).

    ``messages`` are those from the ClientHello with its cookie to the ClientKeyExchange, as `handshake.Transcript`
    gives them.
    """
    digest = hashlib.new(suite.hash, messages).digest()
    return prf(suite.hash, premaster, b"extended master secret", digest, MASTER_LENGTH)
