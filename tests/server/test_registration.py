"""Tests of lwm2md.server.registration and of what it rests on: parameters, lifetimes, object lists."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message, decode, encode, encode_body, options
from lwm2md.lwm2m.models import default_version
from lwm2md.security.rules import Policy
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import LINKS, START, Bench, peer


class RegisterTests(SynchronousTestCase):
    """Register, as OMA Core 6.2.1 and what real devices send have it."""

    def setUp(self) -> None:
        self.bench = Bench()

    def test_answer(self) -> None:
        """A Register gets 2.01 with the Location rd and a short id, which is not guessable from another."""
        first, second = self.bench.device("a", 1), self.bench.device("b", 2)
        for device in (first, second):
            answer = device.register("lwm2m=1.1", "lt=60")
            assert answer is not None
            self.assertEqual((answer.code, answer.payload, answer.location[0]), (n.CREATED, b"", "rd"))
            self.assertEqual((len(answer.location), len(answer.location[1])), (2, 16))
        self.assertNotEqual(first.location, second.location)

    def test_refused(self) -> None:
        """Wrong parameters get the code that the specification names, and a short diagnostic; nothing is kept."""
        full = ("lwm2m=1.1", "lt=60")
        table: list[tuple[tuple[str, ...], str, int, str]] = [
            (full, LINKS, n.BAD_REQUEST, "ep is missing"),
            (("ep=", *full), LINKS, n.BAD_REQUEST, "ep is empty, or has a NUL in it"),
            (("ep", *full), LINKS, n.BAD_REQUEST, "ep is empty, or has a NUL in it"),
            (("ep=a\0b", *full), LINKS, n.BAD_REQUEST, "ep is empty, or has a NUL in it"),
            (("ep=d", "lwm2m=1.1", "lt=x"), LINKS, n.BAD_REQUEST, "lt must be a number of seconds"),
            (("ep=d", "lwm2m=1.1", "lt=-1"), LINKS, n.BAD_REQUEST, "lt must be a number of seconds"),
            (("ep=d", "lwm2m=1.1", "lt="), LINKS, n.BAD_REQUEST, "lt must be a number of seconds"),
            (("ep=d", "lwm2m=1.1", "lt=٣"), LINKS, n.BAD_REQUEST, "lt must be a number of seconds"),
            (("ep=d", "lwm2m=1.1", "lt=12345678901"), LINKS, n.BAD_REQUEST, "lt must be a number of seconds"),
            (("ep=d", "lwm2m=9.9", "lt=60"), LINKS, n.PRECONDITION_FAILED, "supported: 1.0 1.1 1.2"),
            (("ep=d", "lwm2m=1.3", "lt=60"), LINKS, n.PRECONDITION_FAILED, "supported: 1.0 1.1 1.2"),
            (("ep=d", "lwm2m=1", "lt=60"), LINKS, n.BAD_REQUEST, "lwm2m must look like 1.1"),
            (("ep=d", "lwm2m=1.1.1", "lt=60"), LINKS, n.BAD_REQUEST, "lwm2m must look like 1.1"),
            (("ep=d", "lwm2m", "lt=60"), LINKS, n.BAD_REQUEST, "lwm2m must look like 1.1"),
            (("ep=d", "b=X", *full), LINKS, n.BAD_REQUEST, "b is not a binding of this version"),
            (("ep=d", "b=UU", *full), LINKS, n.BAD_REQUEST, "b is not a binding of this version"),
            (("ep=d", "b=UT", "lwm2m=1.0"), LINKS, n.BAD_REQUEST, "b is not a binding of this version"),
            (("ep=d", "b=", *full), LINKS, n.BAD_REQUEST, "b is empty"),
            (("ep=d", "Q=1", *full), LINKS, n.BAD_REQUEST, "Q takes no value"),
            (("ep=d", "sms=abc", *full), LINKS, n.BAD_REQUEST, "sms must be an MSISDN"),
            (("ep=d", "sms=1234567890123456", *full), LINKS, n.BAD_REQUEST, "sms must be an MSISDN"),
            (("ep=d", *full), "", n.BAD_REQUEST, "the object list is missing"),
            (("ep=d", "pid=6:27354b9a", *full), "", n.CONFLICT, "unknown profile id: send the object list"),
            (("ep=d", "pid", *full), LINKS, n.BAD_REQUEST, "pid must be one or a few profile ids"),
            (("ep=d", 'pid=""', *full), LINKS, n.BAD_REQUEST, "pid must be one or a few profile ids"),
            (("ep=d", "pid=a,,b", *full), LINKS, n.BAD_REQUEST, "pid must be one or a few profile ids"),
            (("ep=d", "pid=1,2,3,4,5,6,7,8,9", *full), LINKS, n.BAD_REQUEST, "pid must be one or a few profile ids"),
            (("ep=d", *full), "no links", n.BAD_REQUEST, ""),
            (("ep=d", *full, *(f"x{i}=1" for i in range(17))), LINKS, n.BAD_REQUEST, "too many or too long parameters"),
            (("ep=d", *full, "x=" + "y" * 129), LINKS, n.BAD_REQUEST, "too many or too long parameters"),
        ]
        for query, links, code, text in table:
            device = self.bench.device("", 1)
            answer = device.register(*query, links=links)
            assert answer is not None
            self.assertEqual(n.dotted(answer.code), n.dotted(code), (query, answer.payload))
            self.assertTrue(answer.payload.decode().startswith(text), (query, answer.payload))
            self.assertLessEqual(len(answer.payload), 64)
        self.assertEqual((dict(self.bench.server.devices), self.bench.tables["registrations"]), ({}, {}))
        self.assertEqual(self.bench.server.counters["registrations_refused"], len(table))

    def test_taken(self) -> None:
        """Parameters mean what their version says, and what has one meaning is taken."""
        table: list[tuple[tuple[str, ...], tuple[str, int | None, str, bool, str | None]]] = [
            ((), ("1.0", 86400, "U", False, None)),
            (("lt=0",), ("1.0", 86400, "U", False, None)),
            (("lwm2m=1.1", "lt=0"), ("1.1", None, "U", False, None)),
            (("lwm2m=1.1", "lt=5"), ("1.1", 20, "U", False, None)),
            (("lwm2m=1.1",), ("1.1", 86400, "U", False, None)),
            (("lwm2m=1.0", "b=UQ"), ("1.0", 86400, "U", True, None)),
            (("b=UQS", "sms=+491234"), ("1.0", 86400, "US", True, "491234")),
            (("lwm2m=1.1", "lt=60", "b=UQ"), ("1.1", 60, "U", True, None)),
            (("lwm2m=1.1", "lt=60", "b=TU", "Q"), ("1.1", 60, "TU", True, None)),
            (("lwm2m=1.2", "lt=60", "b=UMH"), ("1.2", 60, "UMH", False, None)),
            (("lt=60", "lwm2m=1.0", "lwm2m=1.2", "lt=90"), ("1.2", 90, "U", False, None)),
            (("lwm2m=1.2", "lt=60", "pid=oma:x"), ("1.2", 60, "U", False, None)),
        ]
        bench = Bench(ServerSettings(min_lifetime=20))
        for number, (query, expected) in enumerate(table):
            answer = bench.device(f"d{number}", number).register(*query)
            assert answer is not None
            self.assertEqual(answer.code, n.CREATED, query)
            found = bench.server.devices[f"d{number}"].registration
            assert found is not None
            shown = (found.version, found.lifetime, found.binding, found.queue_mode, found.sms)
            self.assertEqual(shown, expected, query)

    def test_cap(self) -> None:
        """A cap holds for every lifetime, the infinite one included."""
        bench = Bench(ServerSettings(max_lifetime=1000))
        for number, (query, lifetime) in enumerate(
            [(("lwm2m=1.1", "lt=0"), 1000), (("lwm2m=1.1", "lt=5000"), 1000), ((), 1000), (("lt=30",), 30)]
        ):
            bench.device(f"d{number}", number).register(*query)
            found = bench.server.devices[f"d{number}"].registration
            assert found is not None
            self.assertEqual(found.lifetime, lifetime)

    def test_object_list(self) -> None:
        """Root, formats, versions and instances come from the list, with the quirks of real devices noted."""
        links = '</lwm2m>;rt="oma.lwm2m";ct="110 11542", </lwm2m/1/0>,</lwm2m/3>;ver="1.1",</lwm2m/3/0>,</other/5/0>,,'
        device = self.bench.device("d")
        device.register("lwm2m=1.1", "lt=60", links=links)
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual((found.objects.root, found.objects.formats), ("/lwm2m", (110, 11542)))
        self.assertEqual([str(path) for path in found.objects.paths], ["/1/0", "/3/0"])
        self.assertEqual(found.objects.versions[3], "1.1")
        self.assertTrue(found.objects.deviations)

    def test_1_2(self) -> None:
        """What LwM2M 1.2 has: its bindings, the queue-mode flag, the versions that it implies, links with ``lwm2m``."""
        links = '</>;rt="oma.lwm2m";ct="112 11544";lwm2m=1.2,</1/0>,</3/0>,</5/0>,</9/0>;ver=1.1,</25/0>,</3303/0>'
        for number, binding in enumerate(("U", "M", "H", "UMHTSN", "NU")):
            device = self.bench.device(f"d{number}", number)
            answer = device.register("lwm2m=1.2", "lt=300", f"b={binding}", "Q", "sms=491234", links=links)
            assert answer is not None
            self.assertEqual(answer.code, n.CREATED, binding)
            found = self.bench.server.devices[f"d{number}"].registration
            assert found is not None
            self.assertEqual((found.binding, found.queue_mode, found.objects.formats), (binding, True, (112, 11544)))
            versions = {key: default_version(key, "1.2") for key in (1, 3, 5, 9, 25, 3303)} | {9: "1.1"}
            self.assertEqual((found.objects.versions, found.objects.deviations), (versions, ()))
            self.assertEqual(versions[1], "1.2")

    def test_content_format(self) -> None:
        """A list without a Content-Format, or as text, is a list; as anything else it is refused."""
        for number, (given, code) in enumerate(
            [(None, n.CREATED), (0, n.CREATED), (40, n.CREATED), (60, n.BAD_REQUEST), (11542, n.BAD_REQUEST)]
        ):
            answer = self.bench.device(f"d{number}", number).register("lt=60", content_format=given)
            assert answer is not None
            self.assertEqual(answer.code, code, given)

    def test_labels(self) -> None:
        """Parameters that the specification doesn't know are labels; those of the operator win."""
        device = self.bench.registered("d", 1, "farm=north", "row=3")
        self.bench.server.amend("d", self.bench.now, lambda ok, now: None, labels={"row": "4", "crop": "rye"})
        self.bench.settle()
        self.assertEqual(self.bench.server.devices["d"].all_labels(), {"farm": "north", "row": "4", "crop": "rye"})
        device.register("lwm2m=1.1", "lt=300", "farm=south")
        self.assertEqual(self.bench.server.devices["d"].all_labels(), {"farm": "south", "row": "4", "crop": "rye"})

    def test_big_list(self) -> None:
        """A list of thousands of instances is taken, and one that no parser should be asked for is refused."""
        links = ",".join(f"</3303/{i}>" for i in range(3000))
        answer = self.bench.device("d").register("lt=60", links=links)
        assert answer is not None
        self.assertIn(answer.code, (n.CREATED, n.BAD_REQUEST))
        self.assertEqual(self.bench.errors, [])

    def test_methods(self) -> None:
        """What /rd does not do is 4.05, what is not below it 4.04."""
        device = self.bench.registered()
        table = [
            (n.GET, "rd", n.METHOD_NOT_ALLOWED),
            (n.PUT, "rd", n.METHOD_NOT_ALLOWED),
            (n.DELETE, "rd", n.METHOD_NOT_ALLOWED),
            (n.GET, f"rd/{device.location}", n.METHOD_NOT_ALLOWED),
            (n.PUT, f"rd/{device.location}", n.METHOD_NOT_ALLOWED),
            (n.POST, "rd/nobody", n.NOT_FOUND),
            (n.DELETE, "rd/nobody", n.NOT_FOUND),
            (n.POST, f"rd/{device.location}/x", n.NOT_FOUND),
            (n.POST, "elsewhere", n.NOT_FOUND),
            (n.POST, ".well-known/core", n.METHOD_NOT_ALLOWED),
        ]
        for code, path, expected in table:
            answer = device.request(code, path)
            assert answer is not None
            self.assertEqual(n.dotted(answer.code), n.dotted(expected), (code, path))

    def test_discovery(self) -> None:
        """The well-known core lists /rd."""
        answer = self.bench.device("d").request(n.GET, ".well-known/core")
        assert answer is not None
        self.assertEqual((answer.code, answer.content_format), (n.CONTENT, n.LINK_FORMAT))
        self.assertIn(b'</rd>;rt="core.rd"', answer.payload)

    def test_discovery_accepted(self) -> None:
        """The well-known core comes as link format, and not to who accepts something else only (RFC 7252 5.10.4)."""
        device = self.bench.device("d")
        for accept, expected in ((n.LINK_FORMAT, n.CONTENT), (n.CBOR, n.NOT_ACCEPTABLE)):
            asked = options(path=(".well-known", "core"), accept=accept)
            device.send(Message(n.CON, n.GET, accept, b"t%d" % accept, asked))
            answer = device.answer(b"t%d" % accept)
            assert answer is not None
            self.assertEqual((answer.code, bool(answer.payload)), (expected, expected == n.CONTENT))

    def test_non(self) -> None:
        """A Non-confirmable Register is taken, and answered by a message of its own."""
        device = self.bench.device("d")
        answer = device.request(n.POST, "rd", query=("ep=d", "lt=60"), payload=b"</3/0>", content_format=40, kind=n.NON)
        assert answer is not None
        self.assertEqual((answer.type, answer.code), (n.NON, n.CREATED))

    def test_identity(self) -> None:
        """Without ep the name is the credential's; another identity can neither take over nor update."""
        self.bench.identities[peer(1)] = "psk-1"
        device = self.bench.device("", 1)
        device.register("lwm2m=1.1", "lt=60")
        self.assertEqual(list(self.bench.server.devices), ["psk-1"])
        thief = self.bench.device("psk-1", 2)
        refused = thief.register("lwm2m=1.1", "lt=60")
        assert refused is not None
        self.assertEqual(refused.code, n.FORBIDDEN)
        thief.location = device.location
        for answer in (thief.update("lt=90"), thief.update(), thief.deregister()):
            assert answer is not None
            self.assertEqual(answer.code, n.BAD_REQUEST)
        self.assertEqual(self.bench.kinds(), [events.DEVICE_REGISTERED, events.SECURITY_REFUSED])

    def test_full(self) -> None:
        """Beyond the number of devices a new one gets 5.03 with Max-Age; a known one registers again."""
        bench = Bench(ServerSettings(max_devices=1))
        device = bench.registered("a", 1)
        refused = bench.device("b", 2).register("lt=60")
        assert refused is not None
        self.assertEqual((refused.code, refused.max_age), (n.SERVICE_UNAVAILABLE, 60))
        again = device.register("lwm2m=1.1", "lt=90")
        assert again is not None
        self.assertEqual(again.code, n.CREATED)

    def test_names(self) -> None:
        """An endpoint is any string, in any script."""
        for number, name in enumerate(("urn:dev:os:32473-1", "größe/7 ☃", "a&b=c", "x" * 240)):
            self.bench.registered(name, number)
            self.assertIn(name, self.bench.server.devices)

    def test_alike(self) -> None:
        """Of devices that say the same but their names each is admitted or refused for itself, by the rules of now."""
        links = '</>;ct="112 60",</1/0>,</3303/0>'
        for number, name in enumerate(("d-1", "d-2", "d-3")):
            self.bench.registered(name, number, "farm=north", links=links)
        self.bench.server.configure(ServerSettings(policy=Policy(block=("d-5",))), self.bench.now)
        for name, code in (("d-4", n.CREATED), ("d-5", n.FORBIDDEN), ("d\0x", n.BAD_REQUEST), ("d-6", n.CREATED)):
            answer = self.bench.device(name, 9).register("lwm2m=1.1", "lt=300", "farm=north", links=links)
            assert answer is not None
            self.assertEqual(answer.code, code, name)
        found = [device.registration for device in self.bench.server.devices.values()]
        self.assertEqual([each and each.endpoint for each in found], ["d-1", "d-2", "d-3", "d-4", "d-6"])
        self.assertEqual([each and dict(each.labels) for each in found], [{"farm": "north"}] * 5)
        self.assertEqual(len({each and each.id for each in found}), 5)
        self.assertEqual(len({id(each and each.objects) for each in found}), 1)


