"""The cipher suites: what our records need to know of each.

RULES: sources are RFC 6655 and 7251 (CCM), 5487 (PSK with GCM and CBC), 5489 (ECDHE with PSK), 5289 (ECDHE with GCM and
CBC), 7905 (ChaCha20). A suite whose records are no AEAD stays in OpenSSL from its handshake to its end: it has its row
here so that an operator can name it, is off unless he does, and has no cipher. In the order of preference: what
LwM2M devices have in hardware first, forward secrecy where it costs a certificate anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Literal, Protocol

import attrs
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305

KeyExchange = Literal["psk", "ecdhe-psk", "ecdhe-ecdsa", "ecdhe-rsa"]
Hash = Literal["sha256", "sha384"]


class Aead(Protocol):
    """A key that seals and opens; ``decrypt`` raises InvalidTag."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """Return the ciphertext with its tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None, /) -> bytes:
        """Return the plaintext."""


@attrs.frozen(slots=True, eq=False)
class Suite:
    """A cipher suite: its IANA ``number``, OpenSSL's ``name``, and how its keys are cut and its nonces made.

    ``iv_length`` is what both ends know of a nonce of 12 octets: with 4 the other 8 stand in the record, with 12 the
    record's number is added to it. ``aead`` makes the cipher of a key, and is None where the records stay in OpenSSL.
    """

    number: int
    name: str
    exchange: KeyExchange
    hash: Hash
    key_length: int
    iv_length: int
    tag_length: int
    aead: Callable[[bytes], Aead] | None

    @property
    def in_openssl(self) -> bool:
        """Whether its records are not ours to seal and open."""
        return self.aead is None

    @property
    def explicit(self) -> int:
        """Octets of the nonce that stand in each record."""
        return 12 - self.iv_length

    @property
    def overhead(self) -> int:
        """Octets by which a fragment is longer than what it hides; 0 where the records stay in OpenSSL."""
        return 0 if self.aead is None else self.explicit + self.tag_length

    @property
    def block_length(self) -> int:
        """Octets of the key block (RFC 5246 section 6.3), of a suite that is ours."""
        return 2 * (self.key_length + self.iv_length)

    @property
    def psk(self) -> bool:
        """Whether a pre-shared key proves who the peer is."""
        return self.exchange in {"psk", "ecdhe-psk"}


def _ccm_8(number: int, name: str, exchange: KeyExchange, key_length: int) -> Suite:
    return Suite(number, name, exchange, "sha256", key_length, 4, 8, partial(AESCCM, tag_length=8))


def _ccm(number: int, name: str, exchange: KeyExchange, key_length: int) -> Suite:
    return Suite(number, name, exchange, "sha256", key_length, 4, 16, AESCCM)


def _gcm(number: int, name: str, exchange: KeyExchange, key_length: int) -> Suite:
    return Suite(number, name, exchange, "sha256" if key_length == 16 else "sha384", key_length, 4, 16, AESGCM)


def _chacha20(number: int, name: str, exchange: KeyExchange) -> Suite:
    return Suite(number, name, exchange, "sha256", 32, 12, 16, ChaCha20Poly1305)


def _cbc(number: int, name: str, exchange: KeyExchange) -> Suite:
    return Suite(number, name, exchange, "sha256", 16, 0, 0, None)


SUITES: Final = (
    _ccm_8(0xC0A8, "PSK-AES128-CCM8", "psk", 16),
    _ccm(0xC0A4, "PSK-AES128-CCM", "psk", 16),
    _gcm(0x00A8, "PSK-AES128-GCM-SHA256", "psk", 16),
    _chacha20(0xCCAC, "ECDHE-PSK-CHACHA20-POLY1305", "ecdhe-psk"),
    _chacha20(0xCCAB, "PSK-CHACHA20-POLY1305", "psk"),
    _ccm_8(0xC0A9, "PSK-AES256-CCM8", "psk", 32),
    _ccm(0xC0A5, "PSK-AES256-CCM", "psk", 32),
    _gcm(0x00A9, "PSK-AES256-GCM-SHA384", "psk", 32),
    _ccm_8(0xC0AE, "ECDHE-ECDSA-AES128-CCM8", "ecdhe-ecdsa", 16),
    _ccm(0xC0AC, "ECDHE-ECDSA-AES128-CCM", "ecdhe-ecdsa", 16),
    _gcm(0xC02B, "ECDHE-ECDSA-AES128-GCM-SHA256", "ecdhe-ecdsa", 16),
    _chacha20(0xCCA9, "ECDHE-ECDSA-CHACHA20-POLY1305", "ecdhe-ecdsa"),
    _ccm_8(0xC0AF, "ECDHE-ECDSA-AES256-CCM8", "ecdhe-ecdsa", 32),
    _ccm(0xC0AD, "ECDHE-ECDSA-AES256-CCM", "ecdhe-ecdsa", 32),
    _gcm(0xC02C, "ECDHE-ECDSA-AES256-GCM-SHA384", "ecdhe-ecdsa", 32),
    _gcm(0xC02F, "ECDHE-RSA-AES128-GCM-SHA256", "ecdhe-rsa", 16),
    _chacha20(0xCCA8, "ECDHE-RSA-CHACHA20-POLY1305", "ecdhe-rsa"),
    _gcm(0xC030, "ECDHE-RSA-AES256-GCM-SHA384", "ecdhe-rsa", 32),
    _cbc(0x00AE, "PSK-AES128-CBC-SHA256", "psk"),
    _cbc(0xC037, "ECDHE-PSK-AES128-CBC-SHA256", "ecdhe-psk"),
    _cbc(0xC023, "ECDHE-ECDSA-AES128-SHA256", "ecdhe-ecdsa"),
    _cbc(0xC027, "ECDHE-RSA-AES128-SHA256", "ecdhe-rsa"),
)
"""All of them, the most preferred first."""
BY_NUMBER: Final = {suite.number: suite for suite in SUITES}
BY_NAME: Final = {suite.name: suite for suite in SUITES}
DEFAULT: Final = tuple(suite for suite in SUITES if not suite.in_openssl)
"""Those that are on unless an operator says otherwise."""


def cipher_list(suites: Iterable[Suite]) -> bytes:
    """Return what OpenSSL's ``SSL_CTX_set_cipher_list`` takes; tags of 8 octets are below its usual security level."""
    return ":".join([*(suite.name for suite in suites), "@SECLEVEL=0"]).encode()
