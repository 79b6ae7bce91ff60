"""What a daemon of this version leaves in its database, as SQL: ``python -m tests.storage.leaving [--kill]``.

RULES: run in a tree whose schema is to be kept for the tests of upgrades, before there is another one. A daemon as an
operator starts it, two devices of few lines, and a caller of the API; what it leaves is what `test_upgrade` asks for.
With ``--kill`` it ends by `SIGKILL`, so that what was committed last is in the journal only.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, Options, decode, encode, options

LINKS = b"</1/0>,</3/0>,</3303/0>"
MODEL = b"""<LWM2M><Object ObjectType="MODefinition"><Name>Door</Name><ObjectID>40100</ObjectID>
<MultipleInstances>Multiple</MultipleInstances><Mandatory>Optional</Mandatory><Resources>
<Item ID="0"><Name>Open</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances>
<Mandatory>Mandatory</Mandatory><Type>Boolean</Type></Item></Resources>
</Object></LWM2M>"""


class Thing:
    """A device: it registers, answers the first ``answered`` requests, and notifies one value."""

    def __init__(self, endpoint: str, server: tuple[str, int], answered: int) -> None:
        self.endpoint = endpoint
        self.answered = answered
        self.token = b""
        self.location: tuple[str, ...] = ()
        self.acknowledged = threading.Event()
        self._mid = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(server)
        threading.Thread(target=self._listen, daemon=True).start()

    def register(self, binding: str) -> None:
        """Register, with a label."""
        query = (f"ep={self.endpoint}", "lt=86400", "lwm2m=1.0", f"b={binding}", "farm=north")
        self._send(n.POST, options(path=("rd",), query=query, content_format=n.LINK_FORMAT), LINKS)

    def update(self) -> None:
        """Refresh the registration."""
        self._send(n.POST, options(path=self.location), b"")

    def notify(self, sequence: int, value: bytes) -> None:
        """Notify a value, and wait until it is stored."""
        self._send(n.CONTENT, options(observe=sequence, content_format=n.TEXT), value, self.token)

    def _send(self, code: int, given: Options, payload: bytes, token: bytes = b"t") -> None:
        self._mid += 1
        self.acknowledged.clear()
        self._socket.send(encode(Message(n.CON, code, self._mid, token, given, payload)))
        assert self.acknowledged.wait(10)

    def _listen(self) -> None:
        while True:
            message = decode(self._socket.recv(2048))
            if message.type == n.ACK:
                self.location = message.location or self.location
                self.acknowledged.set()
            elif self.answered:
                self.answered -= 1
                self._socket.send(encode(self._answer(message)))

    def _answer(self, message: Message) -> Message:
        if message.code != n.GET:
            return Message(n.ACK, n.CHANGED, message.mid, message.token)
        if message.observe == 0:
            self.token = message.token
        given = options(observe=0 if self.token == message.token else None, content_format=n.TEXT)
        return Message(n.ACK, n.CONTENT, message.mid, message.token, given, b"20.5")


def use(server: tuple[str, int], call: Callable[..., Any]) -> None:
    """Let happen what the tests ask for afterwards."""
    awake, sleepy = Thing("awake", server, answered=2), Thing("sleepy", server, answered=0)
    awake.register("U")
    sleepy.register("UQ")
    call("PATCH", "/v1/devices/awake", {"labels": {"house": "7"}})
    call("PUT", "/v1/devices/awake/observations/3303/0/5700?wait=10", {})
    call("POST", "/v1/devices/awake/operations?wait=10", {"op": "execute", "path": "/3/0/4"})
    call("POST", "/v1/devices/sleepy/operations", {"op": "write", "path": "/3/0/14", "value": "+02"})
    call("POST", "/v1/devices/sleepy/operations", {"op": "execute", "path": "/3/0/4", "key": "once"})
    call("PUT", "/v1/profiles/slow", {"match": {"endpoint": "slow-*"}, "set": {"ack_timeout": 15}})
    call("PUT", "/v1/observation-templates/none", {"match": {"endpoint": "none-*"}, "observe": [{"path": "/3/0/9"}]})
    call("PUT", "/v1/profile-ids/a", {"links": "</3/0>"})
    call("PUT", "/v1/models", MODEL)
    for sequence, value in enumerate((b"18.5", b"19", b"21.5"), 1):
        awake.notify(sequence, value)
    awake.update()


def leave(state: Path, how: int) -> Path:
    """Run a daemon on a state directory, use it, and end it with a signal; the path of the database."""
    settings = ("coap.listen=127.0.0.1:0", "api.listen=127.0.0.1:0", f"lwm2md.state={state}")
    twistd = str(Path(sysconfig.get_path("scripts")) / "twistd")
    tree = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    words = [twistd, "--pidfile=", "-n", "lwm2md", *(word for each in settings for word in ("--set", each))]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=tree) as daemon:
        assert daemon.stdout is not None
        said = ""
        while not (found := re.search(r"coap://([\d.]+):(\d+).*api on (http\S+)\s", said, re.DOTALL)):
            said += daemon.stdout.readline() or sys.exit(said)
        token = (state / "admin.token").read_text("ascii").strip()

        def call(method: str, path: str, body: dict[str, Any] | bytes) -> None:
            kind, data = ("xml", body) if isinstance(body, bytes) else ("json", json.dumps(body).encode())
            headers = {"Authorization": f"Bearer {token}", "Content-Type": f"application/{kind}"}
            request = urllib.request.Request(found[3].rstrip("/") + path, data, headers, method=method)
            with urllib.request.urlopen(request, timeout=20):
                pass

        threading.Thread(target=daemon.stdout.read, daemon=True).start()
        try:
            use((found[1], int(found[2])), call)
            time.sleep(0.5)
        finally:
            daemon.send_signal(how)
    return state / "lwm2md.sqlite"


def main() -> None:
    """Print what was left."""
    killed = "--kill" in sys.argv
    with tempfile.TemporaryDirectory(prefix="lwm2md-left-") as folder:
        path = leave(Path(folder) / "state", signal.SIGKILL if killed else signal.SIGTERM)
        connection = sqlite3.connect(path)
        identity, version = (
            connection.execute(f"PRAGMA {n}").fetchone()[0] for n in ("application_id", "user_version")
        )
        end = " when it was killed" if killed else ""
        lines = "\n".join(connection.iterdump())
        connection.close()
    sys.stdout.write(f"-- What a daemon of schema {version} left{end}: see `tests.storage.leaving`.\n")
    sys.stdout.write(f"PRAGMA application_id = {identity};\nPRAGMA user_version = {version};\n{lines}\n")


if __name__ == "__main__":
    main()
