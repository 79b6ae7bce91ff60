"""Who a peer has proved to be: a PSK identity, or what its certificate says.

RULES: an identity's text stands for it in registrations, events and rules, and texts of different kinds never meet: a
certificate's begins with `X509`, which no PSK identity may.
"""

from __future__ import annotations

from typing import Final, Literal

import attrs

X509: Final = "x509:"
"""What the text of a certificate's identity begins with."""


@attrs.frozen(slots=True)
class Identity:
    """A proved identity. ``name`` is the PSK identity, or the certificate's common name ("" without one).

    Of a certificate also: ``sans`` its DNS, URI and IP names, ``serial`` in hex, ``issuer`` as RFC 4514 writes it,
    ``key_hash`` the SHA-256 of its SubjectPublicKeyInfo in hex.
    """

    kind: Literal["psk", "x509"]
    name: str
    sans: tuple[str, ...] = ()
    serial: str = ""
    issuer: str = ""
    key_hash: str = ""

    @property
    def text(self) -> str:
        """What stands for this identity: the PSK identity itself, ``x509:`` and the name or the key's hash."""
        if self.kind == "psk":
            return self.name
        return X509 + (self.name or f"sha256:{self.key_hash}")
