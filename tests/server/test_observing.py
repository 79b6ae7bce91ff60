"""Tests of lwm2md.server.observing: wishes, how they are established, what comes of them, and how they end."""

from __future__ import annotations

from msgspec import structs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, encode
from lwm2md.lwm2m.formats import NAMES as FORMATS
from lwm2md.lwm2m.formats import encode as encode_nodes
from lwm2md.lwm2m.nodes import Entry
from lwm2md.lwm2m.paths import Path
from lwm2md.server.errors import LimitReached, UnknownObservation
from lwm2md.server.records import Operation, OperationRequest
from lwm2md.server.settings import ServerSettings
from lwm2md.server.wish import Observation
from tests.server.fixtures import Answer, Bench, FakeDevice, peer

VALUE = "/3303/0/5700"
OBSERVED = Answer(n.CONTENT, b"20.5", n.TEXT, observe=1)


class Base(SynchronousTestCase):
    """A device that is registered, and shorthands for it."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(observations_per_device=3))
        self.device = self.bench.registered()
        self.outcomes: list[bool] = []

    def done(self, ok: bool, now: float) -> None:
        """Take an outcome."""
        self.outcomes.append(ok)

    def put(self, path: str = VALUE, **fields: object) -> tuple[Observation, bool, Operation]:
        """Wish to observe a path."""
        request = OperationRequest(op="observe", path=path, **fields)  # type: ignore[arg-type]
        found = self.bench.server.observe("d", request, self.bench.now, self.done)
        self.bench.settle()
        return found

    def observed(self, path: str = VALUE) -> Observation:
        """A wish that the device has taken."""
        self.device.answers[n.GET, path] = OBSERVED
        wish, _, operation = self.put(path)
        self.assertEqual((operation.state, wish.state), ("done", "active"))
        return wish

    def remove(self, wish: Observation, *, active: bool = True) -> Operation | None:
        """Cancel a wish."""
        operation = self.bench.server.unobserve(wish.id, self.bench.now, self.done, active=active)
        self.bench.settle()
        return operation

    def values(self) -> list[object]:
        """The values of the stored events so far."""
        return [
            row.value
            for event in self.bench.events
            if event.type == events.DEVICE_VALUE
            for row in event.fields["values"]  # type: ignore[attr-defined]
        ]

    def acks(self) -> list[int]:
        """The message IDs that the device got an empty ACK for."""
        return [message.mid for message in self.device.heard if message.type == n.ACK and message.code == n.EMPTY]

    def resets(self) -> list[int]:
        """The message IDs that the device got a Reset for."""
        return [message.mid for message in self.device.heard if message.type == n.RST]


class EstablishTests(Base):
    """From the wish to the observation."""

    def test_stored_first(self) -> None:
        """The device is asked when the wish is durable, with a token of eight bytes that is stored with it."""
        self.bench.hold()
        wish, created, operation = self.put(format="text")
        self.assertEqual((self.device.requests, created, self.outcomes), ([], True, []))
        self.assertEqual(dict(self.bench.server.observations), {})
        self.bench.release()
        request = self.device.requests[-1]
        self.assertEqual((request.code, request.observe, request.accept), (n.GET, 0, n.TEXT))
        self.assertEqual((request.token, len(wish.token), self.outcomes), (wish.token, 8, [True]))
        self.device.reply(OBSERVED)
        self.assertEqual((wish.state, operation.state, self.values()), ("active", "done", [20.5]))
        self.assertEqual(self.bench.events[-2].fields["source"], "observe")
        self.assertIs(self.bench.server.observation("d", Path.parse(VALUE)), wish)

    def test_not_stored(self) -> None:
        """A wish that can't be stored is none: nothing is sent."""
        self.bench.failing = True
        _, _, operation = self.put()
        self.assertEqual((operation.state, self.device.requests, self.outcomes), ("failed", [], [False]))
        self.assertEqual(dict(self.bench.server.observations), {})

    def test_attributes_first(self) -> None:
        """Attributes go ahead in a Write-Attributes; where that is refused the device is not asked to observe."""
        self.device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        self.device.answers[n.GET, VALUE] = OBSERVED
        wish, _, _ = self.put(attributes={"pmin": 1, "pmax": 60})
        sent = [(message.code, message.query) for message in self.device.requests]
        self.assertEqual((sent, wish.state), ([(n.PUT, ("pmin=1", "pmax=60")), (n.GET, ())], "active"))
        self.device.answers[n.PUT, VALUE] = Answer(n.BAD_REQUEST, b"no")
        wish, created, operation = self.put(attributes={"pmin": 2})
        self.assertEqual((created, wish.state, wish.error), (False, "refused", "no"))
        self.assertEqual((operation.state, operation.coap_code), ("failed", "4.00"))

    def test_attributes_again(self) -> None:
        """What a device forgot with its registration is written again, before it is asked to observe again."""
        self.device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        self.device.answers[n.GET, VALUE] = OBSERVED
        wish, _, _ = self.put(attributes={"pmin": 1, "pmax": 60})
        self.device.requests.clear()
        self.device.register("lwm2m=1.1", "lt=200")
        sent = [(message.code, message.query) for message in self.device.requests]
        self.assertEqual((sent, wish.state), ([(n.PUT, ("pmin=1", "pmax=60")), (n.GET, ())], "active"))

    def test_attributes_unset(self) -> None:
        """Attributes that a wish had and the next one for its path has not are unset, also after a restart."""
        self.device.answers[n.GET, VALUE] = OBSERVED
        self.device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        self.put(attributes={"pmin": 1, "gt": 5})
        self.device.answers[n.PUT, VALUE] = Answer(n.BAD_REQUEST)
        self.put(attributes={"pmin": 2})
        self.bench, faults = self.bench.restart()
        self.device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        self.device.requests.clear()
        self.put(attributes={"gt": 7})
        self.put()
        self.put()
        sent = [message.query for message in self.device.requests if message.code == n.PUT]
        self.assertEqual((sent, faults), ([("pmin", "gt=7"), ("gt",)], []))

    def test_refused(self) -> None:
        """A device that answers with an error, or without observing, has refused; the wish stays for the next time."""
        self.device.answers[n.GET, VALUE] = Answer(n.METHOD_NOT_ALLOWED)
        wish, _, operation = self.put()
        self.assertEqual((wish.state, wish.error, operation.state), ("refused", "Method Not Allowed", "failed"))
        self.device.answers[n.GET, "/3/0/0"] = Answer(n.CONTENT, b"x", n.TEXT)
        wish, _, operation = self.put("/3/0/0")
        expected = ("refused", "the device answered without observing", "done")
        self.assertEqual((wish.state, wish.error, operation.state), expected)
        self.device.answers[n.GET, "/3/0/0"] = OBSERVED
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual((wish.state, wish.error), ("active", None))

    def test_undecodable(self) -> None:
        """A first answer that can't be decoded fails the operation; the observation stands."""
        self.device.answers[n.GET, VALUE] = Answer(n.CONTENT, b"warm", n.TEXT, observe=1)
        wish, _, operation = self.put()
        self.assertEqual((operation.state, wish.state), ("failed", "active"))
        self.device.notify(wish.token, 2)
        self.assertEqual(self.values(), [21.5])

    def test_limit(self) -> None:
        """A device has so many wishes at most; one that is put again is not one more."""
        for number in range(3):
            self.put(f"/3/0/{number}")
        self.assertRaises(LimitReached, self.put, "/3/0/3")
        self.assertFalse(self.put("/3/0/2")[1])

    def test_twice(self) -> None:
        """A wish that is put again keeps its id and token, and takes the new attributes."""
        first = self.observed()
        self.device.answers[n.PUT, VALUE] = Answer(n.CHANGED)
        second, created, _ = self.put(attributes={"pmax": 9})
        self.assertEqual((created, second.id, second.token), (False, first.id, first.token))
        self.device.notify(second.token, 5)
        self.assertEqual((second.notifications, self.resets()), (1, []))
        after, _ = self.bench.restart()
        found = after.server.observations[first.id]
        assert found.attributes is not None
        self.assertEqual(found.attributes.to_query(), ("pmax=9",))

    def test_again(self) -> None:
        """A Register establishes every wish anew, with the same token, behind its answer; an Update does not."""
        wish = self.observed()
        before = len(self.device.requests)
        self.device.update()
        self.device.update("lt=200")
        self.assertEqual(len(self.device.requests), before)
        del self.device.heard[:]
        self.device.register("lwm2m=1.1", "lt=200")
        self.assertEqual([n.dotted(each.code) for each in self.device.heard], ["2.01", "0.01"])
        self.assertEqual((self.device.requests[-1].token, wish.state), (wish.token, "active"))

    def test_again_at_once(self) -> None:
        """A device that de-registers and registers while it is being asked is asked anew, under the same token."""
        wish, _, operation = self.put()
        self.device.deregister()
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual((operation.state, wish.state, len(self.device.requests)), ("failed", "pending", 2))
        self.device.reply(OBSERVED)
        self.bench.tick()
        self.assertEqual((wish.state, self.bench.errors), ("active", []))

    def test_timeout(self) -> None:
        """The caller's timeout holds for the observe request, too."""
        wish, _, operation = self.put(timeout=7)
        self.bench.advance(7)
        self.assertEqual((operation.state, wish.state, wish.error), ("failed", "pending", "no answer"))

    def test_asleep(self) -> None:
        """A wish for a sleeping device is established when it wakes."""
        sleeper = self.bench.registered("s", 2, "Q")
        sleeper.answers[n.GET, VALUE] = OBSERVED
        self.bench.advance(100)
        operation = self.bench.submit("s", "observe", VALUE)
        self.assertEqual((operation.state, sleeper.requests), ("queued", []))
        sleeper.update()
        self.assertEqual((operation.state, len(sleeper.requests)), ("done", 1))


