"""aiocoap as a client and a server that others wrote, in a virtual environment of its own because of what it pins."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.peers.environments import environment
from tests.peers.lines import SCRIPTS, Client, Peer, Server

_VERSION = "aiocoap==0.4.17"


def install() -> list[str]:
    """Make the environment, unless that was done before; returns the command that runs the script."""

    return [str(environment("aiocoap", _VERSION) / "python"), str(SCRIPTS / "with_aiocoap.py")]


async def client(case: TestCase) -> Client:
    """Start a client."""
    return Client(await _start(case))


async def server(case: TestCase, szx: int | None = None) -> Server:
    """Start a server on a free port."""
    return await Server.start(await _start(case), szx)


async def _start(case: TestCase) -> Peer:
    # UDP only: its TCP would take the port too.
    return await Peer.start(
        case, install(), AIOCOAP_CLIENT_TRANSPORT="udp6", AIOCOAP_SERVER_TRANSPORT="udp6", PYTHONPATH=""
    )
