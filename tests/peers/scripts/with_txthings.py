"""A CoAP client and server on txthings, driven by lines of JSON."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import defer, stdio
from twisted.internet import reactor as _installed
from twisted.internet.task import deferLater
from twisted.protocols.basic import LineOnlyReceiver
from txthings import coap, resource

reactor: Any = _installed
SLOW = 1.5
IMPATIENT = 0.2, 8
METHODS = {"GET": coap.GET, "POST": coap.POST, "PUT": coap.PUT, "DELETE": coap.DELETE}


def tell(identifier: int, number: int, **what: Any) -> None:
    """Say what has happened."""
    sys.stdout.write(json.dumps({"id": identifier, "number": number, **what}) + "\n")
    sys.stdout.flush()


def response(message: Any) -> dict[str, Any]:
    """Return what is told of a response."""
    options = {"etag": message.opt.etag.hex() if message.opt.etag else None, "observe": message.opt.observe}
    options |= {"format": message.opt.content_format, "location": [each.decode() for each in message.opt.location_path]}
    return {"code": message.code, "payload": bytes(message.payload or b"").hex(), "options": options}


class Fixed(resource.CoAPResource):
    """Always the same."""

    def __init__(self, payload: bytes, delay: float = 0.0) -> None:
        super().__init__()
        self.payload = payload
        self.delay = delay

    def render_GET(self, request: Any) -> Any:
        """Answer when it is time."""
        message = coap.Message(code=coap.CONTENT, payload=self.payload)
        return deferLater(reactor, self.delay, lambda: message) if self.delay else defer.succeed(message)


class Store(resource.CoAPResource):
    """Gives back what it is given; GET gives what was put."""

    def __init__(self) -> None:
        super().__init__()
        self.value = b""

    def render_GET(self, request: Any) -> Any:
        """Answer with what was put."""
        return defer.succeed(coap.Message(code=coap.CONTENT, payload=self.value))

    def render_PUT(self, request: Any) -> Any:
        """Keep."""
        self.value = request.payload
        return defer.succeed(coap.Message(code=coap.CHANGED))

    def render_POST(self, request: Any) -> Any:
        """Answer with what came."""
        return defer.succeed(coap.Message(code=coap.CHANGED, payload=request.payload))

    def render_DELETE(self, request: Any) -> Any:
        """Empty."""
        self.value = b""
        return defer.succeed(coap.Message(code=coap.DELETED))


class Script(LineOnlyReceiver):
    """Everything that may be asked for by a line."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self) -> None:
        self.clock = Fixed(b"start")
        self.clock.observable = True
        self.protocol: Any = None

    def connectionMade(self) -> None:
        """Say that lines are taken."""
        sys.stdout.write("ready\n")
        sys.stdout.flush()

    def connectionLost(self, reason: Any = None) -> None:
        """End with the lines."""
        reactor.callWhenRunning(reactor.stop)

    def lineReceived(self, line: bytes) -> None:
        """Do what a line says, and tell an error of it."""
        what = json.loads(line)
        identifier, do = what.pop("id"), what.pop("do")
        done: Any = defer.maybeDeferred(getattr(self, f"do_{do}"), identifier, **what)
        done.addErrback(lambda failure: tell(identifier, 0, error=f"{failure.type.__name__}: {failure.value}"))

    def do_request(self, identifier: int, url: str, method: str, payload: str, **what: Any) -> Any:
        """Send a request; with ``observe`` tell every notification too."""
        if self.protocol is None:
            self.protocol = coap.Coap(resource.Endpoint(None))
            reactor.listenUDP(0, self.protocol, interface="127.0.0.1")
        if what.get("szx") is not None:
            # It has no other way to choose the size of blocks.
            coap.DEFAULT_BLOCK_SIZE_EXP = what["szx"]
        if what.get("impatient"):
            coap.ACK_TIMEOUT, coap.MAX_RETRANSMIT = IMPATIENT
        parts = urlsplit(url)
        kind = coap.NON if what.get("non") else coap.CON
        message = coap.Message(kind, code=METHODS[method], payload=bytes.fromhex(payload))
        message.opt.uri_path = [segment.encode() for segment in parts.path.split("/")[1:]]
        message.opt.uri_query = [argument.encode() for argument in parts.query.split("&") if argument]
        message.remote = (ip_address(parts.hostname or ""), parts.port)
        if what.get("format") is not None:
            message.opt.content_format = what["format"]
        if what.get("szx") and not payload:
            message.opt.block2 = (0, False, what["szx"])
        if not what.get("observe"):
            return self.protocol.request(message).addCallback(lambda answer: tell(identifier, 0, **response(answer)))
        message.opt.observe = 0
        numbers = iter(range(1, 1 << 30))
        request = self.protocol.request(
            message, observeCallback=lambda each: tell(identifier, next(numbers), **response(each))
        )
        return request.addCallback(lambda answer: tell(identifier, 0, **response(answer)))

    def do_serve(self, identifier: int, szx: int | None) -> None:
        """Serve the resources on a free port."""
        if szx is not None:
            coap.DEFAULT_BLOCK_SIZE_EXP = szx
        root = resource.CoAPResource()
        large = bytes(ord("a") + index % 26 for index in range(30000))
        for name, each in (
            (b"small", Fixed(b"small")),
            (b"large", Fixed(large[:3000])),
            (b"huge", Fixed(large)),
            (b"slow", Fixed(b"slow", SLOW)),
            (b"store", Store()),
            (b"clock", self.clock),
        ):
            root.putChild(name, each)
        port = reactor.listenUDP(0, coap.Coap(resource.Endpoint(root)), interface="127.0.0.1")
        tell(identifier, 0, port=port.getHost().port)

    def do_change(self, identifier: int, payload: str) -> None:
        """Change the state of the clock."""
        self.clock.payload = bytes.fromhex(payload)
        self.clock.updatedState()
        tell(identifier, 0)


stdio.StandardIO(Script())
reactor.run()
