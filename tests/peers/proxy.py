"""A UDP relay between a client and a server that treats datagrams as bad networks do: by a seed, so always alike.

It loses, duplicates and delays; what is delayed is overtaken by what comes later. `rebind` gives every client another
port towards the server, as a NAT does that has forgotten them.
"""

from __future__ import annotations

import random
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.protocol import DatagramProtocol
from twisted.trial.unittest import TestCase

from tests.processes import reactor


class Proxy(DatagramProtocol):
    """A relay to one server. `counters` says what was done to datagrams; probabilities are 0 to 1, times seconds."""

    transport: Any

    def __init__(
        self,
        target: tuple[str, int],
        seed: int,
        *,
        loss: float = 0.0,
        duplication: float = 0.0,
        delay: float = 0.0,
        longest_delay: float = 0.05,
    ) -> None:
        self.target = target
        self.counters = {"passed": 0, "lost": 0, "duplicated": 0, "delayed": 0}
        self.loss = loss
        self.duplication = duplication
        self.delay = delay
        self.longest_delay = longest_delay
        self.closed = False
        self._random = random.Random(seed)
        self._legs: dict[tuple[str, int], _Leg] = {}
        self._calls: set[Any] = set()

    @classmethod
    def start(cls, case: TestCase, url: str, seed: int, **how: float) -> Proxy:
        """Start one in front of a server."""
        parts = urlsplit(url)
        proxy = cls((parts.hostname or "", parts.port or 5683), seed, **how)
        reactor.listenUDP(0, proxy, interface="127.0.0.1")
        case.addCleanup(proxy.close)
        return proxy

    @property
    def url(self) -> str:
        """Where clients reach the server through it."""
        return f"coap://127.0.0.1:{self.transport.getHost().port}"

    def rebind(self) -> None:
        """Give every client a new port towards the server; what comes to the old ones is lost."""
        for leg in self._legs.values():
            leg.transport.stopListening()
        self._legs.clear()

    async def close(self) -> None:
        """Stop relaying."""
        self.closed = True
        for call in self._calls:
            if call.active():
                call.cancel()
        for leg in self._legs.values():
            await leg.transport.stopListening()
        await self.transport.stopListening()

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Relay what a client sends."""
        leg = self._legs.get(addr)
        if leg is None:
            leg = self._legs[addr] = _Leg(self, addr)
            reactor.listenUDP(0, leg, interface="127.0.0.1")
        self.pass_on(leg, datagram, self.target)

    def pass_on(self, way: DatagramProtocol, datagram: bytes, address: tuple[str, int]) -> None:
        """Do to a datagram what its turn is."""
        fate = self._random.random
        if fate() < self.loss:
            self.counters["lost"] += 1
            return
        copies = 1
        if fate() < self.duplication:
            self.counters["duplicated"] += 1
            copies = 2
        for _ in range(copies):
            if fate() < self.delay:
                self.counters["delayed"] += 1
                self._calls.add(reactor.callLater(fate() * self.longest_delay, self._write, way, datagram, address))
            else:
                self._write(way, datagram, address)

    def _write(self, way: DatagramProtocol, datagram: bytes, address: tuple[str, int]) -> None:
        if way.transport is not None and not self.closed:
            self.counters["passed"] += 1
            way.transport.write(datagram, address)


class _Leg(DatagramProtocol):
    """The socket towards the server that belongs to one client."""

    transport: Any

    def __init__(self, proxy: Proxy, client: tuple[str, int]) -> None:
        self.proxy = proxy
        self.client = client

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """Relay what the server sends."""
        self.proxy.pass_on(self.proxy, datagram, self.client)
