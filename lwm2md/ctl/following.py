"""Server-sent events (HTML standard, section 9.2): reading a stream, and coming back after it broke.

RULES: a stream that broke is opened again with the id of the last event that was read, so that nothing is missed that
the daemon keeps; the daemon says how long to wait before. What is refused, or not there at first, ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from http.client import HTTPException
from typing import Any, Final

import msgspec

from lwm2md.ctl.client import Client, Query
from lwm2md.ctl.errors import UNREACHABLE, CommandError

SILENCE: Final = 45.0
"""Seconds without even a comment after which a stream counts as dead: three heartbeats of the daemon."""

_RETRY: Final = 2.0
_LONGEST_LINE: Final = 16 * 1024 * 1024
_LONGEST_RETRY: Final = 60_000


class Followed(msgspec.Struct, frozen=True):
    """One event: its id, its type, and the document."""

    id: str
    type: str
    document: Any


class Stream:
    """Reads events from lines; ``last`` and ``retry`` (seconds) are for coming back."""

    def __init__(self, last: str | None = None) -> None:
        self.last = last
        self.retry = _RETRY

    def read(self, lines: Iterable[bytes]) -> Iterator[Followed]:
        """The events in the lines; one that is not ended by an empty line is dropped, as the standard says."""
        last, kind, data = self.last, "", b""
        for raw in lines:
            line = raw.rstrip(b"\r\n")
            name, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if line and name == b"data":
                data += value + b"\n"
            elif name == b"event":
                kind = value.decode("utf-8", "replace")
            elif name == b"id" and b"\0" not in value:
                last = value.decode("utf-8", "replace")
            elif name == b"retry" and value.isdigit():
                self.retry = min(int(value), _LONGEST_RETRY) / 1000
            elif not line:
                self.last = last
                if data:
                    yield Followed(self.last or "", kind or "message", _document(data))
                kind, data = "", b""


def _document(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        raise CommandError("an event is not JSON") from None


def follow(
    client: Client,
    query: Query,
    after: str | None,
    *,
    sleep: Callable[[float], None],
    note: Callable[[str], None],
    opened: Callable[[], None] = lambda: None,
    path: str = "/v1/events",
) -> Iterator[Followed]:
    """Every event of a stream, ``/v1/events`` mostly, from now on or from the one ``after`` that id, without end.

    ``opened`` is called once, when the stream is there; ``note`` is told of interruptions, ``sleep`` waits. Raises
    CommandError where the daemon is not reachable at first, and where it refuses.
    """
    stream = Stream(after)
    first = True
    while True:
        try:
            headers = {} if stream.last is None else {"Last-Event-ID": stream.last}
            response = client.stream(path, query, headers, SILENCE)
        except CommandError as error:
            if first or error.status != UNREACHABLE:
                raise
            sleep(stream.retry)
            continue
        with response:
            if first:
                first = False
                opened()
            with suppress(OSError, HTTPException):
                yield from stream.read(iter(partial(response.readline, _LONGEST_LINE), b""))
        note("the stream of events broke off, connecting again")
        sleep(stream.retry)
