"""Certificate authorities for tests: certificates, chains and revocation lists as PEM."""

from __future__ import annotations

import datetime
from ipaddress import ip_address

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_DAY = datetime.timedelta(days=1)


@attrs.frozen(eq=False)
class Owner:
    """A certificate, its private key, and those that it was signed with."""

    certificate: x509.Certificate
    private: Private
    above: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def chain(self) -> bytes:
        """The certificate and those between it and its root."""
        return self.pem + b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.above)

    @property
    def key(self) -> bytes:
        """The private key."""
        return self.private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def private(kind: str = "ec") -> Private:
    """Make a key: ``ec``, ``rsa`` or ``weak``."""
    if kind == "ec":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(65537, 2048 if kind == "rsa" else 1024)


class Authority:
    """Signs certificates; one without ``above`` is a root."""

    def __init__(self, name: str = "Test root", above: Authority | None = None) -> None:
        key = private()
        signer = None if above is None else above.owner
        self.above = above
        self.owner: Owner
        certificate = _signed(name, key, signer, authority=True)
        self.owner = Owner(certificate, key, () if above is None or above.above is None else (above.owner.certificate,))

    def issue(
        self, name: str, kind: str = "ec", *, days: tuple[int, int] = (-1, 365), hosts: tuple[str, ...] = ()
    ) -> Owner:
        """Sign a certificate that is valid between so many days from now, of a host with these names."""
        key = private(kind)
        certificate = _signed(name, key, self.owner, days=days, hosts=hosts)
        between = () if self.above is None else (self.owner.certificate, *self.owner.above)
        return Owner(certificate, key, between)

    def revoke(self, *owners: Owner) -> bytes:
        """The revocation list with these certificates."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.owner.certificate.subject)
        builder = builder.last_update(now - _DAY).next_update(now + 30 * _DAY)
        for owner in owners:
            row = x509.RevokedCertificateBuilder().serial_number(owner.certificate.serial_number)
            builder = builder.add_revoked_certificate(row.revocation_date(now - _DAY).build())
        return builder.sign(self.owner.private, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _signed(  # noqa: PLR0917
    name: str,
    key: Private,
    signer: Owner | None,
    days: tuple[int, int] = (-1, 365),
    hosts: tuple[str, ...] = (),
    authority: bool = False,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * _DAY)
        .not_valid_after(now + days[1] * _DAY)
        .add_extension(x509.BasicConstraints(authority, None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    )
    by = key if signer is None else signer.private
    builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), False)
    return builder.sign(by, hashes.SHA256())


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.UniformResourceIdentifier(host) if ":" in host else x509.DNSName(host)