class NotificationTests(Base):
    """What devices tell."""

    def test_values(self) -> None:
        """A notification is acknowledged when its value is durable, and known from then on."""
        wish = self.observed()
        self.bench.hold()
        mid = self.device.notify(wish.token, 2)
        self.assertNotIn(mid, self.acks())
        self.bench.release()
        self.assertIn(mid, self.acks())
        self.assertEqual((self.values(), wish.notifications), ([20.5, 21.5], 1))
        self.assertEqual(wish.last_notification, self.bench.now)
        self.assertEqual(self.bench.server.twin_rows("d", wish.path)[0].value, 21.5)

    def test_formats(self) -> None:
        """Notifications come in every format that can hold what is observed, of a Resource and of an Instance."""
        single = {n.TEXT, n.CBOR, n.OPAQUE}
        self.device.answers[n.GET, VALUE] = OBSERVED
        self.device.answers[n.GET, "/3303/0"] = Answer(n.CONTENT, b"", n.TLV, observe=1)
        token = {path: self.put(path)[0].token for path in (VALUE, "/3303/0")}
        entry = Entry(Path.parse(VALUE), 0.5)
        formats = FORMATS.keys() - {n.SENML_ETCH_JSON, n.SENML_ETCH_CBOR, n.OPAQUE}
        for sequence, number in enumerate(sorted(formats), 2):
            for path in (VALUE, "/3303/0")[: 1 if number in single else 2]:
                value = sequence + len(path) / 100
                nodes = (structs.replace(entry, value=value),)
                payload = encode_nodes(number, Path.parse(path), nodes, self.bench.server.models.type_of({}))
                self.device.notify(token[path], sequence, payload, content_format=number)
                self.assertEqual(self.values()[-1], value, (FORMATS[number], path))
        observation = self.put("/5/0/0", force=True)[0]
        self.device.reply(Answer(n.CONTENT, b"\x00", n.OPAQUE, observe=1))
        self.device.notify(observation.token, 9, b"\x01\x02", content_format=n.OPAQUE)
        self.assertEqual(self.values()[-1], b"\x01\x02")

    def test_retransmitted(self) -> None:
        """A retransmission of what is being stored is not stored twice; one that could not be stored is taken again."""
        wish = self.observed()
        message = Message(n.CON, n.CONTENT, 9, wish.token, ((n.OBSERVE, b"\x05"), (n.CONTENT_FORMAT, b"")), b"30")
        self.bench.hold()
        self.device.send(message)
        self.device.send(message)
        self.assertEqual(len(self.bench.held), 1)
        self.bench.release(ok=False)
        self.assertNotIn(9, self.acks())
        self.device.send(message)
        self.device.send(message)
        self.assertEqual((self.acks().count(9), self.values()), (2, [20.5, 30.0]))

    def test_retransmitted_after_a_renewal(self) -> None:
        """What is being stored is not acknowledged, though its observation was renewed and it comes again."""
        wish = self.observed()
        fields = ((n.OBSERVE, b"\x05"), (n.CONTENT_FORMAT, b""))
        message = Message(n.CON, n.CONTENT, 9, wish.token, fields, b"30")
        self.bench.hold()
        self.device.send(message)
        held, self.bench.held = self.bench.held, []
        self.bench.holding = False
        self.device.answers[n.GET, VALUE] = Answer(n.CONTENT, b"31", n.TEXT, observe=6)
        self.bench.submit("d", "observe", VALUE)
        self.assertEqual(next(iter(self.bench.server.observations.values())).token, wish.token)
        self.device.send(message)
        self.assertNotIn(9, self.acks())
        for commit in held:
            self.bench._carry_out(commit, False)
        self.bench.settle()
        self.assertNotIn(9, self.acks())

    def first(self, wish: Observation) -> Message:
        """A first answer that comes as a Confirmable message of its own, after the request was acknowledged."""
        self.device.send(Message(n.ACK, n.EMPTY, self.device.requests[-1].mid))
        return Message(n.CON, n.CONTENT, 9, wish.token, ((n.OBSERVE, b"\x05"), (n.CONTENT_FORMAT, b"")), b"30")

    def test_first_is_stored(self) -> None:
        """A first answer that is a message of its own is acknowledged when its value is durable, and stored once."""
        wish, _, operation = self.put()
        first = self.first(wish)
        self.bench.hold()
        self.device.send(first)
        self.device.send(first)
        self.assertNotIn(9, self.acks())
        self.bench.release()
        self.assertEqual((self.acks().count(9), self.values(), operation.state), (1, [30.0], "done"))
        self.device.send(first)
        self.assertEqual((self.acks().count(9), self.values()), (2, [30.0]))

    def test_first_is_not_stored(self) -> None:
        """One that could not be stored is not acknowledged, and taken when it comes again."""
        wish, *_ = self.put()
        first = self.first(wish)
        self.bench.hold()
        self.device.send(first)
        self.bench.release(ok=False)
        self.assertNotIn(9, self.acks())
        self.device.send(first)
        self.assertEqual((self.acks().count(9), self.values()), (1, [30.0]))

    def test_first_of_no_use(self) -> None:
        """A first answer is acknowledged too where it can't be read, and where nobody waits for it any more."""
        wish, _, operation = self.put()
        first = self.first(wish)
        first.payload = b"warm"
        self.device.send(first)
        self.assertEqual((self.acks().count(9), operation.state), (1, "failed"))
        wish, _, operation = self.put("/3303/0/5601")
        first = self.first(wish)
        self.bench.server.cancel(operation.id, self.bench.now, self.done)
        self.bench.settle()
        first.mid = 10
        self.device.send(first)
        self.assertEqual(self.acks().count(10), 1)

    def test_late_answer(self) -> None:
        """The answer that renews an observation is no value where a newer notification has come before it."""
        wish = self.observed()
        self.device.answers.clear()
        _, _, operation = self.put()
        self.device.notify(wish.token, 9, b"22")
        self.device.reply(Answer(n.CONTENT, b"21", n.TEXT, observe=8))
        self.assertEqual((operation.state, self.values()), ("done", [20.5, 22.0]))
        self.assertEqual(self.bench.server.twin_rows("d", wish.path)[0].value, 22.0)
        self.device.notify(wish.token, 10, b"23")
        self.assertEqual(self.values()[2:], [23.0])

    def test_restarted_device(self) -> None:
        """After a restart of the device its sequence numbers begin anew, and the answer is a value."""
        self.observed()
        self.device.notify(self.device.requests[-1].token, 99, b"22")
        self.bench.advance(1.0)
        self.device.answers[n.GET, VALUE] = Answer(n.CONTENT, b"21", n.TEXT, observe=1)
        self.put()
        self.assertEqual(self.values(), [20.5, 22.0, 21.0])

    def test_reordered(self) -> None:
        """An older notification is acknowledged and counted, but is no value."""
        wish = self.observed()
        self.device.notify(wish.token, 9, b"22")
        mid = self.device.notify(wish.token, 8, b"21")
        self.assertIn(mid, self.acks())
        self.assertEqual(self.values(), [20.5, 22.0])
        self.assertEqual(self.bench.server.counters["notifications_reordered"], 1)

    def test_error(self) -> None:
        """An error ends the observation: the wish is refused, until the device registers again."""
        wish = self.observed()
        mid = self.device.notify(wish.token, None, b"", code=n.NOT_FOUND, content_format=None)
        self.assertIn(mid, self.acks())
        self.assertEqual((wish.state, wish.error), ("refused", "4.04 Not Found"))
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual((wish.state, wish.error), ("active", None))

    def test_undecodable(self) -> None:
        """What can't be decoded is acknowledged and counted, and never a value."""
        wish = self.observed()
        mid = self.device.notify(wish.token, 2, b"warm")
        self.assertIn(mid, self.acks())
        assert wish.error is not None
        self.assertIn("undecodable", wish.error)
        self.assertEqual((self.values(), self.bench.server.counters["notifications_undecodable"]), ([20.5], 1))

    def test_other_address(self) -> None:
        """A notification from elsewhere with our token is taken, marked; the device stays where it registered."""
        wish = self.observed()
        stranger = FakeDevice(self.bench, "", 9)
        stranger.notify(wish.token, 2)
        self.assertTrue(self.bench.events[-1].fields["unverified_path"])
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual((found.peer, self.values()), (peer(1), [20.5, 21.5]))
        self.device.notify(wish.token, 3)
        self.assertNotIn("unverified_path", self.bench.events[-1].fields)

    def test_wakes(self) -> None:
        """A notification of a sleeping device is the moment for what waits for it."""
        self.device.register("lwm2m=1.1", "lt=9000", "Q")
        wish = self.observed()
        self.bench.advance(100)
        operation = self.bench.submit("d", "read", "/3/0/0")
        self.assertEqual(operation.state, "queued")
        self.device.notify(wish.token, 2)
        self.assertEqual(operation.state, "sent")

    def test_unknown(self) -> None:
        """A notification that nobody asked for is Reset for a stranger, and ignored for a device that is registered."""
        stranger = FakeDevice(self.bench, "", 9)
        stranger.notify(b"nobody", 2)
        self.assertEqual([message.type for message in stranger.heard], [n.RST])
        mid = self.device.notify(b"nobody", 2)
        self.assertNotIn(mid, self.resets())
        self.assertEqual(self.bench.server.counters["unexpected_responses"], 2)


