"""A device that does what a test says, on aiocoap: for what no other peer can do, and for what none should.

RULES: it has no LwM2M of its own; requests come from the port where it answers; the newest rule that fits a request
answers it, and 4.04 where none does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers
from tests.peers import aiocoap
from tests.peers.lines import SCRIPTS, Peer


@attrs.frozen
class Asked:
    """A request that came: `method` such as "GET", `format` and `accept` as numbers, `query` as it is."""

    method: str
    path: str
    query: list[str]
    format: int | None
    accept: int | None
    observe: int | None
    payload: bytes


@attrs.define
class ScriptedDevice:
    """A running device; `register` it first."""

    peer: Peer
    server: str
    location: str = ""
    _seen: int = 0

    @classmethod
    async def start(cls, case: TestCase, server: str) -> ScriptedDevice:
        """Start it against `server` ("coap://HOST:PORT")."""
        (python, _) = aiocoap.install()
        command = [python, str(SCRIPTS / "device_with_aiocoap.py")]
        environment = {"AIOCOAP_CLIENT_TRANSPORT": "udp6", "AIOCOAP_SERVER_TRANSPORT": "udp6", "PYTHONPATH": ""}
        return cls(await Peer.start(case, command, **environment), server)

    async def register(
        self, endpoint: str, links: str | bytes, *query: str, version: str = "1.1", content_format: int | None = 40
    ) -> str:
        """Register with this list; the code of the answer."""
        parameters = "&".join((f"ep={endpoint}", "lt=300", f"lwm2m={version}", *query))
        payload = links.encode() if isinstance(links, str) else links
        code, location = await self.ask("POST", f"rd?{parameters}", payload, content_format if payload else None)
        self.location = location
        return code

    async def ask(
        self, method: str, path: str, payload: bytes = b"", content_format: int | None = None
    ) -> tuple[str, str]:
        """Send the server a request; the code of its answer, and its Location-Path."""
        what = {"url": f"{self.server}/{path}", "method": method, "payload": payload.hex(), "format": content_format}
        found = await self.peer.await_reply(self.peer.begin("request", **what))
        return numbers.dotted(found["code"]), "/".join(found["location"])

    async def answers(
        self,
        method: str,
        path: str,
        payload: bytes = b"",
        content_format: int | None = None,
        *,
        code: str = "2.05",
        location: Sequence[str] = (),
        **on: Any,
    ) -> None:
        """Answer requests of `method` and `path`, and those only that have what `on` says (`accept`, `format_`…)."""
        on = {name.rstrip("_"): value for name, value in on.items()}
        rule = {"on": {"method": method, "path": path, **on}, **_message(payload, content_format, code, location)}
        await self.peer.await_reply(self.peer.begin("answer", **rule))

    async def notify(self, path: str, payload: bytes, content_format: int | None = None, *, code: str = "2.05") -> None:
        """Send a notification of what is observed at `path`."""
        await self.peer.await_reply(self.peer.begin("notify", path=path, **_message(payload, content_format, code)))

    async def asked(self) -> Asked:
        """The next request, come already or to come."""
        self._seen += 1
        found = await self.peer.await_reply(0, self._seen)
        return Asked(
            found["method"],
            found["path"],
            found["query"],
            found["format"],
            found["accept"],
            found["observe"],
            bytes.fromhex(found["payload"]),
        )


def _message(payload: bytes, content_format: int | None, code: str, location: Sequence[str] = ()) -> dict[str, Any]:
    number = numbers.parse_dotted(code)
    return {"payload": payload.hex(), "format": content_format, "code": number, "location": list(location)}