class CommitTests(SynchronousTestCase):
    """Decide, commit, answer: what is acknowledged is durable, and two decisions on one endpoint don't mix."""

    def setUp(self) -> None:
        self.bench = Bench()

    def test_answered_after_commit(self) -> None:
        """Nothing is answered, and nobody sees the device, before the registration is durable."""
        self.bench.hold()
        device = self.bench.device("d")
        self.assertIsNone(device.register("lt=60"))
        self.assertEqual((dict(self.bench.server.devices), self.bench.events), ({}, []))
        self.bench.release()
        answer = device.answer()
        assert answer is not None
        self.assertEqual((answer.type, answer.code), (n.ACK, n.CREATED))
        self.assertEqual(list(self.bench.tables["registrations"]), ["d"])
        self.assertEqual(self.bench.kinds(), [events.DEVICE_REGISTERED])

    def test_storage_fails(self) -> None:
        """Where nothing can be stored the answer is 5.03 with Max-Age, and nothing has changed."""
        self.bench.failing = True
        answer = self.bench.device("d").register("lt=60")
        assert answer is not None
        self.assertEqual((answer.code, answer.max_age), (n.SERVICE_UNAVAILABLE, 30))
        self.assertEqual((dict(self.bench.server.devices), self.bench.events), ({}, []))
        self.bench.failing = False
        device = self.bench.registered("d")
        self.bench.failing = True
        for changed in (device.update("lt=60"), device.register("lt=60"), device.deregister()):
            assert changed is not None
            self.assertEqual(changed.code, n.SERVICE_UNAVAILABLE)
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual((found.lifetime, found.id), (300, device.location))
        refreshed = device.update()
        assert refreshed is not None
        self.assertEqual(refreshed.code, n.CHANGED)

    def test_duplicates(self) -> None:
        """A retransmission while the commit is under way gets an empty ACK after a second, and one answer in all."""
        self.bench.hold()
        device = self.bench.device("d")
        asked = Message(n.CON, n.POST, 7, b"tok", options(path=("rd",), query=("ep=d",)), b"</3/0>")
        device.send(asked)
        device.send(asked)
        self.assertEqual((device.heard, len(self.bench.held)), ([], 1))
        self.bench.advance(1)
        self.assertEqual([(m.type, m.code, m.mid) for m in device.heard], [(n.ACK, n.EMPTY, 7)])
        self.bench.release()
        self.assertEqual([(m.type, m.code, m.token) for m in device.replies], [(n.CON, n.CREATED, b"tok")])
        device.send(asked)
        self.assertEqual(len(self.bench.tables["registrations"]), 1)

    def test_replayed(self) -> None:
        """A retransmission after the answer gets the same answer again, and nothing is done twice."""
        device = self.bench.registered()
        device.send(Message(n.CON, n.POST, 9, b"x", options(path=("rd",), query=("ep=e",)), b"</3/0>"))
        device.send(Message(n.CON, n.POST, 9, b"x", options(path=("rd",), query=("ep=e",)), b"</3/0>"))
        first, second = device.replies[-2:]
        self.assertEqual(encode(first), encode(second))
        self.assertEqual(len(self.bench.events), 2)

    def test_two_at_once(self) -> None:
        """Of two Registers of one endpoint the second is decided when the first is stored."""
        self.bench.hold()
        one, two = self.bench.device("d", 1), self.bench.device("d", 2)
        one.register("lwm2m=1.1", "lt=60")
        two.register("lwm2m=1.1", "lt=60")
        self.assertEqual(len(self.bench.held), 1)
        self.bench.release(only=1)
        self.assertEqual((len(one.replies), len(two.replies), len(self.bench.held)), (1, 0, 1))
        self.bench.release()
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual((found.peer, len(two.replies)), (peer(2), 1))
        expected = [events.DEVICE_REGISTERED, events.DEVICE_DEREGISTERED, events.DEVICE_REGISTERED]
        self.assertEqual(self.bench.kinds(), expected)

    def test_too_many_at_once(self) -> None:
        """More decisions than can wait for one endpoint are answered with 5.03, and those that wait are all taken."""
        self.bench.hold()
        device = self.bench.device("d")
        for _ in range(12):
            device.register("lt=60")
        refused = [answer for answer in device.replies if answer.code == n.SERVICE_UNAVAILABLE]
        self.assertEqual((len(refused), refused[0].max_age), (3, 5))
        self.bench.release()
        self.assertEqual(len([each for each in device.replies if each.code == n.CREATED]), 9)

    def test_update_waits(self) -> None:
        """An Update waits for a decision that is being stored: what a De-register removed is not refreshed."""
        device = self.bench.registered()
        self.bench.hold()
        self.assertIsNone(device.deregister())
        self.assertIsNone(device.update())
        self.bench.release()
        self.assertEqual([each.code for each in device.replies[-2:]], [n.DELETED, n.NOT_FOUND])