class EndTests(Base):
    """How wishes end."""

    def test_active(self) -> None:
        """A cancellation asks the device with the same token and Observe 1, when the wish's end is durable."""
        wish = self.observed()
        self.bench.hold()
        self.device.answers[n.GET, VALUE] = Answer(n.CONTENT, b"25", n.TEXT)
        operation = self.remove(wish)
        assert operation is not None
        self.assertEqual((operation.state, wish.id in self.bench.server.observations), ("queued", True))
        self.bench.release()
        request = self.device.requests[-1]
        self.assertEqual((request.token, request.observe), (wish.token, 1))
        self.assertEqual((operation.state, dict(self.bench.server.observations)), ("done", {}))
        self.assertEqual((self.bench.tables["observations"], self.values()), ({}, [20.5, 25.0]))
        mid = self.device.notify(wish.token, 7)
        self.assertIn(mid, self.resets())

    def test_passive(self) -> None:
        """A passive cancellation asks nothing; the next notification is Reset."""
        wish = self.observed()
        before = len(self.device.requests)
        self.assertIsNone(self.remove(wish, active=False))
        mid = self.device.notify(wish.token, 2)
        self.assertEqual((self.resets(), len(self.device.requests)), ([mid], before))

    def test_not_stored(self) -> None:
        """A wish whose end can't be stored stays."""
        wish = self.observed()
        self.bench.failing = True
        operation = self.remove(wish)
        assert operation is not None
        self.assertEqual((operation.state, self.outcomes[-1]), ("failed", False))
        self.bench.failing = False
        self.device.notify(wish.token, 2)
        self.assertEqual(self.values(), [20.5, 21.5])

    def test_before_sent(self) -> None:
        """A wish that ends before its device woke is never asked for, and disturbs nobody."""
        self.device.register("lwm2m=1.1", "lt=9000", "Q")
        self.bench.advance(100)
        wish, _, operation = self.put()
        self.assertIsNone(self.remove(wish))
        self.assertEqual(operation.state, "cancelled")
        read = self.bench.submit("d", "read", "/3/0/0")
        self.device.update()
        self.assertEqual((read.state, self.bench.errors), ("sent", []))

    def test_while_asked(self) -> None:
        """A wish that ends while the device is being asked: the answer ends the operation, no more comes of it."""
        wish, _, operation = self.put()
        self.assertIsNone(self.remove(wish))
        self.device.reply(OBSERVED)
        self.assertEqual((operation.state, self.bench.errors), ("failed", []))
        mid = self.device.notify(wish.token, 2)
        self.assertEqual((self.resets(), self.values()), ([mid], []))
        self.assertEqual(self.bench.submit("d", "read", "/3/0/0").state, "sent")

    def test_by_operation(self) -> None:
        """cancel-observe ends the wish; it is done at once where the device was never told of it."""
        self.observed()
        self.device.answers[n.GET, VALUE] = Answer(n.CONTENT, b"25", n.TEXT)
        self.assertEqual(self.bench.submit("d", "cancel-observe", VALUE).state, "done")
        self.assertEqual(self.device.requests[-1].observe, 1)
        self.device.answers[n.GET, VALUE] = Answer(n.METHOD_NOT_ALLOWED)
        self.put()
        before = len(self.device.requests)
        self.assertEqual(self.bench.submit("d", "cancel-observe", VALUE).state, "done")
        self.assertEqual((len(self.device.requests), self.bench.tables["observations"]), (before, {}))
        self.assertRaises(UnknownObservation, self.bench.submit, "d", "cancel-observe", VALUE)
        self.assertRaises(UnknownObservation, self.remove, self.put()[0].__class__("x", "d", Path((3,)), b"", 0.0))

    def test_put_and_remove(self) -> None:
        """Memory and storage agree after a wish was put and removed in one breath, in either order."""
        wish = self.observed()
        self.bench.hold()
        self.put()
        self.remove(wish)
        self.bench.release()
        self.assertEqual((dict(self.bench.server.observations), self.bench.tables["observations"]), ({}, {}))
        self.assertEqual(self.bench.server.devices["d"].observations, ())
        wish = self.observed()
        self.bench.hold()
        self.remove(wish)
        self.put()
        self.bench.release()
        self.assertEqual(list(self.bench.tables["observations"]), list(self.bench.server.observations))
        self.assertEqual(self.bench.server.observation("d", wish.path).state, "active")
        mid = self.device.notify(self.device.requests[-1].token, 7)
        self.assertNotIn(mid, self.resets())
        self.assertEqual(self.bench.errors, [])

    def test_removed_while_answered(self) -> None:
        """An answer that comes while the wish's end is being stored does not bring its row back."""
        wish, _, _ = self.put()
        self.bench.hold()
        self.remove(wish)
        self.device.reply(OBSERVED)
        self.bench.release()
        self.assertEqual(self.bench.tables["observations"], {})

    def test_registration_ends(self) -> None:
        """With the registration the device has forgotten; the wish waits, and a notification is Reset."""
        wish = self.observed()
        self.device.deregister()
        self.assertEqual((wish.state, wish.id in self.bench.server.observations), ("pending", True))
        mid = self.device.notify(wish.token, 2)
        self.assertIn(mid, self.resets())
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(wish.state, "active")
        self.device.notify(wish.token, 3)
        self.assertEqual(self.values()[-1], 21.5)


