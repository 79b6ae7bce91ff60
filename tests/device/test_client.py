"""A device and a bare engine as its server, end to end in memory: what travels, and when."""

from __future__ import annotations

import hashlib
import random

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.interfaces import Received, Response
from lwm2md.coap.message import Message, options
from lwm2md.coap.numbers import DELETE, FETCH, GET, POST, PUT, TEXT, TLV
from lwm2md.device.errors import IllegalMove
from lwm2md.device.objects import Settings
from lwm2md.device.registration import State
from lwm2md.device.tree import Stored
from lwm2md.lwm2m.paths import Path
from tests.device.harness import DEVICE, SERVER, Pair


def _started(settings: Settings | None = None) -> Pair:
    pair = Pair(settings)
    pair.start()
    return pair


class RegistrationTests(SynchronousTestCase):
    """Register, Update and De-register on the wire."""

    def test_register_1_1(self) -> None:
        """A Register of 1.1 has its parameters in order, the labels last, and lists the Objects."""
        pair = _started(Settings("urn:x:1", 300, "1.1", True, (("farm", "north"),), ("a", "b")))
        [message] = pair.registrar.requests
        self.assertEqual((message.type, message.code), (numbers.CON, POST))
        self.assertEqual(message.path, ("a", "b", "rd"))
        self.assertEqual(message.query, ("lwm2m=1.1", "ep=urn:x:1", "lt=300", "b=U", "Q", "farm=north"))
        self.assertEqual(message.content_format, numbers.LINK_FORMAT)
        self.assertEqual(
            message.payload,
            b'</>;rt="oma.lwm2m";ct="60 110 112 11542",</1/0>,</3/0>,</4/0>,</6/0>,</3303>;ver=1.1,</3303/0>',
        )

    def test_register_1_0(self) -> None:
        """A Register of 1.0 has queue mode in its binding, JSON as the only format to tell, and no versions."""
        pair = _started(Settings("one", 300, "1.0", True))
        [message] = pair.registrar.requests
        self.assertEqual(message.query, ("lwm2m=1.0", "ep=one", "lt=300", "b=UQ"))
        self.assertEqual(message.payload, b'</>;rt="oma.lwm2m";ct=11543,</1/0>,</3/0>,</4/0>,</6/0>,</3303/0>')

    def test_register_1_2(self) -> None:
        """A Register of 1.2 tells its formats too."""
        pair = _started(Settings("one", 300, "1.2", True))
        [message] = pair.registrar.requests
        self.assertEqual(message.query, ("lwm2m=1.2", "ep=one", "lt=300", "b=U", "Q"))
        self.assertTrue(
            message.payload.startswith(b'</>;rt="oma.lwm2m";ct="60 110 112 320 322 11542 11544",</1/0>,</3/0>,')
        )

    def test_binding(self) -> None:
        """A device says of its transports what it is told, in 1.0 with the Q of queue mode."""
        pair = _started(Settings("one", 300, "1.1", True, binding="UT"))
        self.assertEqual(pair.registrar.requests[0].query, ("lwm2m=1.1", "ep=one", "lt=300", "b=UT", "Q"))
        pair = _started(Settings("one", 300, "1.0", True, binding="US"))
        self.assertEqual(pair.registrar.requests[0].query, ("lwm2m=1.0", "ep=one", "lt=300", "b=USQ"))

    def test_alternate_path(self) -> None:
        """With an alternate path all Objects are registered, asked for, discovered and named below it."""
        pair = _started(Settings("one", 300, "1.1", root=("lwm2m",)))
        self.assertTrue(
            pair.registrar.requests[0].payload.startswith(
                b'</lwm2m>;rt="oma.lwm2m";ct="60 110 112 11542",</lwm2m/1/0>,</lwm2m/3/0>,'
            )
        )
        self.assertEqual(pair.ask(GET, "/lwm2m/3/0/0").payload, b"lwm2md")
        self.assertEqual(pair.ask(GET, "/3/0/0").code, numbers.NOT_FOUND)
        self.assertEqual(pair.ask(GET, "/lwm2m").code, numbers.BAD_REQUEST)
        self.assertEqual(pair.ask(GET, "/lwm2m/6/0/2", accept=numbers.LINK_FORMAT).payload, b"</lwm2m/6/0/2>")
        named = b'[{"bn":"/lwm2m/6/0/","n":"2","v":410.0}]'
        self.assertEqual(pair.ask(GET, "/lwm2m/6/0/2", accept=numbers.SENML_JSON).payload, named)
        named = b'[{"bn":"/lwm2m","n":"/6/0/2","v":410.0}]'
        for path in ("/lwm2m", "/"):
            answer = pair.ask(FETCH, path, b'[{"n":"/lwm2m/6/0/2"}]', content_format=numbers.SENML_JSON)
            self.assertEqual((answer.code, answer.payload), (numbers.CONTENT, named))

    def test_profile(self) -> None:
        """A profile id stands for the list of Objects; a server that does not know it gets both at once."""
        pair = Pair(Settings("one", 300, "1.2", profile=5))
        pair.start()
        [alone] = pair.registrar.requests
        hashed = "</1/0>,</3/0>,</4/0>,</6/0>,</3303>;ver=1.1,</3303/0>"
        profile = f"pid=5:{hashlib.sha256(hashed.encode()).hexdigest()[:16]}"
        self.assertEqual((alone.query[-1], alone.payload, alone.content_format), (profile, b"", None))

        pair = Pair(Settings("one", 300, "1.2", profile=5))
        pair.registrar.answers[POST] = Response(numbers.CONFLICT)
        pair.start()
        alone, both = pair.registrar.requests
        self.assertEqual((alone.query[-1], both.query[-1]), (profile, profile))
        self.assertIn(hashed.encode(), both.payload)
        self.assertEqual(pair.device.registration.state, State.WAITING)

    def test_profile_in_other_lengths(self) -> None:
        """The length of the hash follows the suite, also the one that the server writes; an Update tells it anew."""
        pair = _started(Settings("one", 300, "1.2", profile=6))
        [name, digest] = pair.registrar.requests[0].query[-1].split(":")
        self.assertEqual((name, len(digest)), ("pid=6", 8))
        self.assertEqual(pair.ask(PUT, "/1/0/27", b"1", content_format=TEXT).code, numbers.CHANGED)
        pair.ask(POST, "/3303")
        pair.settle()
        [name, digest] = pair.registrar.requests[-1].query[-1].split(":")
        self.assertEqual((name, len(digest)), ("pid=1", 64))
        self.assertIn(b"</3303/1>", pair.registrar.requests[-1].payload)

    def test_no_profile_before_1_2(self) -> None:
        """A device that stepped down to 1.1, or that is told 4.00, registers without a profile id."""
        for code, versions in (
            (numbers.PRECONDITION_FAILED, ["1.2", "1.1", "1.0"]),
            (numbers.BAD_REQUEST, ["1.2"] * 2),
        ):
            pair = Pair(Settings("one", 300, "1.2", profile=5))
            pair.registrar.answers[POST] = Response(code)
            pair.start()
            self.assertEqual([one.query[0] for one in pair.registrar.requests], [f"lwm2m={one}" for one in versions])
            for message in pair.registrar.requests[1:]:
                self.assertFalse([one for one in message.query if one.startswith("pid")])
                self.assertIn(b"</3/0>", message.payload)

    def test_nothing_newer_after_stepping_down(self) -> None:
        """A device that stepped down to 1.0 speaks 1.0 in everything."""
        pair = Pair(Settings("one", 300, "1.2"))
        pair.registrar.answers[POST] = Response(numbers.PRECONDITION_FAILED)
        pair.start()
        pair.registrar.answers.clear()
        pair.advance(70)
        self.assertEqual(pair.ask(GET, "/3/0").content_format, TLV)
        self.assertEqual(pair.ask(FETCH, "/").code, numbers.METHOD_NOT_ALLOWED)
        self.assertEqual(pair.ask(GET, "/3/0/0", accept=numbers.SENML_CBOR).code, numbers.NOT_ACCEPTABLE)

    def test_versions_after_stepping_down(self) -> None:
        """After 4.12 the older version is used at once, and versions of Objects that it does not imply are told."""
        pair = Pair(Settings("one", 300, "1.2"))
        pair.registrar.answers[POST] = Response(numbers.PRECONDITION_FAILED)
        pair.start()
        self.assertEqual(
            [message.query[0] for message in pair.registrar.requests], [f"lwm2m={v}" for v in ("1.2", "1.1", "1.0")]
        )
        self.assertIn(b"</3>;ver=1.2,</3/0>", pair.registrar.requests[1].payload)

    def test_refresh(self) -> None:
        """Updates without parameters keep the registration alive."""
        pair = _started()
        pair.advance(420)
        updates = pair.registrar.requests[1:]
        self.assertEqual([(one.path, one.query, one.payload) for one in updates], [(("rd", "id1"), (), b"")] * 2)

    def test_lifetime_written(self) -> None:
        """A written lifetime is told at once and holds for the next refresh."""
        pair = _started()
        self.assertEqual(pair.ask(PUT, "/1/0/1", b"60", content_format=TEXT).code, numbers.CHANGED)
        pair.settle()
        self.assertEqual(pair.registrar.requests[-1].query, ("lt=60",))
        pair.advance(31)
        self.assertEqual(len(pair.registrar.requests), 3)

    def test_instances_told(self) -> None:
        """A created or deleted Instance is told by an Update with the whole list."""
        pair = _started()
        self.assertEqual(pair.ask(POST, "/3303", b"\xe4\x16\x76Hall", content_format=TLV).location, ("3303", "1"))
        pair.settle()
        self.assertIn(b"</3303/1>", pair.registrar.requests[-1].payload)
        self.assertEqual(pair.ask(DELETE, "/3303/1").code, numbers.DELETED)
        pair.settle()
        self.assertNotIn(b"</3303/1>", pair.registrar.requests[-1].payload)

    def test_trigger(self) -> None:
        """The Registration Update Trigger leads to an Update after its own answer."""
        pair = _started()
        self.assertEqual(pair.ask(POST, "/1/0/8").code, numbers.CHANGED)
        self.assertEqual(len(pair.registrar.requests), 1)
        pair.settle()
        self.assertEqual(pair.registrar.requests[-1].path, ("rd", "id1"))

    def test_unknown_registration(self) -> None:
        """An Update that is answered 4.04 leads to a Register."""
        pair = _started()
        pair.ask(POST, "/1/0/8")
        pair.registrar.answers[POST] = Response(numbers.NOT_FOUND)
        pair.settle()
        self.assertEqual(pair.registrar.requests[-1].path, ("rd",))

    def test_asked_too_early(self) -> None:
        """A request that comes before the registration is complete is not heard; when it comes again it is answered."""
        pair = Pair()
        pair.registrar.silent = True
        pair.start()
        outcomes: list[Received | str] = []
        asked = options(path=("3", "0", "0"))
        pair.server.request(DEVICE, GET, asked, on_outcome=lambda result, _: outcomes.append(result), now=pair.now)
        for data, _ in pair.server.take():
            self.assertEqual(pair.device.receive([(data, SERVER)], pair.now), [])
        pair.registrar.silent = False
        pair.advance(10)
        [answer] = outcomes
        assert isinstance(answer, Received)
        self.assertEqual(answer.message.payload, b"lwm2md")

    def test_silent_server(self) -> None:
        """A server that does not answer is asked again after the back-off, and found again."""
        pair = Pair()
        pair.registrar.silent = True
        pair.start()
        pair.advance(100)
        self.assertEqual(pair.device.registration.state, State.WAITING)
        pair.registrar.silent = False
        pair.advance(100)
        self.assertEqual(pair.device.registration.state, State.REGISTERED)

    def test_stop(self) -> None:
        """Stopping de-registers; then the device is deaf and has nothing to do."""
        pair = _started()
        pair.deliver(pair.device.stop(pair.now))
        self.assertEqual((pair.registrar.requests[-1].code, pair.registrar.requests[-1].path), (DELETE, ("rd", "id1")))
        self.assertTrue(pair.device.stopped)
        with self.assertRaises(IllegalMove):
            pair.device.stop(pair.now)
        with self.assertRaises(IllegalMove):
            pair.device.start(pair.now)

    def test_stop_during_update(self) -> None:
        """An Update that is under way does not hold the De-register up."""
        pair = _started()
        pair.ask(POST, "/1/0/8")
        pair.registrar.silent = True
        pair.settle()
        self.assertEqual(pair.device.registration.state, State.UPDATING)
        pair.registrar.silent = False
        pair.deliver(pair.device.stop(pair.now))
        self.assertTrue(pair.device.stopped)
        pair.advance(100)
        self.assertEqual(pair.registrar.requests[-1].code, DELETE)

    def test_stop_before_the_answer(self) -> None:
        """Stopping before the Register was answered needs no De-register."""
        pair = Pair()
        pair.registrar.silent = True
        pair.start()
        self.assertEqual(pair.device.stop(pair.now), [])
        self.assertTrue(pair.device.stopped)