class AgainTests(SynchronousTestCase):
    """Registering again."""

    def setUp(self) -> None:
        self.bench = Bench()

    def test_resumed(self) -> None:
        """The same Register from the same address keeps the Location, and is one event, an update."""
        device = self.bench.registered("d", 1, "b=U", "Q")
        location = device.location
        self.bench.advance(50)
        device.register("lwm2m=1.1", "lt=300", "b=U", "Q")
        self.assertEqual(device.location, location)
        self.assertEqual(self.bench.kinds(), [events.DEVICE_REGISTERED, events.DEVICE_UPDATED])
        self.assertEqual(self.bench.events[-1].fields["reason"], "resumed")
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.assertEqual((found.registered_at, found.updated_at), (START, START + 50))

    def test_replaced(self) -> None:
        """A Register from another address, or with other content, is a new registration; the old Location is gone."""
        for number, query in ((2, ()), (1, ("farm=x",))):
            bench = Bench()
            device = bench.registered()
            old = device.location
            device.move(number)
            device.register("lwm2m=1.1", "lt=300", *query)
            self.assertNotEqual(device.location, old)
            gone = device.request(n.POST, f"rd/{old}")
            assert gone is not None
            self.assertEqual(gone.code, n.NOT_FOUND)
            expected = [events.DEVICE_REGISTERED, events.DEVICE_DEREGISTERED, events.DEVICE_REGISTERED]
            self.assertEqual(bench.kinds(), expected)
            self.assertEqual(bench.events[1].fields["reason"], "replaced")

    def test_shared_address(self) -> None:
        """Several endpoints live at one address; the end of one leaves the others where they are."""
        one, two = self.bench.registered("one", 1), self.bench.registered("two", 1)
        answer = two.deregister()
        assert answer is not None
        self.assertEqual(answer.code, n.DELETED)
        refreshed = one.update()
        self.bench.devices[peer(1)] = one
        refreshed = one.update()
        assert refreshed is not None
        self.assertEqual(refreshed.code, n.CHANGED)
        message = Message(n.NON, n.CONTENT, 1, b"unknown", options(observe=3), b"1")
        self.assertFalse(self.bench.server.unexpected(peer(1), message, self.bench.now))
        one.deregister()
        self.assertTrue(self.bench.server.unexpected(peer(1), message, self.bench.now))

    def test_flat(self) -> None:
        """Thousands of Registers and Updates of a device leave no more behind than one."""
        device = self.bench.registered()
        for number in range(3000):
            device.register("lwm2m=1.1", f"lt={300 + number % 2}")
            device.update(f"lt={400 + number % 2}")
            device.replies.clear()
            device.heard.clear()
        state = self.bench.server._state
        self.assertLess(len(state.deadlines._heap), 3000)
        self.assertEqual((len(state.deadlines), len(state.registrations), len(state.peers._found)), (1, 1, 1))
        self.assertEqual(len(state.busy), 0)
        self.assertEqual(len(self.bench.server._registration.lifetimes.refreshes._fleet), 1)


