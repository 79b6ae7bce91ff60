"""Where Twisted connects to: a host, with TLS or without.

RULES: names are looked up, and addresses of both families tried, without waiting. With TLS the broker must have a
certificate for the host of the URL that the given CA, or the system, trusts. Files are read for each connection, so
that a renewed certificate needs no restart.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from OpenSSL.crypto import FILETYPE_PEM
from OpenSSL.SSL import Error
from twisted.internet import ssl
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint

from lwm2md_mqtt.options import Options

TIMEOUT: Final = 10.0
"""How long a connection may take to be there, in seconds."""

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def endpoint(reactor: Any, options: Options) -> IStreamClientEndpoint:
    """Return where to connect. Raises OSError or ValueError where a file can't be read or has no certificate."""
    plain = HostnameEndpoint(reactor, options.host, options.port, timeout=TIMEOUT)
    if not options.tls:
        return plain
    trust = None
    if options.ca:
        trust = ssl.trustRootFromCertificates(_certificates(options.ca))  # type: ignore[no-untyped-call]
    own, more = None, {}
    if options.certificate:
        first, *chain = _certificates(options.certificate)
        key = _key(options.key or options.certificate)
        own = ssl.PrivateCertificate.fromCertificateAndKeyPair(first, key)  # type: ignore[no-untyped-call]
        more = {"extraCertChain": [each.original for each in chain]}
    creator = ssl.optionsForClientTLS(
        options.host, trustRoot=trust, clientCertificate=own, extraCertificateOptions=more or None
    )
    return wrapClientTLS(creator, plain)


def _certificates(path: str) -> list[ssl.Certificate]:
    found = [ssl.Certificate.loadPEM(each) for each in _CERTIFICATE.findall(Path(path).read_text("ascii"))]
    if not found:
        raise ValueError(f"{path}: no certificate in it")
    return found


def _key(path: str) -> ssl.KeyPair:
    try:
        return ssl.KeyPair.load(Path(path).read_bytes(), FILETYPE_PEM)
    except Error as error:
        raise ValueError(f"{path}: no private key in it") from error
