"""The daemon and the simulated devices as real processes, the way an operator starts them.

RULES: ports are learnt from the daemon's log, never guessed; state lives in the test's own directory; the token is
read from where the daemon wrote it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from tests import web
from tests.processes import Process, directory, script


@attrs.define
class Daemon:
    """A running ``twistd -n lwm2md``: `coap`, `coaps` ("" without) and `url` are where it listens, `token` is the
    administrator's.
    """

    case: TestCase
    process: Process
    state: Path
    coap: str
    url: str
    token: str
    settings: tuple[str, ...]
    config: Path | None = None
    coaps: str = ""

    @classmethod
    async def start(
        cls,
        case: TestCase,
        *settings: str,
        state: Path | None = None,
        coap: str = "127.0.0.1:0",
        api: str = "127.0.0.1:0",
        config: Path | None = None,
    ) -> Daemon:
        """Start it and wait until it serves.

        `settings` are further ``section.key=value``, `state` an old directory, `config` an INI file.
        """
        place = state or directory(case) / "state"
        base = (f"coap.listen={coap}", f"api.listen={api}", f"lwm2md.state={place}")
        options = [word for setting in (*base, *settings) for word in ("--set", setting)]
        if config is not None:
            options += ["--config", str(config)]
        process = Process.start(case, [script("twistd"), "--pidfile=", "-n", "lwm2md", *options])
        coap_url = (await process.await_line(r"listening on (coap://\S+)"))[1]
        api_url = (await process.await_line(r"api on (https?://\S+)"))[1].rstrip("/")
        secure = next((found[1] for line in process.lines if (found := re.search(r"on (coaps://\S+)", line))), "")
        token = (place / "admin.token").read_text(encoding="ascii").strip()
        return cls(case, process, place, coap_url, api_url, token, settings, config, secure)

    async def again(self) -> Daemon:
        """Start another process on the same state and the same ports, after this one was stopped or killed."""
        return await Daemon.start(
            self.case,
            *self.settings,
            *([f"coaps.listen={self.coaps.removeprefix('coaps://')}"] if self.coaps else []),
            state=self.state,
            coap=self.coap.removeprefix("coap://"),
            api=self.url.removeprefix("http://"),
            config=self.config,
        )

    async def api(self, method: str, path: str, **how: Any) -> tuple[int, Any]:
        """One request to `path` ("/v1/…") as the administrator; `tests.web.exchange` says what `how` may hold."""
        headers = {"Authorization": f"Bearer {self.token}", **how.pop("headers", {})}
        return await web.document(method, self.url + path, headers=headers, **how)

    async def events(self, query: str = "", **headers: str) -> web.EventStream:
        """Open ``/v1/events`` with a query ("types=device.value"); `headers` such as ``Last_Event_ID``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.url}/v1/events" + (f"?{query}" if query else "")
        return await web.EventStream.open(self.case, url, {"Authorization": f"Bearer {self.token}", **named})


def start_devices(case: TestCase, server: str, *arguments: str) -> Process:
    """Start ``twistd -n lwm2m-device`` against `server` ("coap://HOST:PORT") with further `arguments`."""
    command = [script("twistd"), "--pidfile=", "-n", "lwm2m-device", "--server", server, *arguments]
    return Process.start(case, command)
