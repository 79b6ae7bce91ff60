"""Eclipse Leshan's Java server engine (2.0.0-M18), which can more than its demo server; the main is ServerPeer.java.

RULES: one request at a time; values go as text, in the forms that ``leshan/client/Texts.java`` names.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers
from tests.peers import leshan_client, maven
from tests.processes import Process

Values = dict[str, str]
"""What a device answered: values by path."""


@attrs.define
class LeshanServer:
    """A running server: devices register at `coap`."""

    process: Process
    coap: str
    coaps: str = ""
    _mark: int = 0

    @classmethod
    async def start(cls, case: TestCase, security: Mapping[str, str] = {}) -> LeshanServer:
        """Start it and wait until it serves; `security` are the options that the head of ``ServerPeer.java`` names."""
        words = [word for name, value in security.items() for word in (f"--{name}", value)]
        command = maven.java(leshan_client.install(), "ServerPeer", *words, slf4j_internal_verbosity="ERROR")
        process = Process.start(case, command)
        started = json.loads((await process.await_line(r'^\{.*"started":.*$'))[0])
        return cls(process, started["started"], started["secure"])

    async def registered(self, endpoint: str) -> None:
        """Wait until a device has registered."""
        await self.process.await_line(f'^{{"registered":"{endpoint}"')

    async def reply(
        self,
        do: str,
        endpoint: str,
        number: int = numbers.TLV,
        paths: Sequence[str] = (),
        *,
        values: Mapping[str, str] = {},
        text: str | None = None,
    ) -> dict[str, Any]:
        """Have it send a request; all that it tells of the answer, as the head of ``ServerPeer.java`` says."""
        mark = self._mark = self.process.mark()
        entries = [{"path": path, "value": value} for path, value in values.items()]
        task = {"do": do, "endpoint": endpoint, "format": number, "text": text}
        task |= {"paths": list(paths), "entries": entries}
        self.process.say(json.dumps(task))
        found = await self.process.await_line(r'^(\{.*"(?:answer|error)":.*)$', since=mark)
        answer: dict[str, Any] = json.loads(found[1])
        return answer

    async def ask(
        self, do: str, endpoint: str, number: int, paths: Sequence[str] = (), values: Mapping[str, str] = {}
    ) -> tuple[str, Values]:
        """Have it send a request; the code of the answer, such as "CONTENT(205)", and its values."""
        answer = await self.reply(do, endpoint, number, paths, values=values)
        return str(answer.get("answer", answer.get("error"))), _values(answer.get("entries", ()))

    async def notified(self) -> Values:
        """The values of the next notification after the last request."""
        return _values((await self.notification())["notified"])

    async def notification(self) -> dict[str, Any]:
        """All that is told of the next notification after the last request."""
        found = await self.process.await_line(r'^\{.*"notified":.*$', since=self._mark)
        self._mark = self.process.lines.index(found[0], self._mark) + 1
        told: dict[str, Any] = json.loads(found[0])
        return told


def _values(entries: Any) -> Values:
    return {entry["path"]: entry["value"] for entry in entries}
