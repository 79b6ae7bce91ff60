"""txthings 0.3.0 as a client and a server that others wrote, in a process of its own: it runs the global reactor."""

from __future__ import annotations

import sys

from twisted.trial.unittest import TestCase

from tests.peers.lines import SCRIPTS, Client, Peer, Server


def install() -> list[str]:
    """The command that runs the script; the library is there, since lwm2md needs it too."""
    return [sys.executable, "-W", "ignore::SyntaxWarning", str(SCRIPTS / "with_txthings.py")]


async def client(case: TestCase) -> Client:
    """Start a client."""
    return Client(await Peer.start(case, install()))


async def server(case: TestCase, szx: int | None = None) -> Server:
    """Start a server on a free port."""
    return await Server.start(await Peer.start(case, install()), szx)
