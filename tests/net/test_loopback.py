"""Two engines that talk to each other through the reactor and real loopback sockets."""

from __future__ import annotations

import os

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from lwm2md.coap import numbers
from lwm2md.coap.engine import Engine, Received, Response
from lwm2md.coap.message import options
from lwm2md.net.addresses import Endpoint, pack, show
from lwm2md.net.driver import Driver
from lwm2md.net.udp import listen
from tests.coap.support import Recorder


class LoopbackTests(TestCase):
    """Requests over UDP, IPv4 and IPv6."""

    def start(self, host: str) -> tuple[Driver, Recorder, Endpoint]:
        """Start an engine on a free port of `host`."""
        handler = Recorder()
        driver = Driver(installed_reactor, Engine(handler, os.urandom))
        port = listen(installed_reactor, Endpoint(host, 0))
        driver.add(port)
        self.addCleanup(driver.stop)
        return driver, handler, port.local

    def ask(self, driver: Driver, ours: Endpoint, theirs: Endpoint) -> Deferred[Received | str]:
        """Send a request; return its outcome."""
        done: Deferred[Received | str] = Deferred()
        driver.engine.request(
            pack(ours, theirs),
            numbers.GET,
            options(path=("3", "0")),
            on_outcome=lambda result, _: done.callback(result),
            now=installed_reactor.seconds(),
        )
        driver.settle()
        return done.addTimeout(10, installed_reactor)

    async def test_both_families(self) -> None:
        """A request reaches the other engine, whose answer is its outcome, over IPv4 and over IPv6."""
        for host in ("127.0.0.1", "::1"):
            client, _, ours = self.start(host)
            _, handler, theirs = self.start(host)
            handler.answer = Response(numbers.CONTENT, b"hello")
            result = await self.ask(client, ours, theirs)
            assert isinstance(result, Received)
            self.assertEqual(result.message.payload, b"hello")
            self.assertEqual(show(result.peer), str(theirs))
            self.assertEqual(handler.requests[0].message.path, ("3", "0"))
