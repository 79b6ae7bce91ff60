"""A device that answers what it is told to, on aiocoap, driven by lines of JSON, where there is nothing but aiocoap.

It knows nothing of LwM2M: whatever its payloads are is up to the test. Each request that comes is told under id 0.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import aiocoap
from aiocoap import resource
from aiocoap.numbers.codes import Code

METHODS = {name: Code.__members__[name] for name in ("GET", "POST", "PUT", "DELETE", "FETCH", "iPATCH")}


def tell(identifier: int, number: int, **what: Any) -> None:
    """Say what has happened."""
    sys.stdout.write(json.dumps({"id": identifier, "number": number, **what}) + "\n")
    sys.stdout.flush()


def made(what: dict[str, Any]) -> Any:
    """Return the message that an answer or a notification is told to be."""
    message = aiocoap.Message(code=Code(what["code"]), payload=bytes.fromhex(what["payload"]))
    message.opt.content_format = what["format"]
    message.opt.location_path = tuple(what["location"])
    return message


class Everything(resource.ObservableResource, resource.PathCapable):
    """All paths at once."""

    def __init__(self) -> None:
        super().__init__()
        self.rules: list[dict[str, Any]] = []
        self.observers: dict[str, Any] = {}
        self.seen = 0

    async def add_observation(self, request: Any, serverobservation: Any) -> None:
        """Keep the newest observation of each path."""
        path = "/" + "/".join(request.opt.uri_path)
        self.observers[path] = serverobservation
        serverobservation.accept(lambda: self.observers.pop(path, None))

    async def render(self, request: Any) -> Any:
        """Tell of the request, and answer by the newest rule that fits it, or 4.04."""
        told = {
            "method": next(name for name, code in METHODS.items() if code == request.code),
            "path": "/" + "/".join(request.opt.uri_path),
            "query": list(request.opt.uri_query),
            "format": None if request.opt.content_format is None else int(request.opt.content_format),
            "accept": None if request.opt.accept is None else int(request.opt.accept),
            "observe": request.opt.observe,
            "payload": request.payload.hex(),
        }
        self.seen += 1
        tell(0, self.seen, **told)
        for rule in reversed(self.rules):
            if all(told[name] == value for name, value in rule["on"].items()):
                return made(rule)
        return aiocoap.Message(code=aiocoap.NOT_FOUND)


class Script:
    """Everything that may be asked for by a line."""

    def __init__(self) -> None:
        self.everything = Everything()
        self.context: Any = None
        self.tasks: set[Any] = set()

    async def run(self) -> None:
        """Take lines until there are no more."""
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
            port = probe.getsockname()[1]
        self.context = await aiocoap.Context.create_server_context(self.everything, bind=("::", port))
        reader = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while line := await reader.readline():
            what = json.loads(line)
            task = asyncio.create_task(self.take(what.pop("id"), what.pop("do"), what))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def take(self, identifier: int, do: str, what: dict[str, Any]) -> None:
        """Do it, and tell an error of it."""
        try:
            tell(identifier, 0, **await getattr(self, f"do_{do}")(**what))
        except Exception as error:
            tell(identifier, 0, error=f"{type(error).__name__}: {error}")

    async def do_request(self, url: str, method: str, payload: str, **what: Any) -> dict[str, Any]:
        """Send a request from the port where the device answers."""
        message = aiocoap.Message(code=METHODS[method], uri=url, payload=bytes.fromhex(payload))
        message.opt.content_format = what["format"]
        answer = await self.context.request(message).response
        return {"code": int(answer.code), "payload": answer.payload.hex(), "location": list(answer.opt.location_path)}

    async def do_answer(self, **rule: Any) -> dict[str, Any]:
        """Answer so from now on what has all that ``on`` says."""
        self.everything.rules.append(rule)
        return {}

    async def do_notify(self, path: str, **what: Any) -> dict[str, Any]:
        """Send a notification to who observes the path."""
        self.everything.observers[path].trigger(made(what))
        return {}


asyncio.run(Script().run())
