"""One call of the API: collects the body within its limit, hands itself to the router, and writes one answer.

RULES: an answer goes out as one write, with its length. A call whose connection is gone takes an answer and drops it;
``lost`` is then called, so that whoever waits on behalf of the caller can stop.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from twisted.python.failure import Failure
from twisted.web import http

from lwm2md.http.problems import Problem
from lwm2md.http.replies import Reply
from lwm2md.http.uploads import Upload

if TYPE_CHECKING:
    from lwm2md.http.channel import Channel
    from lwm2md.http.node import Node

MOST_DROPPED: Final = 65_536
"""Bytes of a body that are waited for, and dropped, before a call is refused for what its headers say."""

STREAM_BUFFER: Final = 131_072
"""Bytes that the system may hold of a stream that its reader does not take; by itself it holds megabytes."""

_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("ascii") for status in HTTPStatus
}


class Call(http.Request):
    """A request on its way to a handler, and back.

    Handlers read ``node``, ``path_arguments`` (decoded), ``query`` (checked, with defaults) and ``document`` (the
    decoded body), or ``upload`` (a body that went to a file), and return a `Reply`, or None and call `complete` later.
    ``authorized`` is the operation, of which endpoint, that plugins have allowed.
    """

    node: Node
    path_arguments: Mapping[str, str]
    query: Mapping[str, Any]
    document: Any = None
    lost: Callable[[], None] | None = None
    upload: Upload | None = None
    authorized: object = None
    channel: Any
    chunks: list[bytes]
    _limit = 0
    _size = 0
    _refused = False
    _refusal: Reply | None = None

    def gotLength(self, length: int | None) -> None:
        """Begin a call that has no body."""
        self.chunks = []

    def announced(self, length: int | None, asks: bool) -> None:
        """Learn the announced length of the body, None where it comes in chunks, before any of it came.

        ``asks``: the caller waits to hear whether it may send it. Of the body of a call that will be refused nothing is
        kept, and only a short one is waited for.
        """
        channel: Channel = self.channel
        self.chunks = []
        try:
            self._limit = channel.factory.admit(self)
        except Problem as problem:
            # Its answer, not the exception: that has frames, and they have what was read.
            self._refusal, self._limit = problem.reply(), 0 if asks else MOST_DROPPED
        self._check(int(asks) if length is None else length)

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body."""
        if not self._refused:
            self._size += len(data)
            if self.upload is not None:
                self.upload.write(data)
                self.channel.resetTimeout()
            elif self._refusal is None:
                self.chunks.append(data)
            self._check(self._size)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Everything is here: find the route and call its handler."""
        channel: Channel | None = self.channel
        if channel is None:
            return
        if self._refused:
            channel.loseConnection()  # type: ignore[no-untyped-call]
            return
        self.method, self.uri, self.clientproto = command, path, version
        channel.factory.dispatch(self)

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.chunks)

    def complete(self, make: Callable[[], Reply | None]) -> None:
        """Answer with what ``make`` returns, or with the problem that it raises."""
        if self.channel is not None:
            self.channel.factory.answer(self, make)

    def reply(self, reply: Reply) -> None:
        """Write the answer and end the request; nothing happens when the caller is gone."""
        if self.channel is None or self.finished:
            return
        self._write_head(reply.status, reply.content_type, reply.headers, reply.body)
        self.finished = 1
        self.lost = None
        self._discard()
        self._cleanup()  # type: ignore[no-untyped-call]

    def start_stream(
        self,
        content_type: bytes,
        size: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = ((b"Cache-Control", b"no-store"),),
    ) -> None:
        """Begin an answer of ``size`` bytes, or without an end; what follows goes out by `push`.

        The end of the connection ends it.
        """
        if self.channel is not None:
            self.channel.persistent = 0
            handle = self.channel.transport.getHandle()
            if isinstance(handle, socket.socket):
                handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER)
            length = () if size is None else ((b"Content-Length", b"%d" % size),)
            self._write_head(200, content_type, (*headers, *length), None)

    def push(self, data: bytes) -> None:
        """Write a part of a stream."""
        if self.channel is not None:
            self.channel.send(data)

    def disconnect(self, *, abort: bool = False) -> None:
        """End the connection, at once when ``abort``."""
        if self.channel is None:
            return
        if abort:
            self.channel.transport.abortConnection()
        else:
            self.channel.loseConnection()

    def connectionLost(self, reason: Failure) -> None:
        """The caller is gone; tell whoever waits on its behalf."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._discard()
        lost, self.lost = self.lost, None
        if lost is not None:
            lost()

    def _discard(self) -> None:
        """Remove a file that was sent and that nobody wants."""
        if self.upload is not None:
            self.upload.discard()

    def _write_head(
        self, status: int, content_type: bytes, headers: tuple[tuple[bytes, bytes], ...], body: bytes | None
    ) -> None:
        channel: Channel = self.channel
        lines = [_STATUS_LINES[status], b"Date: ", channel.factory.date()]
        if status != HTTPStatus.NO_CONTENT:
            lines += (b"\r\nContent-Type: ", content_type)
            if body is not None:
                lines.append(b"\r\nContent-Length: %d" % len(body))
        for name, value in headers:
            lines += (b"\r\n", name, b": ", value)
        if not channel.persistent:
            lines.append(b"\r\nConnection: close")
        lines.append(b"\r\n\r\n")
        if body is not None and self.method != b"HEAD":
            lines.append(body)
        self.startedWriting = 1
        channel.send(b"".join(lines))

    def _check(self, size: int) -> None:
        channel: Channel | None = self.channel
        if channel is None or size <= self._limit:
            return
        self._refused = True
        self.chunks = []
        channel.persistent = 0
        reply = self._refusal or Problem("body-too-large", f"a body has at most {self._limit} bytes").reply()
        self._write_head(reply.status, reply.content_type, reply.headers, reply.body)
        channel.drain()
