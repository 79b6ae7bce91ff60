"""The files that ``[security]`` names: certificates, keys, revocation lists, pre-shared keys.

RULES: everything that is wrong with any of them is told, with the file; no text that comes of it holds a key. Files are
read with every reload.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from lwm2md.config.errors import ConfigError
from lwm2md.config.security import Security
from lwm2md.config.values import Secret
from lwm2md.security.csvfile import Packed, Row
from lwm2md.security.csvfile import read as read_csv

_MOST_BYTES: Final = 256 << 20
_CRL: Final = b"-----BEGIN X509 CRL-----"
_MOST_FAULTS: Final = 100


@attrs.frozen
class Material:
    """What is in the files, PEM as text; "" and () where none is named."""

    certificates: str = ""
    key: Secret | None = None
    ca: str = ""
    crl: str = ""
    psk: Packed = attrs.field(factory=Packed, repr=False)


class _WrongFile(Exception):  # noqa: N818  what is wrong with a setting
    """A file that is not what it should be."""


def read(settings: Security, place: Callable[[str, str], str]) -> tuple[Material, list[ConfigError]]:
    """Read every file that is named; ``place(key, path)`` says where it is."""
    errors: list[ConfigError] = []

    def content(name: str, check: Callable[[bytes], None]) -> str:
        named: str = getattr(settings, name)
        if not named:
            return ""
        path = place(name, named)
        try:
            data = _content(path)
            check(data)
            return data.decode("utf-8")
        except (_WrongFile, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, _WrongFile) else "a file of UTF-8 text"
            errors.append(ConfigError(path, reason, "security", name, named))
            return ""

    certificates = content("certificates", _certificates)
    key = content("key", lambda data: _private(data, certificates))
    ca = content("ca", _certificates)
    crl = content("crl", _lists)
    psk, faults = _rows(settings.psk and place("psk", settings.psk), content("psk", lambda _: None))
    errors += faults
    return Material(certificates, Secret(key) if key else None, ca, crl, psk), errors


def _rows(path: str, text: str) -> tuple[Packed, list[ConfigError]]:
    rows = Packed()
    errors: list[ConfigError] = []
    for found in read_csv(text):
        if isinstance(found, Row):
            rows.add(found)
        else:
            errors.append(ConfigError(path, "", problem=f"{found.field}: {found.text}", line=found.line))
    if len(errors) > _MOST_FAULTS:
        more = ConfigError(path, "", problem=f"{len(errors) - _MOST_FAULTS} more faults")
        errors = [*errors[:_MOST_FAULTS], more]
    return rows, errors


def _content(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _WrongFile(f"a readable file ({getattr(error, 'strerror', None) or 'no name of a file'})") from None
    if len(data) > _MOST_BYTES:
        raise _WrongFile(f"a file of at most {_MOST_BYTES >> 20} MiB")
    return data


def _certificates(data: bytes) -> None:
    try:
        x509.load_pem_x509_certificates(data)
    except ValueError:
        raise _WrongFile("certificates in PEM") from None


def _private(data: bytes, certificates: str) -> None:
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError):
        raise _WrongFile("a private key in PEM without a password") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise _WrongFile("a private key of EC or RSA")
    if certificates:
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        own = x509.load_pem_x509_certificates(certificates.encode())[0].public_key().public_bytes(*form)
        if own != key.public_key().public_bytes(*form):
            raise _WrongFile("the key of the first certificate in certificates")


def _lists(data: bytes) -> None:
    parts = data.split(_CRL)[1:]
    try:
        for part in parts:
            x509.load_pem_x509_crl(_CRL + part)
    except ValueError:
        parts = []
    if not parts:
        raise _WrongFile("revocation lists in PEM")
