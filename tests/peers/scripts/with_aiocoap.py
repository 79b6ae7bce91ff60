"""A CoAP client and server on aiocoap, driven by lines of JSON; runs in an environment that has nothing but aiocoap."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Any

import aiocoap
from aiocoap import resource
from aiocoap.transports.udp6 import UDP6EndpointAddress

SLOW = 1.5
IMPATIENT = 0.2, 8


def tell(identifier: int, number: int, **what: Any) -> None:
    """Say what has happened."""
    sys.stdout.write(json.dumps({"id": identifier, "number": number, **what}) + "\n")
    sys.stdout.flush()


def response(message: Any) -> dict[str, Any]:
    """Return what is told of a response."""
    options = {"etag": message.opt.etag.hex() if message.opt.etag else None, "observe": message.opt.observe}
    options |= {"format": None if message.opt.content_format is None else int(message.opt.content_format)}
    options |= {"location": list(message.opt.location_path), "max_age": message.opt.max_age}
    return {"code": int(message.code), "payload": message.payload.hex(), "options": options}


class Fixed(resource.Resource):
    """Always the same."""

    def __init__(self, payload: bytes, delay: float = 0.0) -> None:
        super().__init__()
        self.payload = payload
        self.delay = delay

    async def render_get(self, request: Any) -> Any:
        """Answer when it is time."""
        await asyncio.sleep(self.delay)
        return aiocoap.Message(payload=self.payload)


class Store(resource.Resource):
    """Gives back what it is given; GET gives what was put."""

    def __init__(self) -> None:
        super().__init__()
        self.value = b""

    async def render_get(self, request: Any) -> Any:
        """Answer with what was put."""
        return aiocoap.Message(payload=self.value)

    async def render_put(self, request: Any) -> Any:
        """Keep."""
        self.value = request.payload
        return aiocoap.Message(code=aiocoap.CHANGED)

    async def render_post(self, request: Any) -> Any:
        """Answer with what came."""
        return aiocoap.Message(code=aiocoap.CHANGED, payload=request.payload)

    async def render_fetch(self, request: Any) -> Any:
        """Answer with what came."""
        return aiocoap.Message(code=aiocoap.CONTENT, payload=request.payload)

    async def render_ipatch(self, request: Any) -> Any:
        """Append."""
        self.value += request.payload
        return aiocoap.Message(code=aiocoap.CHANGED)

    async def render_delete(self, request: Any) -> Any:
        """Empty."""
        self.value = b""
        return aiocoap.Message(code=aiocoap.DELETED)


class Clock(resource.ObservableResource):
    """Has a state that changes on command."""

    def __init__(self) -> None:
        super().__init__()
        self.payload = b"start"

    async def render_get(self, request: Any) -> Any:
        """Answer with the state."""
        return aiocoap.Message(payload=self.payload)


class Script:
    """Everything that may be asked for by a line."""

    def __init__(self) -> None:
        self.context: Any = None
        self.clock = Clock()
        self.observations: dict[int, Any] = {}
        self.tasks: set[Any] = set()

    async def run(self) -> None:
        """Take lines until there are no more."""
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
            await getattr(self, f"do_{do}")(identifier, **what)
        except Exception as error:
            tell(identifier, 0, error=f"{type(error).__name__}: {error}")

    async def do_request(self, identifier: int, url: str, method: str, payload: str, **what: Any) -> None:
        """Send a request; with ``observe`` tell every notification too."""
        if self.context is None:
            self.context = await aiocoap.Context.create_client_context()
        code = aiocoap.numbers.codes.Code.__members__["iPATCH" if method == "iPATCH" else method]
        kind = aiocoap.NON if what.get("non") else aiocoap.CON
        if what.get("impatient"):
            # For the whole process: the tuning of one message is not that of its blocks.
            aiocoap.TransportTuning.ACK_TIMEOUT, aiocoap.TransportTuning.MAX_RETRANSMIT = IMPATIENT
        message = aiocoap.Message(code=code, _mtype=kind, uri=url, payload=bytes.fromhex(payload))
        message.opt.accept = what.get("accept")
        message.opt.content_format = what.get("format")
        szx = what.get("szx")
        if szx is not None:
            message.remote.maximum_block_size_exp = szx
            if not payload:
                message.opt.block2 = (0, False, szx)
        if what.get("observe"):
            message.opt.observe = 0
        request = self.context.request(message)
        answer = await request.response
        if answer.code == aiocoap.UNAUTHORIZED and answer.opt.echo is not None:
            # Its context leaves Echo to whoever uses it.
            message = message.copy(echo=answer.opt.echo, remote=answer.remote)
            request = self.context.request(message)
        if what.get("observe"):
            self.observations[identifier] = request.observation
            task = asyncio.create_task(self.follow(identifier, request))
            self.tasks.add(task)
            return
        tell(identifier, 0, **response(await request.response))

    async def follow(self, identifier: int, request: Any) -> None:
        """Tell the answer and the notifications of an observation."""
        iterator = request.observation.__aiter__()
        tell(identifier, 0, **response(await request.response))
        number = 0
        try:
            while True:
                each = await iterator.__anext__()
                number += 1
                tell(identifier, number, **response(each))
        except StopAsyncIteration:
            pass
        except aiocoap.error.Error as error:
            tell(identifier, number + 1, error=f"{type(error).__name__}: {error}")

    async def do_cancel(self, identifier: int, of: int) -> None:
        """End an observation."""
        self.observations.pop(of).cancel()
        tell(identifier, 0)

    async def do_serve(self, identifier: int, szx: int | None) -> None:
        """Serve the resources on a free port."""
        if szx is not None:
            UDP6EndpointAddress.maximum_block_size_exp = szx
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
            port = probe.getsockname()[1]
        site = resource.Site()
        large = bytes(ord("a") + index % 26 for index in range(30000))
        for name, each in (
            ("small", Fixed(b"small")),
            ("large", Fixed(large[:3000])),
            ("huge", Fixed(large)),
            ("slow", Fixed(b"slow", SLOW)),
            ("store", Store()),
            ("clock", self.clock),
        ):
            site.add_resource([name], each)
        self.context = await aiocoap.Context.create_server_context(site, bind=("::", port))
        tell(identifier, 0, port=port)

    async def do_change(self, identifier: int, payload: str) -> None:
        """Change the state of the clock."""
        self.clock.payload = bytes.fromhex(payload)
        self.clock.updated_state()
        tell(identifier, 0)


asyncio.run(Script().run())