class UpdateTests(SynchronousTestCase):
    """Update and De-register, as OMA Core 6.2.2 and 6.2.3 have them."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = self.bench.registered("d", 1, "farm=north")
        found = self.bench.server.devices["d"].registration
        assert found is not None
        self.registration = found

    def code(self, *query: str, links: str = "") -> str:
        """The code that an Update is answered with."""
        answer = self.device.update(*query, links=links)
        assert answer is not None
        return n.dotted(answer.code)

    def test_refresh(self) -> None:
        """A pure refresh is answered at once, changes the time only, and is no stored event."""
        self.bench.advance(100)
        self.bench.hold()
        self.assertEqual(self.code(), "2.04")
        self.assertEqual(self.registration.updated_at, START + 100)
        self.assertEqual(self.bench.kinds(), [events.DEVICE_REGISTERED])
        self.assertEqual([event.fields["reason"] for event in self.bench.live], ["refresh"])

    def test_glance(self) -> None:
        """A pure refresh is known by its bytes: not from another address, nor where something waits for the device."""
        known = encode_body(options(path=("rd", self.registration.id)), b"")
        glance, now = self.bench.server.glance, self.bench.now + 7
        other = encode_body(options(path=("rd", self.registration.id), query=("lt=60",)), b"")
        bodies = (known, other, known + b"\xff", b"")
        found = glance.find_all([(b"\x44\x02midtokn"[:8] + body, peer(1)) for body in bodies])
        self.assertEqual(found, [self.registration, None, None, None])
        self.assertEqual(glance.take(self.registration, peer(2), now), 0)
        self.assertEqual(self.registration.updated_at, START)
        self.assertEqual(glance.take(self.registration, peer(1), now), n.CHANGED)
        self.assertEqual(self.registration.updated_at, now)
        self.bench.hold()
        self.assertIsNone(self.device.deregister())
        self.assertEqual(glance.take(self.registration, peer(1), now), 0)

    def test_glance_too_late(self) -> None:
        """An Update behind a De-register in the same batch is about no registration any more."""
        registration = self.registration
        path = options(path=("rd", registration.id))
        batch = [
            (encode(Message(n.CON, code, 900 + number, b"tok%d" % number, path)), peer(1))
            for number, code in enumerate((n.POST, n.DELETE, n.POST))
        ]
        answers = self.bench.engine.receive(batch, self.bench.now)
        self.bench.settle()
        first, second, third = (decode(data) for data, _ in answers), *map(self.device.answer, (b"tok1", b"tok2"))
        self.assertEqual([n.dotted(each.code) for each in (*first, second, third) if each], ["2.04", "2.02", "4.04"])
        self.assertIsNone(self.bench.server.devices["d"].registration)

    def test_changes(self) -> None:
        """Parameters that say something new are stored, then answered, and told as one event with what changed."""
        table: list[tuple[tuple[str, ...], str, list[str]]] = [
            (("lt=60",), "", ["lifetime"]),
            (("lt=60",), "", []),
            (("b=U",), "", []),
            (("b=UQ",), "", ["queue_mode"]),
            (("b=UT", "Q"), "", ["binding"]),
            (("b=U",), "", ["binding", "queue_mode"]),
            (("Q",), "", ["queue_mode"]),
            (("sms=123",), "", ["sms"]),
            (("farm=south", "row=1"), "", ["labels"]),
            ((), "</1/0>,</3/0>,</5/0>,</3303/0>", []),
            ((), "</1/0>,</3/0>", ["objects"]),
            (("ep=other", "lwm2m=1.2"), "", []),
        ]
        for query, links, changed in table:
            before = len(self.bench.events)
            self.assertEqual(self.code(*query, links=links), "2.04", query)
            told = [event.fields["changed"] for event in self.bench.events[before:]]
            self.assertEqual(told, [changed] if changed else [], query)
        self.assertEqual(self.registration.labels, {"farm": "south", "row": "1"})
        self.assertEqual([str(path) for path in self.registration.objects.paths], ["/1/0", "/3/0"])
        reasons = [event.fields["reason"] for event in self.bench.live if event.type == events.DEVICE_UPDATED]
        self.assertEqual(reasons, ["refresh"] * len([row for row in table if not row[2]]))

    def test_changed_labels_told(self) -> None:
        """The event about changed labels carries the new ones, those of the operator on top."""
        self.bench.server.amend("d", self.bench.now, lambda ok, now: None, labels={"row": "4"})
        self.bench.settle()
        self.code("farm=west", "row=1")
        self.assertEqual(self.bench.events[-1].labels, {"farm": "west", "row": "4"})

    def test_refused(self) -> None:
        """Bad parameters are 4.00 and change nothing."""
        for query in (("lt=x",), ("b=XX",), ("Q=1",), ("sms=x",), ("x=" + "y" * 200,)):
            self.assertEqual(self.code(*query), "4.00", query)
        self.assertEqual(self.code(links="<"), "4.00")
        self.assertEqual((self.registration.lifetime, self.registration.updated_at), (300, START))

    def test_labels_bounded(self) -> None:
        """One Update after another can't pile up labels without end."""
        for number in range(15):
            self.assertEqual(self.code(f"label{number}=x"), "2.04")
        self.assertEqual(self.code("one=more"), "4.00")
        self.assertEqual(len(self.registration.labels), 16)

    def test_moved(self) -> None:
        """An Update from another address is answered there, moves the registration, and is a live event."""
        self.bench.advance(10)
        self.device.move(2)
        self.assertEqual(self.code(), "2.04")
        self.assertEqual(self.registration.peer, peer(2))
        self.assertEqual([event.fields["reason"] for event in self.bench.live], ["address"])
        self.bench.server.flush(self.bench.now)
        self.bench.settle()
        after, _ = self.bench.restart()
        found = after.server.devices["d"].registration
        assert found is not None
        self.assertEqual(found.peer, peer(2))

    def test_moved_and_changed(self) -> None:
        """Another address and another lifetime in one Update are stored together, in one event."""
        self.device.move(2)
        self.assertEqual(self.code("lt=60"), "2.04")
        self.assertEqual((self.registration.peer, self.registration.lifetime), (peer(2), 60))
        self.assertEqual(self.bench.events[-1].fields["address"], "peer-2")
        after, _ = self.bench.restart()
        found = after.server.devices["d"].registration
        assert found is not None
        self.assertEqual((found.peer, found.lifetime), (peer(2), 60))

    def test_deregister(self) -> None:
        """A De-register is answered with 2.02 when it is stored; then the Location is gone, the device still known."""
        self.bench.hold()
        self.assertIsNone(self.device.deregister())
        self.assertIsNotNone(self.bench.server.devices["d"].registration)
        self.bench.release()
        answer = self.device.answer()
        assert answer is not None
        self.assertEqual(answer.code, n.DELETED)
        self.assertEqual(self.bench.kinds()[-1], events.DEVICE_DEREGISTERED)
        self.assertEqual(self.bench.server.devices["d"].state(self.bench.now), "offline")
        self.assertEqual((self.bench.tables["registrations"], list(self.bench.tables["devices"])), ({}, ["d"]))
        self.assertEqual(self.code(), "4.04")


