"""Requests as operations."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md_mqtt.requests import METHODS, BadRequest, body, identity, operation
from lwm2md_mqtt.topics import Address

OPERATIONS: tuple[tuple[str, str, Any, dict[str, Any]], ...] = (
    ("GET", "/3/0/0", {}, {"op": "read", "path": "/3/0/0"}),
    ("GET", "/3", {"format": "tlv"}, {"op": "read", "path": "/3", "format": "tlv"}),
    ("GET", "", {"payload": ["/3/0/0"]}, {"op": "read-composite", "paths": ["/3/0/0"]}),
    ("GET", "", {"paths": ["/3/0/0"]}, {"op": "read-composite", "paths": ["/3/0/0"]}),
    ("PUT", "/3/0/14", {"payload": "+02"}, {"op": "write", "path": "/3/0/14", "value": "+02"}),
    ("PUT", "/3/0/14", {"value": "+02"}, {"op": "write", "path": "/3/0/14", "value": "+02"}),
    ("PUT", "/1/0", {"payload": {"1": 60}}, {"op": "write", "path": "/1/0", "values": {"1": 60}}),
    ("PUT", "/1/0", {"values": {"1": 60}}, {"op": "write", "path": "/1/0", "values": {"1": 60}}),
    ("PUT", "", {"payload": {"/3/0/14": "+02"}}, {"op": "write-composite", "values": {"/3/0/14": "+02"}}),
    ("POST", "/3/0/4", {}, {"op": "execute", "path": "/3/0/4"}),
    ("POST", "/3/0/4", {"payload": None}, {"op": "execute", "path": "/3/0/4"}),
    ("POST", "/3/0/4", {"payload": "0='a',1"}, {"op": "execute", "path": "/3/0/4", "arguments": {"0": "a", "1": None}}),
    ("POST", "/3/0/4", {"payload": {"0": "a"}}, {"op": "execute", "path": "/3/0/4", "arguments": {"0": "a"}}),
    ("POST", "/3/0/4", {"arguments": {"0": "a"}}, {"op": "execute", "path": "/3/0/4", "arguments": {"0": "a"}}),
    ("POST", "/3303", {"instance": 5}, {"op": "create", "path": "/3303", "id": 5}),
    ("POST", "/3303", {"payload": {"5700": 1.5}}, {"op": "create", "path": "/3303", "values": {"5700": 1.5}}),
    ("POST", "/1/0", {"payload": {"1": 60}}, {"op": "write-partial", "path": "/1/0", "values": {"1": 60}}),
    ("POST", "/3/0/6", {"values": {"0": 1}}, {"op": "write-partial", "path": "/3/0/6", "values": {"0": 1}}),
    ("DELETE", "/3303/5", {}, {"op": "delete", "path": "/3303/5"}),
    ("DISCOVER", "/3", {"depth": 2}, {"op": "discover", "path": "/3", "depth": 2}),
    ("OBSERVE", "/3303/0/5700", {}, {"op": "observe", "path": "/3303/0/5700"}),
    ("OBSERVE", "/3/0/9", {"payload": {"pmin": 5}}, {"op": "observe", "path": "/3/0/9", "attributes": {"pmin": 5}}),
    ("OBSERVE", "", {"payload": ["/3/0/9"]}, {"op": "observe-composite", "paths": ["/3/0/9"]}),
    ("CANCEL-OBSERVE", "/3303/0/5700", {}, {"op": "cancel-observe", "path": "/3303/0/5700"}),
    ("CANCEL-OBSERVE", "", {"payload": ["/3/0/9"]}, {"op": "cancel-observe", "paths": ["/3/0/9"]}),
    ("WRITE-ATTRIBUTES", "/3/0/9", {"payload": {"gt": 5, "lt": None}},
     {"op": "write-attributes", "path": "/3/0/9", "attributes": {"gt": 5, "lt": None}}),
    ("GET", "/3/0/0", {"timeout": 5, "ttl": 60, "priority": 2, "key": "k", "force": True, "when": "now", "retries": 1},
     {"op": "read", "path": "/3/0/0", "timeout": 5, "ttl": 60, "priority": 2, "key": "k", "force": True,
      "when": "now", "retries": 1}),
)  # fmt: skip

REFUSED: tuple[tuple[str, str, Any, str], ...] = (
    ("PATCH", "/3", {}, "4.05"),
    ("get", "/3", {}, "4.05"),
    ("POST", "", {}, "4.00"),
    ("GET", "/3/0/0", {"payload": 1}, "4.00"),
    ("DELETE", "/3/0", {"payload": {}}, "4.00"),
    ("PUT", "/3/0/14", {"payload": 1, "value": 2}, "4.00"),
    ("PUT", "/3/0/14", {"instance": 2}, "4.00"),
    ("POST", "/3/0/4", {"payload": "a=b"}, "4.00"),
)

BROKEN = (b"x", b"[]", b"1", b'{"id": }', b'{"unknown": 1}', b'{"wait": "1"}', b'{"id": "\xff"}', b"[" * 5000, b"{}{}")


def address(method: str, path: str) -> Address:
    """The address of a request."""
    return Address("e", method, path, f"e/{method}{path}")


class OperationTests(SynchronousTestCase):
    """Which operation a request asks for."""

    def test_table(self) -> None:
        """Method, level of the path and payload say what is asked."""
        for method, path, given_body, asked in OPERATIONS:
            found = operation(address(method, path), body(json.dumps(given_body).encode()))
            self.assertEqual(found, asked, (method, path, given_body))

    def test_every_method(self) -> None:
        """Every method is in the table."""
        self.assertEqual({method for method, *_ in OPERATIONS}, set(METHODS))

    def test_empty_payload(self) -> None:
        """No payload at all is an empty object."""
        self.assertEqual(operation(address("GET", "/3"), body(b"")), {"op": "read", "path": "/3"})

    def test_refused(self) -> None:
        """What can't be asked is refused with a CoAP code."""
        for method, path, given_body, code in REFUSED:
            with self.assertRaises(BadRequest) as caught:
                operation(address(method, path), body(json.dumps(given_body).encode()))
            self.assertEqual(caught.exception.code, code, (method, path, given_body))


class BodyTests(SynchronousTestCase):
    """Payloads of requests."""

    def test_broken(self) -> None:
        """A payload that does not fit is refused."""
        for payload in BROKEN:
            with self.assertRaises(BadRequest):
                body(payload)

    def test_identity(self) -> None:
        """The id is found in a payload that is refused, if it is JSON."""
        self.assertEqual(bytes(identity(b'{"id": {"a": [1.50]}, "unknown": 1}')), b'{"a": [1.50]}')
        for payload in (b"x", b"{}", b"", b'{"id": "\xff"}', b"[" * 5000):
            self.assertEqual(bytes(identity(payload)), b"null")

    @given(st.binary(max_size=60))
    def test_any_bytes(self, payload: bytes) -> None:
        """Any bytes are a body or refused."""
        identity(payload)
        try:
            body(payload)
        except BadRequest as error:
            self.assertEqual(error.code, "4.00")

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
    def test_any_payload(self, payload: Any) -> None:
        """Any JSON as payload of any method is an operation or refused."""
        try:
            encoded = json.dumps({"payload": payload, "values": payload}).encode()
        except UnicodeEncodeError:
            return
        for method in METHODS:
            for path in ("", "/3", "/3/0", "/3/0/4", "/x"):
                try:
                    found = operation(address(method, path), body(encoded))
                except BadRequest:
                    continue
                self.assertIn("op", found)
