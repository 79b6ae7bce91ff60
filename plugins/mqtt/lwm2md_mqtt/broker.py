"""The connection to the broker: opened by Twisted, and opened again when it is lost.

RULES: everything happens on the reactor's thread, and nothing there waits: no thread is started. One timer beats while
there is a connection, for keep-alives and a broker that does not answer. Between two attempts lies a time that doubles
up to a limit, with a jitter, so that the daemons of a broker that comes back don't all come at once. Whatever a broker
sends costs at most this connection.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from lwm2md_mqtt.endpoints import endpoint
from lwm2md_mqtt.messages import Message
from lwm2md_mqtt.options import Options
from lwm2md_mqtt.outbox import Outbox
from lwm2md_mqtt.pipe import Pipe
from lwm2md_mqtt.session import OFFLINE, ONLINE, Session

BEAT: Final = 1.0
"""How often keep-alives are looked at, in seconds."""
GREETING: Final = 10.0
"""How long a broker may take to answer CONNECT, in seconds."""
FAREWELL: Final = 3.0
"""How long it may take to stop, in seconds."""
SETTLED: Final = 10.0
"""A connection that held so long, in seconds, starts the waiting times over when it is lost."""

Tell = Callable[[str | None], None]

_random: Final = random.SystemRandom()


class Broker:
    """One broker: ``on_message`` gets what it delivers, as topic and payload.

    ``tell`` hears why there is no connection or what the broker refuses, and None when it is connected.
    """

    def __init__(
        self,
        options: Options,
        reactor: Any,
        on_message: Callable[[str, bytes], None],
        tell: Tell,
        jitter: Callable[[], float] = _random.random,
    ) -> None:
        self.outbox = Outbox(options.window)
        self.session = Session(options, self.outbox, on_message, tell)
        self._options = options
        self._reactor = reactor
        self._tell = tell
        self._jitter = jitter
        self._wire: _Wire | None = None
        self._opening: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self._attempts = 0
        self._turn_due = False
        self._stopping: Deferred[None] | None = None

    @property
    def up(self) -> bool:
        """Whether messages can be published now."""
        return self._wire is not None and self.session.greeted

    def start(self) -> None:
        """Connect, and stay connected until `stop`."""
        self._connect()

    def stop(self) -> Deferred[None]:
        """Publish what was begun and that this daemon is offline, and disconnect, all within `FAREWELL` seconds."""
        stopping = self._stopping = Deferred()
        if self.up:
            self._set_timer(FAREWELL, self._abort)
            self.outbox.batch((self._state(OFFLINE),)).addCallback(lambda _: self._step(self.session.leave))
            self.pump()
        else:
            self._cancel_timer()
            if self._opening is not None:
                self._opening.cancel()
            self._abort()
        return stopping

    def publish(self, messages: Iterable[Message]) -> Deferred[None]:
        """Publish messages in order; fires when the broker has all of them, however often it is lost meanwhile."""
        done = self.outbox.batch(messages)
        self._turn()
        return done

    def answer(self, message: Message, then: Callable[[], None] | None = None) -> None:
        """Publish an answer: soon, or when the broker is back. ``then`` is called when the broker has it."""
        self.outbox.answer(message, then)
        self._turn()

    def pump(self) -> None:
        """Let out what may leave."""
        wire = self._wire
        if wire is None or wire.paused or not self.session.greeted:
            return
        if self.outbox.pump(self.session.publish):
            self._turn()
        self._step(self.session.write)

    def _state(self, state: bytes) -> Message:
        """Whether this daemon is online."""
        return Message(self._options.topics.online, state, "online")

    def _turn(self) -> None:
        """Let out what may leave in the reactor's next turn, once."""
        if not self._turn_due:
            self._turn_due = True
            self._reactor.callLater(0, self._take_turn)

    def _take_turn(self) -> None:
        self._turn_due = False
        self.pump()

    # The connection

    def _connect(self) -> None:
        self._timer = None
        try:
            opening = endpoint(self._reactor, self._options).connect(_Wires(self))
        except Exception as error:  # a file of certificates that is not there, or is none
            self._lost(str(error))
            return
        self._opening = opening
        opening.addCallbacks(self._opened, self._failed)

    def _opened(self, _: object) -> None:
        self._opening = None

    def _failed(self, failure: Failure) -> None:
        self._opening = None
        self._lost(failure.getErrorMessage() or type(failure.value).__name__)

    def made(self, wire: _Wire) -> None:
        """Twisted has a connection, of which TLS may not have shaken hands."""
        self._wire = wire
        self._set_timer(BEAT, self._beat)
        self._step(lambda: self.session.begin(wire.pipe))
        self._step(self.session.write)

    def received(self, wire: _Wire) -> None:
        """Bytes came."""
        was_up = self.up
        self._step(lambda: self.session.read(wire.pipe))
        if self.up and not was_up:
            self._tell(None)
            self.outbox.answer(self._state(ONLINE))
        self.pump()

    def closed(self, wire: _Wire, reason: str) -> None:
        """The connection is gone."""
        if self.session.greeted:
            self.session.counters["lost"] += 1
        self._wire = None
        self._step(self.session.end)
        self._lost(self.session.refusal or wire.fault or reason)

    def _beat(self) -> None:
        wire = self._wire
        if wire is None:
            return
        self._set_timer(BEAT, self._beat)
        age = self._reactor.seconds() - wire.since
        if wire.pipe.closed:
            self._abort()
        elif self.session.greeted:
            if age > SETTLED:
                self._attempts = 0
            self._step(self.session.beat)
            self._step(self.session.write)
        elif age > GREETING:
            wire.fault = f"the broker has not answered within {GREETING:g} s"
            self._abort()

    def _step(self, step: Callable[[], object]) -> None:
        """Let paho do something; what it can't cope with ends the connection."""
        wire = self._wire
        try:
            step()
        except Exception as error:
            if wire is not None:
                wire.fault = f"{type(error).__name__}: {error}"
                self._abort()
        if wire is not None:
            wire.pipe.flush()

    def _abort(self) -> None:
        """End the connection at once."""
        if self._wire is not None:
            self._wire.abort()
        else:
            self._lost("stopped")

    def _lost(self, reason: str) -> None:
        """There is no connection any more, or could not be one."""
        self._cancel_timer()
        if self._stopping is not None:
            if not self._stopping.called:
                self._stopping.callback(None)
            return
        self._tell(reason)
        options = self._options
        pause = min(options.longest_pause, options.shortest_pause * 2.0 ** min(self._attempts, 32))
        self._attempts += 1
        self._set_timer(pause * (0.5 + self._jitter() / 2), self._connect)

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._reactor.callLater(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None


class _Wires(Factory):
    """Makes one connection."""

    noisy = False

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def buildProtocol(self, addr: IAddress | None) -> _Wire:
        """Make it."""
        return _Wire(self._broker)


@implementer(IPushProducer)
class _Wire(Protocol):
    """One connection. ``fault`` is what we had against it; while it is ``paused`` the broker does not take more."""

    def __init__(self, broker: Broker) -> None:
        self.fault: str | None = None
        self.paused = False
        self.since = 0.0
        self._broker = broker

    def connectionMade(self) -> None:
        """Begin to speak MQTT."""
        transport: Any = self.transport
        transport.registerProducer(self, True)
        self.pipe = Pipe(transport)
        self._broker.made(self)

    def dataReceived(self, data: bytes) -> None:
        """Let paho read."""
        self.pipe.feed(data)
        self._broker.received(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Let paho see the end."""
        self.pipe.end()
        self._broker.closed(self, reason.getErrorMessage())

    def abort(self) -> None:
        """End it without waiting for the broker."""
        transport: Any = self.transport
        transport.abortConnection()

    def pauseProducing(self) -> None:
        """Publish no more for the moment."""
        self.paused = True

    def resumeProducing(self) -> None:
        """Go on."""
        self.paused = False
        self._broker.pump()

    def stopProducing(self) -> None:
        """Publish no more."""
        self.paused = True
