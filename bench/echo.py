"""The baselines: a bare Twisted UDP echo and a bare twisted.web resource, each in a process of its own.

``python -m bench.echo udp|http PORT``
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.protocol import DatagramProtocol
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

reactor: Any = _reactor


class Echo(DatagramProtocol):
    """Sends every datagram back."""

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Send one back."""
        self.transport.write(datagram, addr)  # type: ignore[union-attr]


class Fixed(Resource):
    """Answers with the same small document, whatever is asked."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def render_GET(self, request: Request) -> bytes:
        """Answer one request."""
        request.setHeader(b"content-type", b"application/json")  # type: ignore[no-untyped-call]
        return b'{"values":[{"path":"/3303/0/5700","value":21.5,"type":"float","name":"Sensor Value"}]}'


def main() -> None:
    """Serve until killed."""
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "udp":
        reactor.listenUDP(port, Echo(), interface="127.0.0.1")
    else:
        page = Fixed()  # type: ignore[no-untyped-call]
        reactor.listenTCP(port, Site(page), interface="127.0.0.1")  # type: ignore[no-untyped-call]
    reactor.run()


if __name__ == "__main__":
    main()
