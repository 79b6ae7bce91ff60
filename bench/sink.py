"""A server that a fleet is measured against: ``python -m bench.sink PORT``. It takes every Register and Update and
observes one Resource of each device; each line on its standard input is answered with the Updates and notifications so
far.
"""

from __future__ import annotations

import os
import sys
from functools import partial

from twisted.internet import reactor, stdio
from twisted.protocols.basic import LineOnlyReceiver

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine
from lwm2md.coap.interfaces import IncomingRequest, Peer, Received, Response
from lwm2md.coap.message import Message, options
from lwm2md.coap.parameters import Limits
from lwm2md.net.addresses import Endpoint
from lwm2md.net.driver import Driver
from lwm2md.net.udp import listen

_CHANGED = Response(numbers.CHANGED)
_CREATED = Response(numbers.CREATED, b"", options(location=("rd", "x")))
_OBSERVED = options(path=("3303", "0", "5700"), accept=numbers.TEXT)


class Sink:
    """Counts what devices tell."""

    def __init__(self) -> None:
        self.counts = {"registered": 0, "updates": 0, "notifications": 0}
        self.engine = Engine(self, os.urandom, limits=Limits(outstanding=200_000))

    def handle(self, request: IncomingRequest, now: float) -> Response:
        """Accept everything; a device that registers is observed."""
        if request.message.path != ("rd",):
            self.counts["updates"] += 1
            return _CHANGED
        self.counts["registered"] += 1
        reactor.callLater(0, self._observe, request.peer)
        return _CREATED

    def unexpected(self, peer: Peer, message: Message, now: float) -> bool:
        """Reset what nobody asked for."""
        return True

    def _observe(self, peer: Peer) -> None:
        now = reactor.seconds()
        self.engine.observe(
            peer, numbers.GET, _OBSERVED, b"", on_outcome=self._answered, on_notification=self._notified, now=now
        )
        self.settle()

    def _answered(self, result: Received | str, now: float) -> None:
        if isinstance(result, Received):
            self.engine.acknowledge(result, now)

    def _notified(self, received: Received, fresh: bool) -> None:
        self.counts["notifications"] += 1
        self.engine.acknowledge(received, received.now)

    def settle(self) -> None:
        """Send what waits; replaced by that of the driver."""


class _Control(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def lineReceived(self, line: bytes) -> None:
        """Tell the counts."""
        self.sendLine(" ".join(map(str, self._sink.counts.values())).encode())  # type: ignore[no-untyped-call]


def main(port: int) -> None:
    """Serve until the end of the process."""
    sink = Sink()
    driver = Driver(reactor, sink.engine)
    driver.add(listen(reactor, Endpoint("127.0.0.1", port), pktinfo=False))
    sink.settle = partial(driver.settle)  # type: ignore[method-assign]
    stdio.StandardIO(_Control(sink))  # type: ignore[no-untyped-call]
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]))