class LifetimeTests(SynchronousTestCase):
    """The end of a lifetime, and what a restart makes of it."""

    def test_expiry(self) -> None:
        """A registration ends when lifetime and grace are over since the last Update, not before."""
        bench = Bench(ServerSettings(grace=30))
        device = bench.registered()
        bench.advance(200)
        device.update()
        bench.advance(329.999)
        self.assertIsNotNone(bench.server.devices["d"].registration)
        bench.advance(0.001)
        self.assertIsNone(bench.server.devices["d"].registration)
        self.assertEqual((bench.kinds()[-1], bench.now), (events.DEVICE_EXPIRED, START + 530))
        self.assertEqual(bench.tables["registrations"], {})
        answer = device.update()
        assert answer is not None
        self.assertEqual(answer.code, n.NOT_FOUND)

    def test_infinite(self) -> None:
        """An infinite lifetime never ends."""
        bench = Bench()
        bench.device("d").register("lwm2m=1.1", "lt=0")
        bench.advance(1e9)
        self.assertIsNotNone(bench.server.devices["d"].registration)

    def test_shortened(self) -> None:
        """A lifetime that an Update shortened is over earlier."""
        bench = Bench()
        device = bench.registered()
        device.update("lt=60")
        bench.advance(60)
        self.assertIsNone(bench.server.devices["d"].registration)

    def test_expiry_not_stored(self) -> None:
        """An expiry that can't be stored is tried again until it is."""
        bench = Bench()
        bench.registered()
        bench.failing = True
        bench.advance(310)
        self.assertIsNotNone(bench.server.devices["d"].registration)
        bench.failing = False
        bench.advance(10)
        self.assertIsNone(bench.server.devices["d"].registration)

    def test_expiry_while_busy(self) -> None:
        """An expiry that finds too much being decided for the endpoint comes back."""
        bench = Bench()
        device = bench.registered()
        bench.hold()
        for _ in range(10):
            device.update("lt=299")
        bench.advance(400)
        bench.release(ok=False)
        bench.advance(400)
        self.assertIsNone(bench.server.devices["d"].registration)

    def test_written_behind(self) -> None:
        """Refreshes reach the storage with the flush, and a restart finds the newest."""
        bench = Bench()
        device = bench.registered()
        bench.server.start(bench.now)
        bench.settle()
        bench.advance(100)
        device.update()
        self.assertEqual(bench.tables["refreshes"], {})
        bench.advance(5)
        self.assertEqual(list(bench.tables["refreshes"]), ["d"])
        after, faults = bench.restart()
        found = after.server.devices["d"].registration
        assert found is not None
        self.assertEqual((found.updated_at, faults), (START + 100, []))

    def test_flush_fails(self) -> None:
        """Refreshes that could not be stored are stored with the next flush, and no flush claims otherwise."""
        bench = Bench()
        device = bench.registered()
        bench.server.start(bench.now)
        bench.settle()
        alive = bench.tables["meta"]["alive"]
        bench.advance(10)
        device.update()
        bench.failing = True
        bench.advance(6)
        self.assertEqual(bench.tables["refreshes"], {})
        bench.failing = False
        self.assertLess(float(alive), bench.now)
        self.assertLessEqual(float(bench.tables["meta"]["alive"]), START + 10)
        bench.advance(5)
        self.assertEqual(list(bench.tables["refreshes"]), ["d"])
        self.assertGreater(float(bench.tables["meta"]["alive"]), START + 16)

    def test_downtime(self) -> None:
        """After a start nothing expires before the downtime and a flush interval were granted again."""
        bench = Bench()
        bench.registered()
        bench.server.start(bench.now)
        bench.settle()
        after, _ = bench.restart(downtime=1000)
        after.advance(300 + 4)
        self.assertIsNotNone(after.server.devices["d"].registration)
        after.advance(2)
        self.assertIsNone(after.server.devices["d"].registration)

    def test_crash_loop(self) -> None:
        """What was granted for a long downtime is not lost by a second start soon after."""
        bench = Bench()
        bench.registered()
        bench.server.start(bench.now)
        bench.settle()
        first, _ = bench.restart(downtime=1000)
        first.advance(6)
        second, _ = first.restart(downtime=1)
        second.advance(200)
        self.assertIsNotNone(second.server.devices["d"].registration)
        second.advance(200)
        self.assertIsNone(second.server.devices["d"].registration)

    def test_restored(self) -> None:
        """A restarted server knows the registration by its Location, and everything that it said."""
        bench = Bench()
        links = '</lwm2m>;rt="oma.lwm2m";ct=11542,</lwm2m/3>;ver=1.2,</lwm2m/3/0>'
        device = bench.registered("d", 1, "b=U", "Q", "sms=12", "farm=north", links=links)
        before = bench.server.devices["d"].registration
        after, faults = bench.restart(10)
        found = after.server.devices["d"].registration
        assert found is not None
        assert before is not None
        names = ("id", "peer", "version", "lifetime", "binding", "queue_mode", "sms", "labels", "objects")
        for name in names:
            self.assertEqual(getattr(found, name), getattr(before, name))
        answer = device.update()
        assert answer is not None
        self.assertEqual((answer.code, faults), (n.CHANGED, []))

    def test_one_row(self) -> None:
        """A device of which nothing but its registration is known has one row, and is whole after a restart."""
        bench = Bench()
        bench.registered("d", 1)
        self.assertEqual((list(bench.tables["registrations"]), list(bench.tables["devices"])), (["d"], []))
        after, faults = bench.restart(10)
        device = after.server.devices["d"]
        self.assertEqual((faults, device.last_seen, device.secured, device.labels), ([], bench.now, False, None))
        after.advance(400)
        self.assertEqual((list(after.tables["registrations"]), list(after.tables["devices"])), ([], ["d"]))

    def test_shared_lists(self) -> None:
        """Devices that registered the same Objects share one list, after a restart, too."""
        bench = Bench()
        for number in range(3):
            bench.registered(f"d{number}", number, links=LINKS if number else "</3/0>")
        for each in (bench, bench.restart()[0]):
            found = [each.server.devices[f"d{number}"].registration for number in range(3)]
            lists = [id(registration.objects) for registration in found if registration is not None]
            self.assertEqual((len(lists), lists[1] == lists[2], lists[0] == lists[1]), (3, True, False))

    def test_broken_rows(self) -> None:
        """Rows that make no sense are named, each, and keep nobody else out."""
        bench = Bench()
        bench.registered("good", 1)
        for table in ("registrations", "refreshes", "devices", "observations", "operations", "twin"):
            bench.tables[table]["bad"] = b"{"
        bench.tables["registrations"]["worse"] = bench.tables["registrations"]["good"].replace(b"/3/0", b"/x/0")
        bench.tables["refreshes"]["good"] = b"[]"
        bench.tables["meta"]["alive"] = b"soon"
        after, faults = bench.restart()
        self.assertEqual(len(faults), 8)
        self.assertTrue(all("'" in fault for fault in faults))
        self.assertIsNotNone(after.server.devices["good"].registration)


