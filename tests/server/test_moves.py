"""What takes a registration to another address, and what does not: nobody else can take a device over."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.engine import Engine
from lwm2md.coap.message import Message, options
from lwm2md.server.records import OperationRequest
from lwm2md.server.settings import Follow, ServerSettings
from tests.server.fixtures import Answer, Bench, FakeDevice, peer

HOME, AWAY, THIEF = 1, 2, 9


class MovesCase(SynchronousTestCase):
    """A device at home, and whoever else speaks."""

    def use(self, follow: Follow = "update", *, displace: bool = True, identity: str | None = None) -> None:
        """Have a registered device, and an engine that trusts no address."""
        self.bench = Bench(ServerSettings(follow=follow, displace=displace))
        server = self.bench.server
        self.bench.engine = Engine(
            server,
            self.bench._random,
            on_error=self.bench.errors.append,
            glance=server.glance,
            verified=server.knows,
            notice=server.notice,
        )
        server.attach(self.bench.engine)
        if identity is not None:
            self.bench.identities.update({peer(number): identity for number in (HOME, AWAY)})
        self.device = self.bench.registered("d", HOME)

    def where(self) -> bytes:
        """The address of the registration."""
        registration = self.bench.server.devices["d"].registration
        assert registration is not None
        return registration.peer

    def thief(self) -> FakeDevice:
        """Somebody else, who knows the endpoint's name."""
        return self.bench.device("d", THIEF)

    def code(self, answer: Message | None) -> str:
        """The code of an answer."""
        assert answer is not None
        return n.dotted(answer.code)


class UpdateTests(MovesCase):
    """An Update from another address."""

    def test_follow_update(self) -> None:
        """By default the Location, which cannot be guessed, is enough."""
        self.use()
        self.device.move(AWAY)
        self.assertEqual((self.code(self.device.update()), self.where()), ("2.04", peer(AWAY)))

    def test_follow_register(self) -> None:
        """Where only a Register moves, an Update and a De-register from elsewhere find nothing, and change nothing."""
        self.use("register")
        seen = self.bench.server.devices["d"].last_seen
        self.bench.advance(5)
        self.device.move(AWAY)
        self.assertEqual((self.code(self.device.update()), self.code(self.device.deregister())), ("4.04", "4.04"))
        self.assertEqual((self.where(), self.bench.server.devices["d"].last_seen), (peer(HOME), seen))
        self.assertEqual((self.code(self.device.register("lwm2m=1.1", "lt=300")), self.where()), ("2.01", peer(AWAY)))

    def test_follow_echo(self) -> None:
        """Where an Echo is asked for, an Update from elsewhere moves only when it brings it back."""
        self.use("echo")
        self.device.move(AWAY)
        asked = self.device.update()
        assert asked is not None
        echo = asked.get(n.ECHO)
        assert echo is not None
        self.assertEqual((self.code(asked), self.where()), ("4.01", peer(HOME)))
        for value, code, where in ((b"x" * len(echo), "4.01", HOME), (echo, "2.04", AWAY)):
            given = options(path=("rd", self.device.location), extra=((n.ECHO, value),))
            mid = next(self.bench.mids)
            self.device.send(Message(n.CON, n.POST, mid, b"t%d" % mid, given))
            self.assertEqual((self.code(self.device.answer()), self.where()), (code, peer(where)))

    def test_identity(self) -> None:
        """An authenticated identity moves freely, whatever is asked of others."""
        for follow in ("register", "echo"):
            self.use(follow, identity="me")
            self.device.move(AWAY)
            self.assertEqual((self.code(self.device.update()), self.where()), ("2.04", peer(AWAY)))
            other = self.thief()
            other.location = self.device.location
            self.assertEqual((self.code(other.update()), self.where()), ("4.00", peer(AWAY)))

    def test_wrong_location(self) -> None:
        """A Location that was guessed, or was another's, moves nobody."""
        for follow in ("update", "echo", "register"):
            self.use(follow)
            other = self.thief()
            for location in ("", "a", self.device.location[:-1], self.device.location[:-1] + "!", "x" * 60):
                other.location = location
                self.assertIn(self.code(other.update()), ("4.04", "4.00"))
                self.assertIn(self.code(other.deregister()), ("4.04", "4.05", "4.00"))
            self.assertEqual(self.where(), peer(HOME))

    def test_glance(self) -> None:
        """The shortest path of an Update follows nobody."""
        self.use("register")
        registration = self.bench.server.devices["d"].registration
        assert registration is not None
        body = options(path=("rd", registration.id))
        self.device.move(AWAY)
        self.device.send(Message(n.CON, n.POST, 7, b"tokentok", body))
        self.assertEqual(self.code(self.device.answer(b"tokentok")), "4.04")


