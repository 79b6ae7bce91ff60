"""Asking for what takes long: on a terminal it is shown how long it takes, and how far it got.

RULES: what a device answers at once is asked for in one request. Only behind that, and only where somebody watches, the
operation is looked at again and again; who interrupts that ends the looking, not the operation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final, TextIO

from lwm2md.ctl.client import Answer, Client, Query
from lwm2md.ctl.errors import PENDING, CommandError
from lwm2md.ctl.tables import clean

FIRST: Final = 0.5
"""Seconds to wait before anything is shown."""

PAUSE: Final = 0.25
OPEN: Final = frozenset({"queued", "sent", "pending"})
_QUEUED: Final = 202
_SIGNS: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ERASE: Final = "\r\x1b[K"

Where = Callable[[Mapping[str, Any]], str]


class Meter:
    """A line on a terminal that moves while something is waited for."""

    def __init__(
        self, stream: TextIO, sleep: Callable[[float], None] = time.sleep, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._sleep = sleep
        self._now = now

    def follow(self, client: Client, answer: Answer, where: Where, wait: float) -> Answer:
        """Look at what ``answer`` left open until it ends or ``wait`` seconds are over. Raises CommandError."""
        start = self._now()
        document = answer.document
        path = where(document)
        try:
            for sign in map(_SIGNS.__getitem__, (number % len(_SIGNS) for number in count())):
                elapsed = self._now() - start
                if document["state"] not in OPEN or elapsed >= wait:
                    return Answer(_QUEUED if document["state"] in OPEN else 200, document)
                self._show(sign, document, FIRST + elapsed)
                self._sleep(PAUSE)
                document = client.get(path)
        except KeyboardInterrupt:
            raise CommandError(_left(document), PENDING) from None
        finally:
            self._write(_ERASE)
        raise AssertionError("count() has no end")

    def _show(self, sign: str, document: Mapping[str, Any], elapsed: float) -> None:
        what = clean(f"{document.get('op', 'observe')} {document['path']} of {document['endpoint']}")
        self._write(f"{_ERASE}{sign} {what}: {document['state']}, {elapsed:.0f} s")

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def ask(
    client: Client,
    meter: Meter | None,
    method: str,
    path: str,
    *,
    query: Query,
    body: object,
    wait: float,
    where: Where,
) -> Answer:
    """One request that may wait ``wait`` seconds for a device; ``where`` is the path of the document of a 202."""
    if meter is None or wait <= FIRST:
        return client.request(method, path, query, body, wait)
    answer = client.request(method, path, {**query, "wait": FIRST}, body, FIRST)
    return meter.follow(client, answer, where, wait - FIRST) if answer.status == _QUEUED else answer


def _left(document: Mapping[str, Any]) -> str:
    what = clean(f"{document.get('op', 'observe')} {document['path']} of {document['endpoint']}")
    if "op" in document:
        return f"{what} stays {document['state']}: lwm2mctl operation {document['id']}"
    return f"{what} stays {document['state']}: lwm2mctl observation {document['id']}"
