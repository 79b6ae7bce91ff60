"""Peers in Python under a script of ours: a line of JSON for each thing that one is to do, and for each that happens.

A request has an ``id`` and says what to ``do``; what happens carries the same id and a ``number``: 0 is the answer,
1 and more are notifications. Payloads are hexadecimal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers
from tests.processes import Process

SCRIPTS = Path(__file__).parent / "scripts"


class PeerError(AssertionError):
    """The peer met an error instead of an answer; the text is its own."""


@attrs.frozen
class Answer:
    """A response: `code` such as "2.05", the whole body, and options by name as far as the peer shows them."""

    code: str
    body: bytes
    options: dict[str, Any]


@attrs.define
class Peer:
    """A running script."""

    process: Process
    _next: int = 1

    @classmethod
    async def start(cls, case: TestCase, command: list[str], **environment: Any) -> Peer:
        """Start it and wait until it takes lines."""
        process = Process.start(case, command, **environment)
        await process.await_line("^ready$")
        return cls(process)

    def begin(self, do: str, **what: Any) -> int:
        """Have something done; returns its id."""
        number, self._next = self._next, self._next + 1
        self.process.say(json.dumps({"id": number, "do": do, **what}))
        return number

    async def await_reply(self, identifier: int, number: int = 0, timeout: float = 30.0) -> dict[str, Any]:
        """What has happened to `identifier`; raises `PeerError` if it was an error."""
        match = await self.process.await_line(f'^{{"id": {identifier}, "number": {number}[,}}].*', timeout=timeout)
        found: dict[str, Any] = json.loads(match[0])
        if "error" in found:
            raise PeerError(found["error"])
        return found


@attrs.define
class Observation:
    """An observation that a peer made: `answer` is the first response."""

    answer: Answer
    _peer: Peer
    _id: int
    _seen: int = 0

    async def next(self, timeout: float = 30.0) -> Answer:
        """The next notification, come already or to come."""
        self._seen += 1
        return _answer(await self._peer.await_reply(self._id, self._seen, timeout))

    async def cancel(self) -> None:
        """End it, as the peer does."""
        await self._peer.await_reply(self._peer.begin("cancel", of=self._id))


@attrs.define
class Client:
    """A foreign client. `what` may be: `payload`, `szx` (block size exponent), `non`, `accept`, `format`."""

    peer: Peer

    async def request(self, url: str, method: str = "GET", *, timeout: float = 30.0, **what: Any) -> Answer:
        """Send a request and wait for its answer."""
        return _answer(await self.peer.await_reply(self.begin(url, method, **what), timeout=timeout))

    def begin(self, url: str, method: str = "GET", **what: Any) -> int:
        """Send a request; returns its id."""
        payload = what.pop("payload", b"").hex()
        return self.peer.begin("request", url=url, method=method, payload=payload, **what)

    async def observe(self, url: str, **what: Any) -> Observation:
        """Observe a resource."""
        number = self.begin(url, observe=True, **what)
        return Observation(_answer(await self.peer.await_reply(number)), self.peer, number)


@attrs.define
class Server:
    """A foreign server on `url`, with the resources that `tests/peers/README.md` lists."""

    peer: Peer
    url: str

    @classmethod
    async def start(cls, peer: Peer, szx: int | None = None) -> Server:
        """Have the peer serve, with blocks of this size at most."""
        found = await peer.await_reply(peer.begin("serve", szx=szx))
        return cls(peer, f"coap://127.0.0.1:{found['port']}")

    async def change(self, payload: bytes) -> None:
        """Give /clock another state, and tell its observers."""
        await self.peer.await_reply(self.peer.begin("change", payload=payload.hex()))


def _answer(found: dict[str, Any]) -> Answer:
    return Answer(numbers.dotted(found["code"]), bytes.fromhex(found["payload"]), found.get("options", {}))