class RestartTests(Base):
    """What a restart makes of wishes."""

    def test_goes_on(self) -> None:
        """Notifications go on after a restart, without a request."""
        wish = self.observed()
        before = len(self.device.requests)
        self.bench, faults = self.bench.restart()
        found = self.bench.server.observations[wish.id]
        self.assertEqual((found.state, len(self.device.requests), faults), ("active", before, []))
        self.device.notify(wish.token, 7)
        self.assertEqual(self.values(), [21.5])

    def test_taken_unnoticed(self) -> None:
        """A device that took a wish when the daemon was killed is heard before it is asked again."""
        self.device.register("lwm2m=1.1", "lt=300", "Q")
        wish, _, _ = self.put()
        self.bench, _ = self.bench.restart(downtime=200)
        self.assertEqual(self.bench.server.observations[wish.id].state, "pending")
        self.device.notify(wish.token, 7)
        self.assertEqual(self.values(), [21.5])
        self.assertEqual(self.bench.server.observations[wish.id].state, "active")

    def test_never_asked(self) -> None:
        """A wish that the device never took is asked for after a restart."""
        wish, _, _ = self.put()
        self.device.answers[n.GET, VALUE] = OBSERVED
        self.bench, _ = self.bench.restart()
        self.assertEqual(self.bench.server.observations[wish.id].state, "active")
        self.assertEqual(self.device.requests[-1].token, wish.token)

    def test_registered_since(self) -> None:
        """A wish that was taken before the device registered anew is asked for after a restart."""
        wish = self.observed()
        del self.device.answers[n.GET, VALUE]
        self.bench.advance(10)
        self.device.register("lwm2m=1.1", "lt=200")
        self.device.answers[n.GET, VALUE] = OBSERVED
        before = len(self.device.requests)
        self.bench, _ = self.bench.restart()
        self.assertEqual(len(self.device.requests), before + 1)
        self.assertEqual(self.bench.server.observations[wish.id].state, "active")

    def test_ended_by_device(self) -> None:
        """A wish that the device ended is asked for after a restart."""
        wish = self.observed()
        self.device.notify(wish.token, None, b"", code=n.NOT_FOUND, content_format=None)
        self.bench, _ = self.bench.restart()
        self.assertEqual(self.bench.server.observations[wish.id].state, "active")

    def test_offline(self) -> None:
        """The wish for a device that is not registered waits for it over a restart."""
        wish = self.observed()
        self.device.deregister()
        self.bench, _ = self.bench.restart()
        self.assertEqual(self.bench.server.observations[wish.id].state, "pending")
        self.device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(self.bench.server.observations[wish.id].state, "active")

    def test_cancellation_kept(self) -> None:
        """A cancellation that was still queued ends after a restart, and disturbs nobody."""
        self.device.register("lwm2m=1.1", "lt=9000", "Q")
        wish = self.observed()
        self.bench.advance(100)
        operation = self.remove(wish)
        assert operation is not None
        self.bench.server.keep(operation, self.bench.now, self.done)
        self.bench.settle()
        self.bench, _ = self.bench.restart()
        self.device.update()
        self.assertEqual(self.bench.server.operations[operation.id].state, "failed")
        self.assertEqual(self.bench.errors, [])

    def test_reset_of_a_request(self) -> None:
        """A device that Resets the request leaves the wish pending, with the reason."""
        wish, _, _ = self.put()
        request = self.device.requests[-1]
        self.bench.receive(encode(Message(n.RST, n.EMPTY, request.mid, b"")), self.device.peer)
        self.assertEqual((wish.state, wish.error), ("pending", "the device answered with Reset"))
