"""What the tests of lwm2mctl share: a run of one command in this process, and a server that answers as told."""

from __future__ import annotations

import io
import os
import socket
import sys
import threading
from collections.abc import Sequence

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.main import main


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@attrs.frozen
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


def run(
    case: SynchronousTestCase, *arguments: str, terminal: bool = False, watched: bool = False, **environment: str
) -> Ran:
    """Run lwm2mctl with these arguments, on a terminal of 100 columns or into a file.

    ``watched``: standard error is a terminal.
    """
    out, err = Terminal() if terminal else io.StringIO(), Terminal() if watched else io.StringIO()
    kept = {name: os.environ.pop(name, None) for name in ("LWM2MD_URL", "LWM2MD_TOKEN_FILE", "COLUMNS")}
    os.environ.update({"COLUMNS": "100", **environment})
    real = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    finally:
        sys.stdout, sys.stderr = real
        for name in (*environment, *kept):
            os.environ.pop(name, None)
        os.environ.update({name: value for name, value in kept.items() if value is not None})
    return Ran(status, out.getvalue(), err.getvalue())


class Canned:
    """Answers each connection with the next of ``answers``, raw, until the test ends; ``requests`` holds what came."""

    def __init__(self, case: SynchronousTestCase, answers: Sequence[bytes]) -> None:
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._answers = answers
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        case.addCleanup(self._close)

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                self.requests.append(_request(connection))
                connection.sendall(answer)

    def _close(self) -> None:
        self._socket.close()
        self._thread.join(10)


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line.split(b":")[1]):
                body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(status: str, kind: str, body: bytes) -> bytes:
    """A raw HTTP answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def as_json(body: bytes, status: str = "200 OK") -> bytes:
    """A raw answer with a JSON document."""
    return answer(status, "application/json", body)


def problem(status: str, body: bytes) -> bytes:
    """A raw answer with a problem document."""
    return answer(status, "application/problem+json", body)