class OperatorTests(SynchronousTestCase):
    """What the operator changes of a device, beside what the device itself changes at the same time."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.outcomes: list[bool] = []

    def done(self, ok: bool, now: float) -> None:
        """Take an outcome."""
        self.outcomes.append(ok)

    def test_labels_together(self) -> None:
        """Two changes of labels under way at once are both there in the end, in memory and in storage."""
        self.bench.registered()
        self.bench.hold()
        self.bench.server.amend("d", self.bench.now, self.done, labels={"a": "1"})
        self.bench.server.amend("d", self.bench.now, self.done, labels={"b": "2"})
        self.bench.settle()
        self.bench.release()
        self.assertEqual((self.bench.server.devices["d"].labels, self.outcomes), ({"a": "1", "b": "2"}, [True, True]))
        after, _ = self.bench.restart()
        self.assertEqual(after.server.devices["d"].labels, {"a": "1", "b": "2"})

    def test_labels_and_deregister(self) -> None:
        """A De-register that is decided meanwhile does not write the old labels back."""
        device = self.bench.registered()
        self.bench.hold()
        self.bench.server.amend("d", self.bench.now, self.done, labels={"a": "1"})
        self.bench.settle()
        device.deregister()
        self.bench.release()
        after, _ = self.bench.restart()
        self.assertEqual(after.server.devices["d"].labels, {"a": "1"})

    def test_labels_not_stored(self) -> None:
        """Labels that could not be stored are not there."""
        self.bench.registered()
        self.bench.failing = True
        self.bench.server.amend("d", self.bench.now, self.done, labels={"a": "1"})
        self.bench.settle()
        self.assertEqual((self.bench.server.devices["d"].labels, self.outcomes), (None, [False]))

    def test_forget(self) -> None:
        """A device that is forgotten leaves nothing behind, and its Location is gone."""
        device = self.bench.registered()
        self.bench.submit("d", "observe", "/3303/0/5700")
        self.bench.server.forget("d", self.bench.now, self.done)
        self.bench.settle()
        self.assertEqual((dict(self.bench.server.devices), dict(self.bench.server.observations)), ({}, {}))
        left = {name: rows for name, rows in self.bench.tables.items() if rows and name not in ("meta", "operations")}
        self.assertEqual((left, self.outcomes), ({}, [True]))
        answer = device.update()
        assert answer is not None
        self.assertEqual(answer.code, n.NOT_FOUND)
        gone = [event for event in self.bench.events if event.type == events.DEVICE_DEREGISTERED]
        self.assertEqual([event.fields["reason"] for event in gone], ["removed"])

    def test_forget_during_register(self) -> None:
        """Forgetting waits for a Register that is being stored, and then forgets that, too."""
        device = self.bench.registered()
        self.bench.hold()
        device.register("lwm2m=1.1", "lt=60")
        self.bench.server.forget("d", self.bench.now, self.done)
        self.bench.settle()
        self.bench.release()
        self.assertEqual((dict(self.bench.server.devices), self.bench.tables["registrations"]), ({}, {}))
        self.assertEqual((len(self.bench.server._state.registrations), self.bench.server._state.peers._found), (0, {}))

    def test_register_during_forget(self) -> None:
        """A Register that comes while a device is being forgotten is a new device's."""
        device = self.bench.registered()
        self.bench.server.amend("d", self.bench.now, self.done, labels={"a": "1"})
        self.bench.settle()
        self.bench.hold()
        self.bench.server.forget("d", self.bench.now, self.done)
        self.bench.settle()
        device.register("lwm2m=1.1", "lt=60")
        self.bench.release()
        self.assertIsNone(self.bench.server.devices["d"].labels)
        after, _ = self.bench.restart()
        found = after.server.devices["d"]
        assert found.registration is not None
        self.assertEqual((found.labels, found.registration.lifetime), (None, 60))

    def test_forget_fails(self) -> None:
        """A device whose rows could not be removed is still there."""
        device = self.bench.registered()
        self.bench.failing = True
        self.bench.server.forget("d", self.bench.now, self.done)
        self.bench.settle()
        answer = device.update()
        assert answer is not None
        self.assertEqual((answer.code, self.outcomes), (n.CHANGED, [False]))

    def test_forget_twice(self) -> None:
        """Forgetting a device twice at once is no error."""
        self.bench.registered()
        self.bench.hold()
        for _ in range(2):
            self.bench.server.forget("d", self.bench.now, self.done)
            self.bench.settle()
        self.bench.release()
        self.assertEqual(self.outcomes, [True, True])

    def test_forget_during_observe(self) -> None:
        """A wish that is being stored while its device is forgotten leaves nothing behind."""
        self.bench.registered()
        self.bench.hold()
        self.bench.server.forget("d", self.bench.now, self.done)
        self.bench.settle()
        operation = self.bench.submit("d", "observe", "/3303/0/5700")
        self.bench.release()
        self.assertEqual((operation.state, self.bench.tables["observations"]), ("failed", {}))
        self.assertEqual(dict(self.bench.server.observations), {})

    def test_rows_of_nobody(self) -> None:
        """Rows that were left of a device that is forgotten are removed at the next start."""
        self.bench.registered()
        self.bench.submit("d", "observe", "/3303/0/5700")
        self.bench.tables["twin"]["/3/0/0 d"] = b'["plain","x",1.0,"read"]'
        self.bench.tables["registrations"].clear()
        self.bench.tables["devices"].clear()
        after, faults = self.bench.restart()
        self.assertEqual((after.tables["twin"], after.tables["observations"], faults), ({}, {}, []))