class ActionTests(SynchronousTestCase):
    """What Execute starts."""

    def test_reboot(self) -> None:
        """Reboot is answered, then the device forgets observations and attributes and registers without an Update."""
        pair = _started()
        _, seen = pair.observe("/3303/0/5700")
        self.assertEqual(pair.ask(PUT, "/3303/0/5701", query=("pmin=5",)).code, numbers.CHANGED)
        self.assertIn(b"pmin=5", pair.ask(GET, "/3303/0", accept=numbers.LINK_FORMAT).payload)
        self.assertEqual(pair.ask(POST, "/3/0/4").code, numbers.CHANGED)
        pair.advance(2)
        self.assertNotIn(b"pmin=5", pair.ask(GET, "/3303/0", accept=numbers.LINK_FORMAT).payload)
        pair.advance(60)
        self.assertEqual(len(seen), 1)
        self.assertEqual([one.path for one in pair.registrar.requests], [("rd",), ("rd",)])
        self.assertEqual(pair.device.registration.location, ("rd", "id2"))

    def test_register_ends_observations(self) -> None:
        """After a Register nothing is notified any more."""
        pair = _started()
        _, seen = pair.observe("/3303/0/5700")
        pair.ask(POST, "/3/0/4")
        pair.advance(60)
        self.assertEqual(len(seen), 1)

    def test_factory_reset(self) -> None:
        """Factory Reset brings every written value and Instance back, then restarts."""
        pair = _started()
        pair.ask(PUT, "/3/0/15", b"Europe/Rome", content_format=TEXT)
        pair.ask(POST, "/3303")
        pair.ask(POST, "/3/0/5")
        pair.advance(2)
        self.assertEqual(pair.ask(GET, "/3/0/15").payload, b"Etc/UTC")
        self.assertEqual(pair.ask(GET, "/3303/1").code, numbers.NOT_FOUND)
        self.assertEqual(pair.device.registration.state, State.REGISTERED)

    def test_disable(self) -> None:
        """Disable is answered, de-registers, and the device hears nothing for its time."""
        pair = _started()
        pair.ask(PUT, "/1/0/5", b"30", content_format=TEXT)
        pair.ask(POST, "/1/0/4")
        pair.settle()
        self.assertEqual(pair.registrar.requests[-1].code, DELETE)
        pair.server.request(
            b"device", GET, options(path=("3", "0", "0")), on_outcome=lambda result, now: None, now=pair.now
        )
        self.assertEqual(pair.device.receive([(data, SERVER) for data, _ in pair.server.take()], pair.now), [])
        pair.advance(29)
        self.assertEqual(pair.device.registration.state, State.DISABLED)
        pair.advance(2)
        self.assertEqual(pair.device.registration.state, State.REGISTERED)

    def test_no_bootstrap_server(self) -> None:
        """The Bootstrap-Request Trigger is refused without a bootstrap server."""
        self.assertEqual(_started().ask(POST, "/1/0/9").code, numbers.METHOD_NOT_ALLOWED)

    def test_unexpected_arguments(self) -> None:
        """Arguments that a Resource does not take are refused; the trigger takes the name of a binding."""
        pair = _started()
        self.assertEqual(pair.ask(POST, "/3/0/4", b"1", content_format=TEXT).code, numbers.BAD_REQUEST)
        self.assertEqual(pair.ask(POST, "/1/0/8", b"0='U'", content_format=TEXT).code, numbers.CHANGED)
        self.assertEqual(pair.ask(POST, "/1/0/8", b"0='T'", content_format=TEXT).code, numbers.BAD_REQUEST)

    def test_reset_extremes(self) -> None:
        """Reset Min and Max makes both the present value."""
        pair = _started()
        pair.advance(7200)
        pair.ask(POST, "/3303/0/5605")
        pair.settle()
        values = {pair.ask(GET, f"/3303/0/{number}").payload for number in (5700, 5601, 5602)}
        self.assertEqual(len(values), 1)

    def test_reset_errors(self) -> None:
        """Reset Error Code leaves one instance that says that there is none."""
        instances: dict[Path, dict[int, Stored]] = {Path((3, 0)): {11: {0: 1, 1: 4}}}
        pair = _started(Settings("d", 300, "1.1", instances=instances))
        self.assertEqual(pair.ask(GET, "/3/0/11/1", accept=TEXT).payload, b"4")
        self.assertEqual(pair.ask(POST, "/3/0/12").code, numbers.CHANGED)
        pair.settle()
        self.assertEqual(pair.ask(GET, "/3/0/11/0", accept=TEXT).payload, b"0")
        self.assertEqual(pair.ask(GET, "/3/0/11/1", accept=TEXT).code, numbers.NOT_FOUND)

    def test_clock(self) -> None:
        """A written Current Time goes on from there."""
        pair = _started()
        pair.ask(PUT, "/3/0/13", b"1000", content_format=TEXT)
        pair.now += 5
        self.assertEqual(pair.ask(GET, "/3/0/13").payload, b"1005")


