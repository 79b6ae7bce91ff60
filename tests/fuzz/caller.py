"""The operator beside the attack: reads, writes, observes and all else through the API, in a thread of its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from http.client import HTTPException
from random import Random
from typing import Any, Final
from urllib.parse import quote

from tests.fuzz.daemon import Api, Lost

_OPERATIONS: Final[tuple[dict[str, Any], ...]] = (
    {"op": "read", "path": "/3/0"},
    {"op": "read", "path": "/3/0/0", "format": "text"},
    {"op": "read", "path": "/3303"},
    {"op": "read", "path": "/3303/0/5700"},
    {"op": "read", "path": "/9999/0/1/2"},
    {"op": "read", "path": "/3"},
    {"op": "read", "path": "/1/0"},
    {"op": "read", "path": "/3/0/13"},
    {"op": "read", "path": "/3/0/6"},
    {"op": "read", "path": "/5/0/0", "format": "opaque"},
    {"op": "read", "path": "/6/0"},
    {"op": "write", "path": "/3/0/14", "value": "+02"},
    {"op": "write-partial", "path": "/3303/0", "values": {"5750": "here"}},
    {"op": "execute", "path": "/3/0/4", "arguments": {"0": "now"}},
    {"op": "create", "path": "/3303", "values": {"5700": 1.5}},
    {"op": "delete", "path": "/3303/7"},
    {"op": "discover", "path": "/3303"},
    {"op": "observe", "path": "/3303/0/5700"},
    {"op": "cancel-observe", "path": "/3303/0/5700"},
    {"op": "write-attributes", "path": "/3303/0/5700", "attributes": {"pmin": 1}},
    {"op": "read", "path": "/3/0/4", "force": True},
    {"op": "read-composite", "paths": ["/3/0", "/3303/0/5700"]},
    {"op": "write-composite", "values": {"/3/0/14": "+02", "/1/0/1": 60}},
    {"op": "observe-composite", "paths": ["/3/0/9", "/3303"]},
    {"op": "cancel-observe", "paths": ["/3303", "/3/0/9"]},
    {"op": "discover", "path": "/3", "depth": 3, "force": True},
)
_FOUND: Final = 200
_QUEUED: Final = 202
_FORGOTTEN: Final = 8
_OBSERVED: Final = ("/3/0/9", "/3303/0/5700", "/3303/0", "/9999/0")


class Caller(threading.Thread):
    """Asks devices in turn, as often as it is `let`; ``failure`` is what must not have happened.

    Those that are ``expendable`` may be forgotten, labels and all: they register again.
    """

    def __init__(self, api: Api, lasting: Sequence[str], expendable: Sequence[str], random: Random) -> None:
        super().__init__(daemon=True)
        self.requests = 0
        self.failure: str | None = None
        self._api = api
        self._endpoints = [*lasting, *expendable]
        self._expendable = frozenset(expendable)
        self._random = random
        self._allowed = 0
        self._permits = threading.Semaphore(0)
        self._stopping = False

    @property
    def behind(self) -> bool:
        """Whether more is allowed than was asked."""
        return self.requests < self._allowed and self.failure is None

    def let(self, count: int) -> None:
        """Allow that many requests more."""
        self._allowed += count
        self._permits.release(count)

    def run(self) -> None:
        """Call until stopped."""
        try:
            while self._permits.acquire() and not self._stopping:
                self._ask(self._endpoints[self.requests % len(self._endpoints)])
                self.requests += 1
        except (Lost, OSError, HTTPException, ValueError) as error:
            self.failure = f"the API: {error!r}"

    def stop(self) -> None:
        """Ask no more."""
        self._stopping = True
        self._permits.release()
        self.join(30)

    def _ask(self, endpoint: str) -> None:
        device = f"/v1/devices/{quote(endpoint, safe='')}"
        observed = self._random.choice(_OBSERVED)
        draw = self._random.random()
        if draw < 0.25:
            body = {"pmin": 0, "pmax": 60} if draw < 0.05 else None
            self._api.text("PUT", f"{device}/observations{observed}?wait=0", body)
        elif draw < 0.26:
            self._api.text("DELETE", f"{device}/observations{observed}")
        elif draw < 0.29:
            self._api.text("GET", f"{device}/resources{observed}?source=twin")
        elif draw < 0.295:
            self._look(device)
        elif draw < 0.31:
            self._make_room()
        elif draw < 0.32:
            self._api.text("PATCH", device, {"labels": {"farm": self._random.choice(("north", None))}})
        elif draw < 0.325 and endpoint in self._expendable:
            self._api.text("DELETE", device)
        else:
            self._operate(device)

    def _look(self, device: str) -> None:
        """Ask for the last messages, which must be readable whatever they were, and trace everybody for a second."""
        status, text = self._api.text("GET", f"{device}/messages?limit=20")
        if status == _FOUND and not all(item["line"].isprintable() for item in json.loads(text)["items"]):
            raise Lost(f"a message is not printable: {text}")
        self._api.text("POST", "/v1/traces", {"address": "127.0.0.0/8", "duration": 1, "limit": 1000})

    def _make_room(self) -> None:
        """Forget a few of the devices that nobody asked for, so that neither they nor the others fill all places."""
        found = self._api.json("GET", f"/v1/devices?limit={self._random.randint(1, 1000)}")["items"]
        strange = [item["endpoint"] for item in found if item["endpoint"] not in self._endpoints]
        for endpoint in self._random.sample(strange, min(_FORGOTTEN, len(strange))):
            self._api.text("DELETE", f"/v1/devices/{quote(endpoint, safe='')}")

    def _operate(self, device: str) -> None:
        status, text = self._api.text("POST", f"{device}/operations?wait=0", self._random.choice(_OPERATIONS))
        if status == _QUEUED and self._random.random() < 0.1:
            self._api.text("DELETE", f"/v1/operations/{json.loads(text)['id']}")


class Reader(threading.Thread):
    """Reads all events as they happen; ``failure`` is set where one is no JSON, or the connection breaks."""

    def __init__(self, api: Api) -> None:
        super().__init__(daemon=True)
        self.events = 0
        self.failure: str | None = None
        self._api = api
        self._stopping = False

    def run(self) -> None:
        """Read until the stream ends."""
        try:
            for line in self._api.lines("/v1/events"):
                if line.startswith(b"data: "):
                    json.loads(line[6:])
                    self.events += 1
        except (OSError, HTTPException, ValueError) as error:
            self.failure = None if self._stopping else f"the events: {error!r}"

    def stop(self) -> None:
        """Close the connection."""
        self._stopping = True
        self._api.close()
        self.join(30)
