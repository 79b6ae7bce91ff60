"""libcoap's ``coap-server`` (Debian package libcoap3-bin) as a CoAP server that others wrote."""

from __future__ import annotations

import shutil

from twisted.trial.unittest import TestCase

from tests.processes import Process, free_port

_NAMES = ("coap-server-notls", "coap-server-openssl", "coap-server-gnutls", "coap-server")


def install() -> list[str]:
    """The path of the server. It comes from apt: raises `FileNotFoundError` that says so."""
    for name in _NAMES:
        if path := shutil.which(name):
            return [path]
    raise FileNotFoundError("coap-server is missing: apt-get install libcoap3-bin")


async def start(case: TestCase, *words: str) -> str:
    """Start it on a free port, with further words of its command line; returns its URL."""
    port = free_port()
    process = Process.start(case, [*install(), "-v", "7", "-A", "127.0.0.1", "-p", str(port), "-d", "10", *words])
    await process.await_line("created UDP")
    return f"coap://127.0.0.1:{port}"