class ObservationTests(SynchronousTestCase):
    """Observations on the wire."""

    def test_notifications(self) -> None:
        """A moving value is notified Non-confirmably with the token and a rising number."""
        pair = _started()
        token, seen = pair.observe("/3303/0/5700")
        pair.advance(35)
        self.assertEqual([message.observe for message in seen], [0, 1, 2, 3])
        self.assertEqual({message.token for message in seen}, {token})
        self.assertEqual({message.type for message in seen[1:]}, {numbers.NON})
        self.assertEqual({message.content_format for message in seen}, {TEXT})

    def test_reset_ends_it(self) -> None:
        """A Reset to a notification ends the observation."""
        pair = _started()
        token, seen = pair.observe("/3303/0/5700")
        pair.server.forget(token)
        pair.advance(60)
        self.assertEqual(len(seen), 1)
        self.assertEqual(sum("Notify" in line for line in pair.lines), 1)
        self.assertIn("observation of /3303/0/5700 ended (reset)", pair.lines)

    def test_cancel(self) -> None:
        """Observe 1 with the token ends the observation, and is answered like a Read."""
        pair = _started()
        token, _ = pair.observe("/3303/0/5700")
        answers: list[object] = []
        pair.server.cancel(
            b"device",
            token,
            GET,
            options(path=("3303", "0", "5700")),
            on_outcome=lambda result, now: answers.append(result),
            now=pair.now,
        )
        pair.settle()
        self.assertEqual(len(answers), 1)
        pair.advance(60)
        self.assertFalse([line for line in pair.lines if "Notify" in line])

    def test_deleted_while_observed(self) -> None:
        """Observing an Instance that is deleted ends with a 4.04 without an Observe option."""
        pair = _started()
        pair.ask(POST, "/3303")
        pair.settle()
        _, seen = pair.observe("/3303/1/5700")
        pair.ask(DELETE, "/3303/1")
        pair.advance(30)
        self.assertEqual((seen[-1].code, seen[-1].observe), (numbers.NOT_FOUND, None))
        self.assertEqual(len(seen), 2)

    def test_dead_observer(self) -> None:
        """An observer that does not acknowledge a Confirmable notification is given up."""
        pair = _started(Settings("test-device", 0, "1.2"))
        pair.ask(PUT, "/1/0/26", b"1", content_format=TEXT)
        pair.observe("/3303/0/5700")
        pair.registrar.silent = True
        pair.advance(120)
        self.assertIn("observation of /3303/0/5700 ended (timeout)", pair.lines)


