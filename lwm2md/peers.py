"""Who and where a peer of the engine is: at a socket's address, or behind the name of its DTLS session.

RULES: plain CoAP says nothing of who somebody is. What a session's end means for the device is the core's to decide;
settling follows in the next turn of the reactor, as the end may come amid a flush. Who has no secure port doesn't pay
for OpenSSL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lwm2md.coap.engine import Peer
from lwm2md.net.addresses import remote
from lwm2md.security.dtls.session import PEER
from lwm2md.server.state import PeerDescription

if TYPE_CHECKING:
    from lwm2md.node import Node
    from lwm2md.secured import Secured


def is_secure(peer: Peer) -> bool:
    """Whether a peer is named by its session."""
    return peer.startswith(PEER)


class Peers:
    """Knows the peers of one daemon; ``secured`` is its secure port, None without one."""

    def __init__(self) -> None:
        self.secured: Secured | None = None

    def listen(self, node: Node) -> None:
        """Bind the secure port. Raises OSError if it can't be done."""
        from lwm2md.secured import Secured  # noqa: PLC0415

        def gone(peer: Peer, now: float) -> None:
            node.server.lost(peer, now)
            node.engine.abort(peer)
            node.reactor.callLater(0, node.settle)

        def rejoined(before: Peer, peer: Peer, now: float) -> None:
            node.server.rejoined(before, peer, now)
            node.reactor.callLater(0, node.settle)

        def refused(cause: str, address: str, identity: str, detail: str, now: float) -> None:
            # Who just went away belongs into no inbox.
            if cause != "timeout":
                node.server.refused.note(
                    cause, address=address, transport="coaps", now=now, identity=identity or None, detail=detail
                )
                node.reactor.callLater(0, node.settle)

        self.secured = Secured(
            node.settings,
            node.reactor,
            node.chance,
            keys=node.vault.keys("registration"),
            seal=node.vault.seal,
            submit=node.delivery.submit,
            refused=refused,
            told=node.tracing.tell,
            gone=gone,
            rejoined=rejoined,
        )
        node.vault.revoked.append(self.secured.revoke)
        node.tracing.watch(self.secured.watch)
        node.server.gate.expelled = self.secured.expel

    def describe(self, peer: Peer) -> PeerDescription:
        """Where a peer is, and who."""
        if not is_secure(peer):
            return PeerDescription(remote(peer), "coap")
        return PeerDescription("", "coaps") if self.secured is None else self.secured.describe(peer)

    def identify(self, peer: Peer) -> str | None:
        """The identity that a peer has proved."""
        return self.describe(peer).identity

    def reaches(self, peer: Peer) -> bool:
        """Whether there is a way to a peer: to one named by its session only with that."""
        return not peer.startswith(PEER) or (self.secured is not None and self.secured.reaches(peer))

    def locate(self, peer: Peer) -> bytes:
        """The address of a peer that is named by its session; empty for others, and if it is not known."""
        return self.secured.locate(peer) if self.secured is not None and is_secure(peer) else b""
