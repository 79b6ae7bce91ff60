"""OpenSSL's command line (Debian package openssl) as a DTLS client and server that others wrote."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import attrs
from twisted.trial.unittest import TestCase

from tests.processes import Process, free_port


def install() -> list[str]:
    """The path of openssl. It comes from apt: raises `FileNotFoundError` that says so."""
    path = shutil.which("openssl")
    if path is None:
        raise FileNotFoundError("openssl is missing: apt-get install openssl")
    return [path]


def psk(identity: str, key: str, suite: str = "PSK-AES128-CCM8") -> tuple[str, ...]:
    """The words for a pre-shared key in hex; tags of eight bytes are below OpenSSL's usual level."""
    return ("-psk_identity", identity, "-psk", key, "-cipher", f"{suite}:@SECLEVEL=0")


@attrs.frozen
class Client:
    """A running ``openssl s_client``; `process` takes lines to send, and says what came back."""

    process: Process

    @classmethod
    def start(cls, case: TestCase, address: str, words: Sequence[str]) -> Client:
        """Start one that shakes hands with ``host:port``."""
        return cls(Process.start(case, [*install(), "s_client", "-dtls1_2", "-connect", address, *words]))


@attrs.frozen
class Server:
    """A running ``openssl s_server``."""

    process: Process
    address: str

    @classmethod
    async def start(cls, case: TestCase, words: Sequence[str]) -> Server:
        """Start one, and wait until it listens."""
        address = f"127.0.0.1:{free_port()}"
        process = Process.start(case, [*install(), "s_server", "-dtls1_2", "-listen", "-accept", address, *words])
        await process.await_line("ACCEPT")
        return cls(process, address)