class HostileTests(SynchronousTestCase):
    """What others send."""

    def test_strangers_are_not_heard(self) -> None:
        """A datagram from anybody but the server is dropped."""
        pair = _started()
        self.assertEqual(pair.device.receive([(b"\x40\x01\x00\x01\xb1\x33", b"stranger")], pair.now), [])

    def test_noise(self) -> None:
        """Mutated requests never cause an error of ours and never stop the device."""
        pair = _started()
        chance = random.Random(1)
        head = b"\x42\x03\x00\x00tt"
        base = head + bytes.fromhex("b431303031 0130 0131 11 2d16 ff c1013c".replace(" ", ""))
        for count in range(3000):
            data = bytearray(base)
            data[2:4] = count.to_bytes(2, "big")
            for _ in range(chance.randrange(1, 5)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            pair.device.receive([(bytes(data), SERVER)], pair.now)
        self.assertEqual(pair.errors, [])
        pair.advance(1)
        self.assertEqual(pair.ask(GET, "/3/0/0").payload, b"lwm2md")

    def test_unexpected_response(self) -> None:
        """A response that nobody waits for is Reset."""
        pair = _started()
        self.assertTrue(pair.device.unexpected(SERVER, Message(numbers.CON, numbers.CONTENT, 1), pair.now))
