"""A scripted device: registers, updates, notifies and obeys over a bad network, and keeps count of what it did.

RULES: it behaves as RFC 7252 asks: one message of its own at a time, sent again until it is answered, for as long as
the daemon is down; what comes twice is done once. It tells the model what was acknowledged to it.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from random import Random
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall

from lwm2md.coap import numbers as n
from lwm2md.coap.message import FormatError, Message, decode, encode, options
from tests.processes import reactor
from tests.torture.model import ANY, Cell, Model, Violation

OBJECTS: Final = b'</>;rt="oma.lwm2m",</1/0>,</3/0>,</3303/0>,</3303/1>'
OBSERVED: Final = ("/3303/0/5700", "/3303/1/5700", "/3/0/9")
SENT: Final = "/3303/0/5601"
UNLISTED: Final = "/3303/60000/5601"
"""Of an Object Instance that is not registered, and that no Create comes to make."""
DEVIATION: Final = "unlisted-object"
_AGAIN: Final = 0.25
_OVERTAKING: Final = 0.5
_REMEMBERED: Final = 500
_MARK: Final = re.compile(rb"k[0-9]+k")


class Device(DatagramProtocol):
    """One device. ``done`` counts marks by operation: how often it carried out what was marked so."""

    transport: Any

    def __init__(self, endpoint: str, server: tuple[str, int], model: Model, random: Random, *, sleepy: bool) -> None:
        self.endpoint = endpoint
        self.sleepy = sleepy
        self.modern = True
        self.deaf = False
        self.location: str | None = None
        self.number = 0
        self.done: dict[str, Counter[str]] = {"execute": Counter(), "create": Counter(), "write": Counter()}
        self.observed: dict[str, bytes] = {}
        self.acknowledged: dict[str, int] = {}
        self.sent: set[int] = set()
        self.notified: dict[str, set[int]] = {}
        self.odd = False
        self.deviated = False
        self.found_out = False
        self.on_violation: Any = None
        self._server = server
        self._model = model
        self._random = random
        self._mid = random.randrange(0x10000)
        self._sequence = 1
        self._known = 0.0
        self._first: set[str] = set()
        self._life = 0
        self._heard: dict[str, tuple[bytes, float]] = {}
        self._waiting: dict[int, Deferred[Message]] = {}
        self._tokens: dict[bytes, Deferred[Message]] = {}
        self._answers: dict[tuple[int, bytes], bytes] = {}
        self._order: deque[tuple[int, bytes]] = deque()
        self.open()

    def open(self) -> None:
        """Have a socket."""
        reactor.listenUDP(0, self, interface="127.0.0.1", maxPacketSize=65536)

    async def close(self) -> None:
        """Give the socket back."""
        await self.transport.stopListening()

    # What it asks

    async def request(
        self,
        code: int,
        path: tuple[str, ...],
        query: tuple[str, ...] = (),
        body: bytes = b"",
        content_format: int = n.LINK_FORMAT,
    ) -> Message:
        """Ask until there is an answer."""
        token = self._random.randbytes(4)
        found = options(path=path, query=query, content_format=content_format if body else None)
        answer = await self._until_answered(Message(n.CON, code, self._fresh(), token, found, body))
        what = f"{n.dotted(code)} /{'/'.join(path)} {' '.join(query)}"
        self._model.note(f"{self.endpoint} {what} -> {n.dotted(answer.code)} {' '.join(answer.location)}")
        return answer

    async def register(self, lifetime: int) -> None:
        """Register until it is taken."""
        cell = self._model.cell("registration", self.endpoint)
        lives = self._model.cell("lifetime", self.endpoint)
        cell.busy = lives.busy = True
        cell.set(*cell.may, ANY)
        lives.set(*lives.may, lifetime)
        query = (f"ep={self.endpoint}", f"lt={lifetime}", *self._version())
        while (answer := await self.request(n.POST, ("rd",), query, OBJECTS)).code != n.CREATED:
            if answer.code != n.SERVICE_UNAVAILABLE:
                raise Violation(f"a Register of {self.endpoint} was answered {n.dotted(answer.code)}")
        self.location = answer.location[-1]
        cell.set(self.location)
        lives.set(lifetime)
        cell.busy = lives.busy = False
        self._model.expect(f"{self.endpoint} was answered 2.01", "registered", self.location)

    def _version(self) -> tuple[str, ...]:
        if self.modern:
            return ("lwm2m=1.1", "b=U", "Q") if self.sleepy else ("lwm2m=1.1", "b=U")
        return ("lwm2m=1.0", "b=UQ") if self.sleepy else ("lwm2m=1.0", "b=U")

    async def update(self, lifetime: int | None = None) -> int:
        """Update, with another lifetime or none; the code that answered."""
        lives = self._model.cell("lifetime", self.endpoint)
        query: tuple[str, ...] = ()
        if lifetime is not None:
            lives.busy = True
            lives.set(*lives.may, lifetime)
            query = (f"lt={lifetime}",)
        cell = self._model.cell("registration", self.endpoint)
        version, location = cell.version, self.location
        answer = await self.request(n.POST, ("rd", location or "none"), query)
        if lifetime is not None:  # another Update, which asks for one, may be under way beside this one
            if answer.code == n.CHANGED:
                lives.set(lifetime)
            elif answer.code != n.SERVICE_UNAVAILABLE:
                lives.set(None)
            lives.busy = False
        if answer.code == n.NOT_FOUND and cell.version == version and cell.sure and cell.value == location:
            raise Violation(f"{self.endpoint} must register again: its Update was answered 4.04")
        if answer.code not in (n.CHANGED, n.NOT_FOUND, n.SERVICE_UNAVAILABLE):
            raise Violation(f"an Update of {self.endpoint} was answered {n.dotted(answer.code)}")
        return answer.code

    async def tell(self) -> None:
        """Send a new value (LwM2M) until it is taken, or somebody says that it is not wanted.

        An ``odd`` device sends some of an Object Instance that it has not registered, which is taken, and found out.
        """
        self.number += 1
        path = UNLISTED if self.odd and self.number % 4 == 0 else SENT
        number = self.number
        cell = self._model.cell("registration", self.endpoint)
        version, steady, life = cell.version, cell.sure and cell.value == self.location, self._life
        body = b'[{"n":"%b","v":%d}]' % (path.encode(), number)
        answer = await self.request(n.POST, ("dp",), (), body, n.SENML_JSON)
        if steady and cell.sure and version == cell.version:
            if answer.code == n.CHANGED:
                self.sent |= {number} if path == SENT else set()
                self.deviated = self.deviated or (path == UNLISTED and life == self._life)
                self._model.expect("a Send was answered 2.04", "value", self.endpoint, path, number)
            elif answer.code != n.SERVICE_UNAVAILABLE:
                raise Violation(f"a Send of {self.endpoint} was answered {n.dotted(answer.code)}")

    async def deregister(self) -> None:
        """De-register; 4.04 is as good, it may have been done before the daemon was killed."""
        self.observed.clear()  # what was observed belongs to the registration
        cells = [self._model.cell(kind, self.endpoint) for kind in ("registration", "lifetime")]
        for cell in cells:
            cell.busy = True
            cell.set(*cell.may, None)
        answer = await self.request(n.DELETE, ("rd", self.location or "none"))
        self.observed.clear()  # what it was asked for meanwhile, too
        for cell in cells:
            cell.busy = False
            if answer.code in (n.DELETED, n.NOT_FOUND):
                cell.set(None)
                self.location = None

    async def live(self) -> None:
        """Do one of the things that a device does, unless somebody else is changing its registration."""
        cells = [self._model.cell(kind, self.endpoint) for kind in ("registration", "lifetime")]
        draw = self._random.random()
        # A notification that overtakes the answer that it follows tells nobody anything about a kill.
        settled = reactor.seconds() > self._known + _OVERTAKING
        if draw < 0.6 and self.observed and settled and self.location is not None:
            await self.notify(self._random.choice(list(self.observed)))
        elif draw < 0.7 and self.location is not None:
            await self.tell()
        elif any(cell.busy for cell in cells):
            return
        elif self.location is None or draw > 0.97:
            await self.register(self._random.randrange(600, 10_000))
        elif draw > 0.95:
            await self.deregister()
        elif await self.update(self._random.choice([None, self._random.randrange(600, 10_000)])) == n.NOT_FOUND:
            self.location = None

    async def notify(self, path: str) -> None:
        """Notify a new value until it is acknowledged, or somebody says that it is not wanted."""
        token = self.observed.get(path)
        if token is None:
            return
        self.number += 1
        number = self.number
        wish = self._model.cell("wish", self.endpoint, path)
        registration = self._model.cell("registration", self.endpoint)
        versions = wish.version, registration.version
        steady = wish.sure and wish.value is True and registration.sure and registration.value == self.location
        steady = steady and self._is_of(wish, path)
        message, began = self._content(n.CON, self._fresh(), token, number, observe=True), reactor.seconds()
        answer = await self._until_answered(message, response=False)
        self._model.note(f"{self.endpoint} notified {path} {number} -> type {answer.type}")
        steady = steady and wish.sure and registration.sure and versions == (wish.version, registration.version)
        if answer.type == n.RST and self.observed.get(path) == token:
            del self.observed[path]
            if steady:
                raise Violation(f"a notification of {self.endpoint} {path} was reset, though it is observed")
        if self._known > began or path in self._first:
            # It was asked for a newer one meanwhile, or this one was taken for the answer, which was lost.
            self._first.discard(path)
            return
        if answer.type == n.ACK and steady and self.observed.get(path) == token:
            self.acknowledged[path] = number
            self.notified.setdefault(path, set()).add(number)
            self._model.expect("a notification was acknowledged", "value", self.endpoint, path, number)

    def _is_of(self, wish: Cell, path: str) -> bool:
        """Whether the device was given its token for this wish.

        If it was for an earlier one that is gone, nobody is to be told, and a daemon that was started since does not
        know the token: it says neither that it has stored anything nor that the device should stop.
        """
        return self._heard[path][1] > wish.made

    async def _until_answered(self, message: Message, *, response: bool = True) -> Message:
        waiting: Deferred[Message] = Deferred()
        self._waiting[message.mid] = waiting
        if response:
            self._tokens[message.token] = waiting
        data = encode(message)
        sending = LoopingCall(self.send, data)
        sending.clock = reactor
        sending.start(_AGAIN).addErrback(lambda _: None)
        try:
            return await waiting
        finally:
            sending.stop()
            self._waiting.pop(message.mid, None)
            if response:
                self._tokens.pop(message.token, None)

    def forgotten(self) -> None:
        """Nothing that was acknowledged needs to be there any more."""
        for each in (self.acknowledged, self.notified, self.sent):
            each.clear()
        self.deviated = self.found_out = False

    def left(self, *, killed: bool) -> None:
        """The daemon is gone: what it found out and writes behind is stored, unless it was killed."""
        self.found_out = self.found_out or (self.deviated and not killed)
        self.deviated = False
        self._life += 1

    def abandon(self) -> None:
        """Wait for no answer any more."""
        for waiting in {*self._waiting.values(), *self._tokens.values()}:
            waiting.addErrback(lambda failure: failure.trap(CancelledError))
            waiting.cancel()

    # What it is told

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Take a datagram of the daemon's; called by the reactor."""
        self.take(datagram)

    def take(self, datagram: bytes) -> None:
        """Take a message of the daemon's, unless it is ``deaf``."""
        if self.deaf:
            return
        try:
            message = decode(datagram)
        except FormatError as error:
            self.on_violation(Violation(f"the daemon sent what is no CoAP message: {error}: {datagram.hex()}"))
            return
        if n.is_request(message.code):
            self._obey(message)
            return
        if message.type in (n.CON, n.NON):
            if message.type == n.CON:
                self.send(encode(Message(n.ACK, n.EMPTY, message.mid)))
            waiting = self._tokens.get(message.token)
        else:
            waiting = self._waiting.get(message.mid)
            if message.type == n.ACK and message.code == n.EMPTY and waiting in self._tokens.values():
                return  # the answer comes in a message of its own
        if waiting is not None and not waiting.called:
            waiting.callback(message)

    def _obey(self, request: Message) -> None:
        key = request.mid, request.token
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = encode(self._carry_out(request))
            self._order.append(key)
            if len(self._order) > _REMEMBERED:
                del self._answers[self._order.popleft()]
        self.send(answer)

    def _carry_out(self, request: Message) -> Message:
        path = "/" + "/".join(request.path)
        found = _MARK.search(request.payload)
        mark = found[0].decode() if found is not None else ""
        if request.code == n.GET:
            return self._read(request, path)
        if request.code == n.POST and len(request.path) == 3:
            self.done["execute"][mark] += 1
        elif request.code == n.POST and len(request.path) == 1:
            self.done["create"][mark] += 1
            place = options(location=(request.path[0], str(len(self.done["create"]) + 1)))
            return Message(n.ACK, n.CREATED, request.mid, request.token, place)
        elif request.code in (n.PUT, n.POST):
            self.done["write"][mark] += 1
        return Message(n.ACK, n.CHANGED if request.code != n.DELETE else n.DELETED, request.mid, request.token)

    def _read(self, request: Message, path: str) -> Message:
        if request.observe == 0:
            self._known = reactor.seconds()
            self._first.add(path)
            if self._heard.get(path, (b"", 0.0))[0] != request.token:
                self._heard[path] = request.token, self._known
            self.observed[path] = request.token
        elif request.observe == 1:
            self.observed.pop(path, None)
        self.number += 1
        self._model.note(f"{self.endpoint} is asked for {path} (observe {request.observe}): {self.number}")
        return self._content(n.ACK, request.mid, request.token, self.number, observe=request.observe == 0)

    def _content(self, type_: int, mid: int, token: bytes, number: int, *, observe: bool) -> Message:
        self._sequence = (self._sequence + 1) & 0xFFFFFF
        found = options(content_format=n.TEXT, observe=self._sequence if observe else None)
        return Message(type_, n.CONTENT, mid, token, found, b"%d" % number)

    def send(self, data: bytes) -> None:
        """Send a datagram to the daemon."""
        if self.transport is not None:
            self.transport.write(data, self._server)

    def _fresh(self) -> int:
        self._mid = (self._mid + 1) & 0xFFFF
        return self._mid
