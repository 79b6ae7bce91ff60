"""Who a peer has proved to be: a PSK identity, or what its certificate says.

RULES: an identity's text stands for it in registrations, events and rules, and texts of different kinds never meet: a
certificate's begins with `X509`, which no PSK identity may; a common name that looks like another kind of name is none.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final, Literal

import attrs

X509: Final = "x509:"
"""What the text of a certificate's identity begins with."""
HASH: Final = "sha256:"
SERIAL: Final = "serial:"
SAN: Final = "san:"
_MARKS: Final = (HASH, SERIAL, SAN)


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
        if self.name and not self.name.startswith(_MARKS):
            return X509 + self.name
        return f"{X509}{HASH}{self.key_hash.lower()}"

    @property
    def names(self) -> tuple[str, ...]:
        """All texts that a credential for this identity may have, the most particular one first.

        Of a certificate ``x509:sha256:HEX``, ``x509:serial:HEX@ISSUER``, ``x509:san:NAME`` of each name, ``x509:CN``.
        """
        return (self.name,) if self.kind == "psk" else tuple(dict.fromkeys(self._listed()))

    def _listed(self) -> list[str]:
        found = [f"{X509}{HASH}{self.key_hash.lower()}"] if self.key_hash else []
        if self.serial:
            found.append(f"{X509}{SERIAL}{self.serial.lower()}@{self.issuer}")
        for name in self.sans:
            found.append(f"{X509}{SAN}{name}")
        found.append(self.text)
        return found

    def goes_by(self, names: AbstractSet[str]) -> bool:
        """Whether one of these is a name of this identity."""
        return self.name in names if self.kind == "psk" else not names.isdisjoint(self._listed())
