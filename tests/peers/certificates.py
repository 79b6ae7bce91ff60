"""A certificate authority whose certificates are files, for peers that read them from there."""

from __future__ import annotations

from pathlib import Path

import attrs

from tests.net import authority


@attrs.frozen
class Files:
    """A certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """An authority whose files are in ``place``; ``certificate`` is its own certificate's file."""

    def __init__(self, place: Path, name: str = "ca") -> None:
        self._place = place
        self._authority = authority.Authority(name)
        self.certificate = place / f"{name}.pem"
        self.certificate.write_bytes(self._authority.owner.pem)

    def give(self, name: str, *addresses: str) -> Files:
        """Give out a certificate for a common name, and for IP addresses if it is a server's."""
        owner = self._authority.issue(name, hosts=addresses)
        files = Files(self._place / f"{name}.pem", self._place / f"{name}.key")
        files.certificate.write_bytes(owner.pem)
        files.key.write_bytes(owner.key)
        return files