class RegisterTests(MovesCase):
    """A Register of the same endpoint from elsewhere."""

    def test_default(self) -> None:
        """By default it takes the place, and that is told."""
        self.use()
        self.assertEqual((self.code(self.thief().register("lwm2m=1.1", "lt=300")), self.where()), ("2.01", peer(THIEF)))
        self.assertIn(events.DEVICE_DEREGISTERED, self.bench.kinds())
        self.assertEqual(self.code(self.device.update()), "4.04")

    def test_refused(self) -> None:
        """Where nobody may be displaced it is refused, until the registration is over; at home it is no move."""
        self.use(displace=False)
        other = self.thief()
        self.assertEqual((self.code(other.register("lwm2m=1.1", "lt=300")), self.where()), ("4.03", peer(HOME)))
        self.assertEqual(self.code(self.device.register("lwm2m=1.1", "lt=400")), "2.01")
        self.bench.advance(500)
        self.assertEqual(self.code(other.register("lwm2m=1.1", "lt=300")), "2.01")

    def test_echo(self) -> None:
        """Where an Echo is asked for, a Register that would displace somebody has to bring one; a first one has not."""
        self.use("echo")
        self.assertEqual((self.code(self.thief().register("lwm2m=1.1", "lt=300")), self.where()), ("4.01", peer(HOME)))
        self.assertEqual(self.code(self.bench.device("new", 5).register("lwm2m=1.1", "lt=300")), "2.01")

    def test_other_identity(self) -> None:
        """Of an authenticated endpoint nobody else takes the name, whatever the settings."""
        self.use(identity="me")
        self.assertEqual((self.code(self.thief().register("lwm2m=1.1", "lt=300")), self.where()), ("4.03", peer(HOME)))


class NotificationTests(MovesCase):
    """Notifications from elsewhere."""

    def observe(self) -> bytes:
        """Observe a value; the token."""
        self.device.answers[n.GET, "/3303/0/5700"] = Answer(n.CONTENT, b"1", n.TEXT, observe=1)
        self.bench.server.observe("d", OperationRequest(op="observe", path="/3303/0/5700"), self.bench.now)
        self.bench.settle()
        return self.device.requests[-1].token

    def test_right_token(self) -> None:
        """With our token the value is told, marked, and acknowledged; the path and the last uplink stay as they are."""
        self.use()
        token = self.observe()
        self.bench.advance(10)
        seen = self.bench.server.devices["d"].last_seen
        waiting = self.bench.submit("d", "read", "/3/0/0", when="next-contact")
        self.device.move(AWAY)
        mid = self.device.notify(token, 5)
        self.assertTrue(self.bench.events[-1].fields["unverified_path"])
        self.assertEqual((self.device.heard[-1].type, self.device.heard[-1].mid), (n.ACK, mid))
        self.assertEqual((self.where(), self.bench.server.devices["d"].last_seen), (peer(HOME), seen))
        self.assertEqual(waiting.state, "queued")

    def test_guessed_token(self) -> None:
        """With any other token nothing is told, and a stranger gets a Reset."""
        self.use()
        token = self.observe()
        other = self.thief()
        told = len(self.bench.events)
        for guess in (b"", b"\x00" * 8, token[:-1], token[::-1]):
            other.notify(guess, 7)
            self.assertEqual(other.heard[-1].type, n.RST)
        self.assertEqual((len(self.bench.events), self.where()), (told, peer(HOME)))

    def test_answer_from_elsewhere(self) -> None:
        """The answer to a request counts from where it was sent to only, even with its token."""
        self.use()
        operation = self.bench.submit("d", "read", "/3/0/0")
        request = self.device.requests[-1]
        self.bench.receive(self.device.compose(request, Answer(n.CONTENT, b"forged", n.TEXT)), peer(THIEF))
        self.assertEqual(operation.state, "sent")
        self.device.reply(Answer(n.CONTENT, b"true", n.TEXT))
        assert operation.result is not None
        assert operation.result.values is not None
        self.assertEqual(operation.result.values[0].value, "true")
