"""One HTTP connection: twisted.web's channel, with the limits and timeouts that a daemon in the field needs.

RULES: a request must be complete ``timeOut`` seconds after its first byte, however slowly it drips; an idle connection
lives as long. A body beyond the limit is refused as soon as that is known, what still comes of it is dropped, and the
connection ends; of a stranger's body nothing is kept at all. Requests that wait behind others are not begun while the
caller does not read its answers. So memory per connection is bounded. What is not HTTP gets a problem document and is
disconnected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web import http

from lwm2md.http.problems import Problem

if TYPE_CHECKING:
    from lwm2md.http.api import Api

_END: Final = b"\r\n\r\n"
_VERSION: Final = b" HTTP/1.1"
LINGER: Final = 5.0
"""Seconds in which the rest of a refused body is read and dropped, so that the caller sees the answer."""


class Channel(http.HTTPChannel):
    """The server's end of one connection."""

    maxHeaders = 100  # noqa: N815 - twisted.web's name
    factory: Api
    transport: Any
    draining: IDelayedCall | None = None
    _begun = False
    _buffering = False
    _host: Any = None
    _peer: Any = None
    _pipelined = b""
    _lost = False
    _coming = b""
    _headers = b""
    _known: Any = None
    _due: float | None = None
    _timer: IDelayedCall | None = None

    def dataReceived(self, data: bytes) -> None:
        """Take bytes of the caller; the clock runs from the first byte of a request."""
        if self.draining is not None:
            return
        if self._pipelined:
            data, self._pipelined = self._pipelined + data, b""
        if not self._begun:
            self._begun = True
            self.resetTimeout()
            if self.line_mode and not self._buffer and self._repeated(data):
                return
        LineReceiver.dataReceived(self, data)  # type: ignore[no-untyped-call]

    def _repeated(self, data: bytes) -> bool:
        """Take a request whose headers are byte for byte those of the one before, as programs send them that ask again
        and again, and which has no body: only its first line is read. Returns whether it was one.
        """
        line, _, headers = data.partition(b"\r\n")
        whole = headers.find(_END) == len(headers) - len(_END) and line.endswith(_VERSION)
        self._coming = headers if whole and len(data) <= self.totalHeadersSize else b""
        if not self._coming or headers != self._headers or self.paused:
            return False
        self.lineReceived(line)  # type: ignore[no-untyped-call]
        if not self.transport.disconnecting:
            request = self.requests[-1]
            request.requestHeaders = self._known
            request.gotLength(0)
            self.allContentReceived()  # type: ignore[no-untyped-call]
        return True

    def allHeadersReceived(self) -> None:
        """Prepare for the body; one that is announced as too large is refused before a byte of it came."""
        request = self.requests[-1]
        self.persistent = self.checkPersistence(request, self._version)  # type: ignore[no-untyped-call]
        self._headers, self._coming = (self._coming if self.length == 0 and self.persistent else b""), b""
        if self.length == 0:
            self._known = request.requestHeaders
            request.gotLength(0)
            return
        self._headers = b""
        request.method, request.uri = self._command, self._path
        expected = request.requestHeaders.getRawHeaders(b"Expect")
        asks = bool(expected) and expected[0].lower() == b"100-continue" and self._version == b"HTTP/1.1"
        request.announced(self.length, asks)
        if asks and self.draining is None:
            self._buffering = True
            self._send100Continue()  # type: ignore[no-untyped-call]

    def rawDataReceived(self, data: bytes) -> None:
        """Take a part of a body, or what comes behind a request; behind the last one of a connection it is dropped."""
        if self.persistent or not self._handlingRequest:
            super().rawDataReceived(data)

    def send(self, data: bytes) -> None:
        """Write a part of an answer: at once where nothing waits before it, which spares a turn of the reactor.

        A caller that did not take everything at once gets what follows from the transport, as it can take it.
        """
        if not self._buffering:
            sent = self._send_now(data)
            if sent == len(data):
                return
            self._buffering = True
            data = data[sent:]
        self.transport.write(data)

    def _send_now(self, data: bytes) -> int:
        """The bytes that were taken; of an error the transport hears again, when it writes the rest."""
        write = getattr(self.transport, "writeSomeData", None)  # TLS has none
        if write is None or not self.transport.connected:
            return 0
        sent = write(data)
        return sent if isinstance(sent, int) and sent > 0 else 0

    def requestDone(self, request: http.Request) -> None:
        """Go on with the next request of this connection.

        An answer may be given from within the core; a request that already waits is then parsed in a turn of its own.
        """
        self._begun = False
        if self._dataBuffer and not self._busyReceiving and self.persistent:
            self._pipelined = b"".join(self._dataBuffer)
            self._dataBuffer = []
            self.callLater(0, self._next)  # type: ignore[no-untyped-call]
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def pauseProducing(self) -> None:
        """The caller does not read its answers: parse nothing that waits, read nothing more."""
        super().pauseProducing()  # type: ignore[no-untyped-call]
        self.paused = True
        self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """The caller reads its answers: go on with what waits."""
        self.paused = False
        super().resumeProducing()  # type: ignore[no-untyped-call]
        self._networkProducer.resumeProducing()
        self.callLater(0, self._next)  # type: ignore[no-untyped-call]

    def setTimeout(self, period: float | None) -> float | None:
        """Let time run out ``period`` seconds from now, or not at all; returns what it was.

        There is one timer for all requests of the connection: it looks when it comes whether there is time left.
        """
        before, self.timeOut = self.timeOut, period  # type: ignore[assignment]
        self._due = None if period is None else self.factory.node.now() + period
        if period is not None and self._timer is None:
            self._timer = self.callLater(period, self._look)  # type: ignore[no-untyped-call]
        return before

    def resetTimeout(self) -> None:
        """Begin anew with the time, if it runs."""
        if self.timeOut is not None:
            self._due = self.factory.node.now() + self.timeOut

    def _look(self) -> None:
        self._timer = None
        left = None if self._due is None else self._due - self.factory.node.now()
        if left is not None and left > 0:
            self._timer = self.callLater(left, self._look)  # type: ignore[no-untyped-call]
        elif left is not None:
            self._due = None
            self.timeoutConnection()  # type: ignore[no-untyped-call]

    def getHost(self) -> Any:
        """Return our address; asked for with every request of the connection."""
        if self._host is None:
            self._host = super().getHost()  # type: ignore[no-untyped-call]
        return self._host

    def getPeer(self) -> Any:
        """Return the caller's address; asked for with every request of the connection."""
        if self._peer is None:
            self._peer = super().getPeer()  # type: ignore[no-untyped-call]
        return self._peer

    @property
    def idle(self) -> bool:
        """Whether no complete request is being answered."""
        return not self.requests or not self._handlingRequest

    def drain(self) -> None:
        """Drop what still comes, then disconnect."""
        self.setTimeout(None)
        self.draining = self.callLater(LINGER, self.transport.abortConnection)  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a request line or header beyond what is taken."""
        self._respondToBadRequestAndDisconnect()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Forget timers and requests of this connection."""
        self._lost = True
        if self.draining is not None and self.draining.active():
            self.draining.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.factory.disconnected(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def _next(self) -> None:
        waiting = self._pipelined or self._buffer
        if waiting and not self._lost and not self.paused and not self._handlingRequest:
            self.dataReceived(b"")

    def _respondToBadRequestAndDisconnect(self) -> None:
        reply = Problem("bad-request", "the request line, a header or the body's framing is wrong or too long").reply()
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (
            reply.content_type,
            len(reply.body),
        )
        if not self.transport.disconnecting:
            self.transport.write(head + reply.body)
        self.loseConnection()  # type: ignore[no-untyped-call]
