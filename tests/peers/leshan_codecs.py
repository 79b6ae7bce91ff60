"""Eclipse Leshan's encoders and decoders (2.0.0-M18) alone, on a JVM; their main is ``leshan/client/CodecPeer.java``.

RULES: values go as text, by the type of our model; every call is one line each way, and waits for its answer.
"""

from __future__ import annotations

import atexit
import json
import math
import select
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, Final

from lwm2md.lwm2m.models import TypeOf
from lwm2md.lwm2m.nodes import Entry, Nodes
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ResourceType, Value, from_text
from tests.peers import leshan_client, maven

_PATIENCE: Final = 30.0
_READERS: Final[dict[ResourceType, Callable[[str], Value]]] = {
    ResourceType.FLOAT: float,
    ResourceType.BOOLEAN: lambda text: text == "true",
    ResourceType.OPAQUE: bytes.fromhex,
}


class LeshanError(Exception):
    """Leshan refused; the text is its own."""


class LeshanCodecs:
    """A running JVM. A shape is "node", "history", "nodes", "send" or "paths", as CodecPeer.java says."""

    def __init__(self, type_of: TypeOf) -> None:
        self._type_of = type_of
        command = maven.java(leshan_client.install(), "CodecPeer", slf4j_internal_verbosity="ERROR")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        # Several test cases share one JVM, and trial has nothing that runs after the last.
        atexit.register(self.stop)

    def stop(self) -> None:
        """End the JVM."""
        atexit.unregister(self.stop)
        self._process.kill()
        self._process.communicate()

    def encode(
        self, shape: str, number: int, paths: Sequence[Path], nodes: Nodes = (), root: str | None = None
    ) -> bytes:
        """What Leshan writes. Raises LeshanError."""
        entries = [
            {
                "path": str(each.path),
                "value": _shown(each.value),
                "time": None if each.time is None else repr(each.time),
            }
            for each in nodes
        ]
        return bytes.fromhex(self._call("encode", shape, number, paths, root, entries=entries)["payload"])

    def decode(self, shape: str, number: int, paths: Sequence[Path], payload: bytes, root: str | None = None) -> Nodes:
        """What Leshan reads, each node's entries in the order of their ids. Raises LeshanError."""
        answer = self._call("decode", shape, number, paths, root, payload=payload.hex())
        return tuple(self._entry(each) for each in answer["entries"])

    def decode_paths(self, number: int, payload: bytes) -> tuple[Path, ...]:
        """The list of paths that Leshan reads. Raises LeshanError."""
        answer = self._call("decode", "paths", number, (), None, payload=payload.hex())
        return tuple(map(Path.parse, answer["paths"]))

    def _call(
        self, do: str, shape: str, number: int, paths: Sequence[Path], root: str | None, **more: object
    ) -> dict[str, Any]:
        task = {
            "do": do,
            "shape": shape,
            "format": number,
            "root": root,
            "paths": [str(path) for path in paths],
            **more,
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], _PATIENCE)[0]:
            raise LeshanError(f"no answer in {_PATIENCE:g} s")
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise LeshanError(answer["error"])
        return answer

    def _entry(self, shown: dict[str, str | None]) -> Entry:
        path, value, time = Path.parse(shown["path"] or ""), shown["value"], shown["time"]
        model = self._type_of(path)
        read: Value | None = value
        if value is not None and model is not None:
            reader = _READERS.get(model.type)
            read = from_text(model.type, value) if reader is None else reader(value)
        return Entry(path, read, None if time is None else float(time))


def _shown(value: Value | None) -> str | None:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value if value is None or isinstance(value, str) else str(value)
