"""Whether a certificate will do, and who it says its owner is.

RULES: OpenSSL builds the chain, checks signatures, dates and revocation lists, and tells of each certificate; the last
word is here. Keys and signatures that are too weak are refused (the security level that would do it also takes away the
suites of LwM2M). Of a server a client asks what its Certificate Usage says (LwM2M Transport 1.2 section 5.2.8.7, after
RFC 6698): 0 a named authority somewhere in a chain to trusted roots, 1 such a chain and this very certificate, 2 a
chain to this trust anchor, 3 this very certificate and nothing else. But for 3 it must also be called as it was asked.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID

from lwm2md.security.identity import Identity

CA_CONSTRAINT: Final = 0
SERVICE_CERTIFICATE: Final = 1
TRUST_ANCHOR: Final = 2
DOMAIN_ISSUED: Final = 3

_RSA_BITS: Final = 2048
_EC_BITS: Final = 256
_WEAK: Final = (hashes.MD5, hashes.SHA1)


def identity_of(certificate: x509.Certificate) -> Identity:
    """Return who a certificate of a peer says that its owner is."""
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    return Identity(
        "x509",
        _common_name(certificate),
        _alternatives(certificate),
        f"{certificate.serial_number:x}",
        certificate.issuer.rfc4514_string(),
        digest.finalize().hex(),
    )


def strong(certificate: x509.Certificate) -> bool:
    """Return whether its key and, unless it is a root of trust, its signature are beyond forging."""
    try:
        key = certificate.public_key()
        hash_used = certificate.signature_hash_algorithm
    except ValueError:
        return False
    if isinstance(key, rsa.RSAPublicKey):
        enough = key.key_size >= _RSA_BITS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        enough = key.curve.key_size >= _EC_BITS
    else:
        enough = isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey)
    return enough and (certificate.subject == certificate.issuer or not isinstance(hash_used, _WEAK))


@attrs.frozen(slots=True, eq=False)
class ServerTerms:
    """What a client asks of a server: the Certificate ``usage``, the ``certificate`` that it names (a leaf with 1 and
    3, an authority with 0), and the ``host`` that it called, a name or an address.
    """

    usage: int
    host: str
    certificate: x509.Certificate | None = None

    def accepts(self, chain: list[x509.Certificate], certificate: x509.Certificate, depth: int, error: int) -> bool:
        """Return whether the certificate at ``depth`` will do; ``chain`` are those above that were found good."""
        if self.usage == DOMAIN_ISSUED:
            return depth > 0 or certificate == self.certificate
        if error or not strong(certificate):
            return False
        if depth > 0:
            return True
        if self.usage == CA_CONSTRAINT and self.certificate not in chain:
            return False
        if self.usage == SERVICE_CERTIFICATE and certificate != self.certificate:
            return False
        return is_called(certificate, self.host)


def is_called(certificate: x509.Certificate, host: str) -> bool:
    """Return whether a server's certificate is one of ``host``, a name or an address (RFC 6125; RFC 7925 4.4.1)."""
    names = _alternatives(certificate)
    try:
        address = str(ip_address(host.partition("%")[0]))
    except ValueError:
        wanted = host.lower()
        candidates = names or (_common_name(certificate),)
        return any(_fits(name.lower(), wanted) for name in candidates)
    return address in names or (not names and _common_name(certificate) == address)


def _fits(name: str, wanted: str) -> bool:
    if name.startswith("*."):
        return name[1:] == wanted[wanted.find(".") :] and "." in wanted
    return bool(name) and name == wanted


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _alternatives(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS, URI and IP names of the subjectAltName extension; none of one that can't be read."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    found = [*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.UniformResourceIdentifier)]
    return (*found, *map(str, names.get_values_for_type(x509.IPAddress)))
