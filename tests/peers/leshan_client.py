"""Eclipse Leshan's Java client engine (2.0.0-M18) as a device that others wrote; its main is in ``leshan/client``.

``python -m tests.peers.leshan_client SERVER ENDPOINT`` runs one in the foreground, for a look by hand.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs
from twisted.trial.unittest import TestCase

from tests.peers import maven
from tests.processes import Process

_SOURCES = Path(__file__).parent / "leshan" / "client"


def install() -> list[str]:
    """Get the jars and compile the main, unless that was done before; returns the class path."""
    libraries = maven.jars(_SOURCES / "pom.xml")
    return [str(maven.classes(_SOURCES, libraries)), f"{libraries}/*"]


@attrs.define
class LeshanClient:
    """A running client; README.md lists the lines that `process` says and the commands that it takes."""

    endpoint: str
    process: Process

    @classmethod
    def start(
        cls,
        case: TestCase,
        server: str,
        endpoint: str,
        *,
        lifetime: int = 300,
        version: str = "1.1",
        queue: bool = False,
        local_port: int = 0,
        period: float = 0.0,
        formats: Sequence[int] = (),
        attributes: Mapping[str, str] = {},
        security: Mapping[str, str] = {},
    ) -> LeshanClient:
        """Start a device that registers at `server` ("coap://HOST:PORT"); `lifetime` and `period` are in seconds.

        `period` makes its values move by themselves; it knows no other than `formats` if any are given;
        `attributes` become further parameters of the registration; `security` are the options for ``coaps://`` that
        the head of ``ClientPeer.java`` names.
        """
        options = {"server": server, "endpoint": endpoint, "lifetime": lifetime, "version": version}
        options |= {"local-port": local_port, "period": period, **security}
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        words += ["--formats", ",".join(map(str, formats))] if formats else []
        words += [word for name, value in attributes.items() for word in ("--attribute", f"{name}={value}")]
        return cls(endpoint, Process.start(case, _java(*words, *["--queue"] * queue)))

    async def registered(self, since: int = 0) -> str:
        """Wait until it is registered; returns the location, such as "/rd/5a3f"."""
        return (await self.process.await_line(r"^registered (\S+)", since=since))[1]

    async def done(self, line: str, since: int = 0) -> None:
        """Wait for a line that begins with `line`, such as "write /3/0/14 2.04"."""
        await self.process.await_line(f"^{line}", since=since)

    async def command(self, line: str, done: str) -> None:
        """Give it a command and wait for a later line that begins with `done`."""
        mark = self.process.mark()
        self.process.say(line)
        await self.done(done, since=mark)

    def set(self, path: str, value: object) -> None:
        """Change a Resource from inside the device: opaque as hex, times as seconds since 1970."""
        self.process.say(f"set {path} {value}")


def _java(*words: str) -> list[str]:
    return maven.java(install(), "ClientPeer", *words, slf4j_internal_verbosity="ERROR")


def main() -> None:
    """Become a device with values that move, until Ctrl-C."""
    server, endpoint = sys.argv[1:]
    command = _java("--server", server, "--endpoint", endpoint, "--period", "5")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
