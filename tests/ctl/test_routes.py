"""Every route of the API has a command of lwm2mctl."""

from __future__ import annotations

import http.client
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl import main
from lwm2md.ctl.client import Answer, Client
from lwm2md.ctl.errors import CommandError
from lwm2md.http.problems import Problem
from lwm2md.http.routes import Route, Router
from lwm2md.http.table import ROUTES
from tests.ctl.support import run

COMMANDS = (
    "status",
    "devices",
    "device e",
    "label e a=b",
    "forget e",
    "objects e",
    "discover e /3",
    "deviations",
    "deviations e",
    "deviations --kind k",
    "read-composite e /3 /1/0/1",
    "observe-composite e /3 /1/0/1",
    "operations",
    "operation 1",
    "cancel 1",
    "cancel --endpoint e",
    "queue e",
    "read e /3/0",
    "twin e",
    "history e /3/0/9",
    "write e /3/0/14 x",
    "write e /3/0/14 x --partial",
    "execute e /3/0/4",
    "delete e /3303/0",
    "observations",
    "observations e",
    "observation 1",
    "unobserve 1",
    "observation e /3",
    "observe e /3",
    "unobserve e /3",
    "events",
    "plugins",
    "plugins show p",
    "plugins enable p",
    "plugins disable p",
    "plugins reload p",
    "models",
    f"models put {__file__}",
    "models show 3",
    "models show 3 1.1",
    "models delete 3 1.1",
    "health",
    "metrics",
    "openapi",
    "messages e",
    "traces",
    "traces 1",
    "trace e --pcapng /dev/null",
    "reload",
    "backup --show",
    "backup b",
    "restore",
    f"restore {__file__}",
    "drain",
    "drain --show",
    "undrain",
    "update-trigger e",
    "doctor",
    "doctor e",
    "device e --profile p",
    "profiles",
    "profile p",
    "profile p --set awake=20",
    "profile p --remove",
    "templates",
    "template t",
    f"template t {Path(__file__).with_name('template.json')}",
    "template t --remove",
    "profile-ids",
    "profile-id p",
    "profile-id p </3/0>",
    "profile-id p --remove",
    "credentials",
    "credentials show i",
    "credentials add x509:i",
    "credentials revoke i",
    f"credentials import {Path(__file__).with_name('credentials.csv')}",
    "refused",
    "refused 1",
    "refused 1 --dismiss",
    "admit 1",
    "audit",
)
"""One command line for each thing that a command can ask for."""


class Recorder(Client):
    """A client that notes what is asked for, and answers nothing but what leads on."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def _send(
        self, method: str, target: str, data: bytes | BinaryIO | None, headers: Mapping[str, str], timeout: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        self.asked.append((method, target.partition("?")[0]))
        raise CommandError("noted")


class Objects(Recorder):
    """A recorder that knows the Objects of a device: none."""

    def get(self, path: str, query: Mapping[str, object] = {}) -> object:
        """No items, whatever is asked for."""
        return {"items": [], "next": None} if path.endswith("/objects") else super().get(path, query)

    def request(
        self, method: str, path: str, query: Mapping[str, object] = {}, body: object = None, wait: float = 0.0
    ) -> Answer:
        """A trace that was made."""
        if (method, path) == ("POST", "/v1/traces"):
            return Answer(201, {"id": "1"})
        return super().request(method, path, query, body, wait)

    def stream(
        self, path: str, query: Mapping[str, object], headers: Mapping[str, str], silence: float
    ) -> http.client.HTTPResponse:
        """A trace that ends at once."""
        if not path.startswith("/v1/traces/"):
            return super().stream(path, query, headers, silence)
        self.asked.append(("GET", path))
        ended: Any = io.BytesIO(b"event: ended\ndata: {}\n\n")
        return cast("http.client.HTTPResponse", ended)

    def text(self, path: str) -> tuple[int, str]:
        """Note it."""
        self.asked.append(("GET", path))
        return 200, ""


class Routes(SynchronousTestCase):
    """The commands against the table of routes."""

    def test_each_has_a_command(self) -> None:
        """Each route is asked for by a command; what the API can do, lwm2mctl can do."""
        asked: list[tuple[str, str]] = []
        self.patch(Recorder, "asked", asked)
        for kind in (Recorder, Objects):
            self.patch(main, "Client", kind)
            for command in COMMANDS:
                run(self, *command.split())
        router = Router(ROUTES)
        found = {self._route(router, method, path) for method, path in asked}
        missing = [f"{route.method} {route.template}" for route in ROUTES if route not in found]
        self.assertEqual(missing, [])

    def _route(self, router: Router, method: str, path: str) -> Route:
        try:
            return router.find(method.encode(), path.encode())[0]
        except Problem as problem:
            self.fail(f"{method} {path}: {problem}")
            raise
