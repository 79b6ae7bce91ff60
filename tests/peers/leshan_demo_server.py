"""Eclipse Leshan's demo server (2.0.0-M4) as a server that others wrote, driven over its REST API."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from tests import web
from tests.peers import maven
from tests.processes import Process, free_port

_FILES = Path(__file__).parent / "leshan" / "server"


def install() -> list[str]:
    """Get the jars, unless that was done before; returns the class path."""
    return [f"{maven.jars(_FILES / 'pom.xml')}/*"]


@attrs.define
class LeshanDemoServer:
    """A running server: devices register at `coap`, its REST API is below `url`."""

    case: TestCase
    process: Process
    coap: str
    url: str

    @classmethod
    async def start(cls, case: TestCase) -> LeshanDemoServer:
        """Start it on free ports and wait until it serves."""
        coap, coaps, http = free_port(), free_port(), free_port(socket.SOCK_STREAM)
        local = "127.0.0.1"
        # Its Gson reaches into private parts of java.util, which Java 17 keeps closed unless it is told to open them.
        opened = "--add-opens=java.base/java.util=ALL-UNNAMED"
        command = maven.java(
            install(),
            "org.eclipse.leshan.server.demo.LeshanServerDemo",
            *("-lh", local, "-lp", str(coap), "-slh", local, "-slp", str(coaps), "-wh", local, "-wp", str(http)),
            options=[opened],
            logback_configurationFile=str(_FILES / "logback-warn.xml"),
        )
        process = Process.start(case, command)
        await process.await_line("Web server started")
        return cls(case, process, f"coap://{local}:{coap}", f"http://{local}:{http}/api")

    async def api(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """One request, such as ``GET /clients/NAME/3/0/9``; see `tests.web.document` for `body` and `data`."""
        return await web.document(method, self.url + path, **how)

    async def events(self) -> web.EventStream:
        """Its server-sent events: REGISTRATION, UPDATED, DEREGISTRATION, NOTIFICATION."""
        return await web.EventStream.open(self.case, f"{self.url}/event")
