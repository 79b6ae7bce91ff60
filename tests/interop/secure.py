"""What the tests with ``coaps://`` share: a daemon with keys and certificates, and those of a device in files."""

from __future__ import annotations

from pathlib import Path

import attrs
from cryptography.hazmat.primitives import serialization
from twisted.trial.unittest import TestCase

from tests.daemons import Daemon
from tests.net.authority import Authority, Owner
from tests.processes import directory

KEY = "30313233343536373839616263646566"
KEY_TEXT = "0123456789abcdef"


@attrs.frozen
class Files:
    """PEM and DER files: the authority, the server's certificate and key, and those of the device ``name``."""

    place: Path
    name: str

    @classmethod
    def make(cls, case: TestCase, name: str) -> Files:
        """Make all of them."""
        made = cls(directory(case), name)
        root = Authority()
        made._write("ca", root.owner)
        made._write("server", root.issue("server", hosts=("127.0.0.1", "localhost")))
        made._write("device", root.issue(name))
        made._write("stranger", Authority("Stranger").issue(name))
        (made.place / "psk.csv").write_text(f"{name},{KEY},{name}\n", encoding="utf-8")
        return made

    def _write(self, stem: str, owner: Owner) -> None:
        (self.place / f"{stem}.pem").write_bytes(owner.chain)
        (self.place / f"{stem}.key").write_bytes(owner.key)
        der = owner.certificate.public_bytes(serialization.Encoding.DER)
        (self.place / f"{stem}.der").write_bytes(der)
        private = owner.private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.place / f"{stem}.pk8").write_bytes(private)

    def path(self, name: str) -> str:
        """The path of one of the files."""
        return str(self.place / name)

    @property
    def settings(self) -> tuple[str, ...]:
        """What a daemon needs to speak ``coaps://``."""
        return (
            "coaps.listen=127.0.0.1:0",
            f"security.psk={self.path('psk.csv')}",
            f"security.certificates={self.path('server.pem')}",
            f"security.key={self.path('server.key')}",
            f"security.ca={self.path('ca.pem')}",
        )


async def identity(daemon: Daemon, endpoint: str) -> tuple[str, str]:
    """The transport and the identity with which a device is registered."""
    _, found = await daemon.api("GET", f"/v1/devices/{endpoint}")
    return found["transport"], found["identity"]
