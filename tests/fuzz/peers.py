"""Who sends: strangers that attack, and scripted devices that are registered, observed and read, and answer badly.

RULES: plain UDP sockets, connected, so that a daemon that is gone shows at once; nothing of lwm2md's engine, only its
record of a message. A scripted device gives a good answer too, most of the time, so that the next request follows.
"""

from __future__ import annotations

import socket
from random import Random
from typing import Final

from lwm2md.coap import numbers as n
from lwm2md.coap.message import FormatError, Message, decode, encode, options
from tests.fuzz import mutate, seeds

_LARGEST: Final = 65536
_BUFFER: Final = 4 * 1024 * 1024
_OBJECTS: Final = b'</>;rt="oma.lwm2m";ct="0 40 11542",</1/0>,</3/0>,</3303/0>,</9999/0>'
_STRANGERS: Final = seeds.strangers()


def connected(server: tuple[str, int]) -> socket.socket:
    """A non-blocking UDP socket to the server."""
    found = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    found.connect(server)
    found.setblocking(False)
    return found


class Peer:
    """A socket, its message IDs, and the registration that it has."""

    def __init__(self, name: str, server: tuple[str, int], random: Random) -> None:
        self.name = name
        self.random = random
        self.location = "none"
        self.socket = connected(server)
        self._mid = random.randrange(0x10000)

    def send(self, data: bytes) -> bytes:
        """Send and return the datagram."""
        self.socket.send(data)
        return data

    def fresh(self, data: bytes) -> bytes:
        """The datagram with a message ID that was not used for long, mostly: a duplicate is hardly looked at."""
        if len(data) < 4 or self.random.random() < 0.05:
            return data
        self._mid = (self._mid + 1) & 0xFFFF
        return data[:2] + self._mid.to_bytes(2, "big") + data[4:]

    def drain(self) -> list[bytes]:
        """The datagrams that arrived."""
        found = []
        try:
            while True:
                found.append(self.socket.recv(_LARGEST))
        except BlockingIOError:
            return found


class Attacker(Peer):
    """Registers, updates, goes, and sends everything else that it should not.

    ``known`` is shared by all attackers: some of them know the registrations of others and move them.
    """

    def __init__(self, number: int, server: tuple[str, int], random: Random, known: list[str]) -> None:
        super().__init__(f"attacker-{number}", server, random)
        self._known = known
        self._registers = seeds.registers(number)
        self._own = seeds.of_a_registration(self.location)

    def attack(self) -> bytes:
        """Send one datagram and return it."""
        draw = self.random.random()
        pool = self._registers if draw < 0.35 else self._own if draw < 0.6 else _STRANGERS
        if 0.57 < draw < 0.6:
            pool = seeds.of_a_registration(self.random.choice(self._known))
        return self.send(self.fresh(mutate.mutated(self.random, self.random.choice(pool))))

    def settle(self) -> None:
        """Learn from the answers where it is registered."""
        for data in self.drain():
            if len(data) > 4 and data[1] == n.CREATED:
                self.location = decode(data).location[-1]
                self._own = seeds.of_a_registration(self.location)
                self._known[self.random.randrange(len(self._known))] = self.location


class Device(Peer):
    """A scripted device: what the server asks it answers with damage, and it notifies with damage."""

    def __init__(self, number: int, server: tuple[str, int], random: Random) -> None:
        super().__init__(f"device-{number}", server, random)
        self.endpoint = f"scripted-{number}"
        self.requests = 0
        self._tokens: list[bytes] = []
        self._sequence = 2

    def register(self) -> bytes:
        """Send a good Register and return it."""
        query = (f"ep={self.endpoint}", "lt=86400", "lwm2m=1.1", "b=U")
        found = options(path=("rd",), query=query, content_format=n.LINK_FORMAT)
        return self.send(self.fresh(encode(Message(n.CON, n.POST, 1, b"\x07", found, _OBJECTS))))

    def notify(self) -> bytes:
        """Send one damaged notification of something that is observed, and return it."""
        self._sequence = (self._sequence + 1) & 0xFFFFFF
        kind, payload = self.random.choice(seeds.CONTENTS)
        token = self.random.choice(self._tokens) if self._tokens else b"\x00" * 8
        how = self.random.choice((n.CON, n.NON, n.ACK))
        code = n.CONTENT if self.random.random() < 0.995 else n.NOT_FOUND
        message = Message(how, code, 0, token, options(content_format=kind, observe=self._sequence), payload)
        change = self.random.choice((mutate.mutated, mutate.payload, mutate.payload, mutate.payload, mutate.options))
        return self.send(self.fresh(change(self.random, message)))

    def settle(self) -> list[bytes]:
        """Answer what the server asked; return the answers."""
        sent: list[bytes] = []
        for data in self.drain():
            try:
                request = decode(data)
            except FormatError:
                raise AssertionError(f"the daemon sent what is no CoAP message: {data.hex()}") from None
            if n.is_request(request.code):
                self.requests += 1
                self._remember(request)
                sent += self._answer(request)
        return sent

    def _remember(self, request: Message) -> None:
        if request.observe == 0 and request.token not in self._tokens:
            self._tokens = [*self._tokens[-3:], request.token]

    def _answer(self, request: Message) -> list[bytes]:
        draw = self.random.random()
        if draw < 0.03:
            return [self.send(encode(Message(n.RST, n.EMPTY, request.mid)))]
        answer = self._good(request)
        separate = Message(n.CON, answer.code, 0, answer.token, answer.options, answer.payload)
        if draw < 0.2:
            return self._separately(request, separate)
        found = []
        for _ in range(self.random.choice((0, 1, 1, 2))):
            if self.random.random() < 0.3:
                found.append(self.fresh(mutate.mutated(self.random, separate)))
            else:
                found.append(mutate.mutated(self.random, answer))
        if self.random.random() < 0.8:
            found.append(encode(answer))
        return [self.send(data) for data in found]

    def _separately(self, request: Message, separate: Message) -> list[bytes]:
        """An empty acknowledgement, then, mostly, what else may come, then the answer as a message of its own."""
        found = [encode(Message(n.ACK, n.EMPTY, request.mid))]
        draw = self.random.random()
        if draw < 0.3:
            found.append(self.fresh(mutate.mutated(self.random, separate)))
        elif draw < 0.4:
            found.append(encode(Message(n.RST, n.EMPTY, request.mid)))
        if draw < 0.9:
            found.append(self.fresh(encode(separate)))
        self.random.shuffle(found)
        return [self.send(data) for data in found]

    def _good(self, request: Message) -> Message:
        code, kind, payload = n.CHANGED, None, b""
        observe = None
        if request.code == n.GET and request.accept == n.LINK_FORMAT:
            code, kind, payload = n.CONTENT, n.LINK_FORMAT, b"</3303/0>;pmin=1,</3303/0/5700>;gt=3.5,</3303/0/5701>"
        elif request.code == n.GET:
            code, (kind, payload) = n.CONTENT, self.random.choice(seeds.CONTENTS)
            observe = self._sequence if request.observe == 0 else None
        elif request.code == n.DELETE:
            code = n.DELETED
        elif request.code == n.POST and len(request.path) == 1:
            code = n.CREATED
        found = options(
            content_format=kind,
            observe=observe,
            location=(request.path[0], "7") if code == n.CREATED else (),
        )
        return Message(n.ACK, code, request.mid, request.token, found, payload)
