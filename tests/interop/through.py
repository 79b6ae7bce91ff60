"""A device as an operator sees it: everything through ``/v1`` of a daemon in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import attrs
from twisted.trial.unittest import TestCase

from tests.daemons import Daemon


def values(document: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a document by path."""
    return {row["path"]: row["value"] for row in document["values"]}


@attrs.define
class Through:
    """Requests about one device; an answer with another status or state than is expected fails the test."""

    case: TestCase
    daemon: Daemon
    endpoint: str

    async def call(self, method: str, path: str, expected: int = 200, **how: Any) -> Any:
        """One request below ``/v1/devices/{endpoint}``; its document."""
        status, document = await self.daemon.api(method, f"/v1/devices/{quote(self.endpoint, safe='')}{path}", **how)
        self.case.assertEqual(status, expected, (method, path, document))
        return document

    async def read(self, path: str, name: str | None = None, *, force: bool = False) -> dict[str, Any]:
        """The values that a Read gives, by path; in the format ``name`` the device must have answered."""
        operation = await self.do("read", path, format=name, force=force)
        if name is not None:
            self.case.assertEqual(operation["format"], name, path)
        return values(operation["result"])

    async def do(self, op: str, path: str | None = None, *, code: str | None = None, **fields: Any) -> Any:
        """An operation to its end: it must have succeeded, or failed with ``code``."""
        body = {"op": op, **fields, **({} if path is None else {"path": path})}
        operation = await self.call("POST", "/operations", body={k: v for k, v in body.items() if v is not None})
        self.case.assertEqual(operation["state"], "done" if code is None else "failed", operation)
        if code is not None:
            self.case.assertEqual(operation["coap_code"], code, operation)
        return operation

    async def links(self, path: str, **fields: Any) -> dict[str, dict[str, Any]]:
        """What a Discover gives: the attributes of each path."""
        operation = await self.do("discover", path, **fields)
        return {link["path"]: link["attributes"] for link in operation["result"]["links"]}

    async def refused(self, op: str, path: str | None, field: str, **fields: Any) -> str:
        """An operation that is refused before anything is sent; what is said of ``field``."""
        body = {"op": op, **fields, **({} if path is None else {"path": path})}
        problem = await self.call("POST", "/operations", 400, body=body)
        self.case.assertEqual((problem["code"], problem["errors"][0]["field"]), ("bad-operation", field), problem)
        message: str = problem["errors"][0]["message"]
        return message

    async def deviations(self) -> dict[str, int]:
        """How often the device did what it should not, by kind."""
        found = await self.call("GET", "/deviations")
        return {item["kind"]: item["count"] for item in found["items"]}
