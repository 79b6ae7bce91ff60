"""Tests of lwm2md.server.profiling, definitions, deviceprofiles, amendments and identifying: who is treated how."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server import stored
from lwm2md.server.definitions import Definition
from lwm2md.server.deviceprofiles import FIELDS, UNSAID, Learned, ProfileValues, merged
from lwm2md.server.errors import BadOperation, LimitReached, ShippedProfile, UnknownDevice, UnknownDeviceProfile
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench, FakeDevice

SHIPPED = (files("lwm2md.server") / "deviceprofiles.json").read_text(encoding="utf-8")
OURS = '[{"name": "acme", "match": {"manufacturer": "Acme*"}, "set": {"awake": 7, "block_size": 64}}]'
IDENTITY = {"/3/0/0": b"Acme Inc.", "/3/0/1": b"T1000", "/3/0/3": b"1.2.3"}


def definition(name: str, **fields: Any) -> Definition:
    """A definition as the API would decode it."""
    return msgspec.convert({"name": name, **fields}, Definition)


class ProfilingCase(SynchronousTestCase):
    """One server that has started, and a device."""

    settings = ServerSettings(flush_interval=86400.0)

    def setUp(self) -> None:
        self.bench = Bench(self.settings)
        self.bench.server.start(self.bench.now)
        self.ended: list[bool] = []

    def put(self, name: str, **fields: Any) -> None:
        """Put a definition in force."""
        self.bench.server.device_profiles.put(definition(name, **fields), lambda ok, now: self.ended.append(ok))
        self.bench.settle()

    def give(self, name: str | None, endpoint: str = "d") -> None:
        """Give a device a profile by hand."""
        self.bench.server.amend(endpoint, self.bench.now, lambda ok, now: self.ended.append(ok), profile=name)
        self.bench.settle()

    def awake(self, endpoint: str = "d") -> float | None:
        """How long the profile says that a device listens."""
        return self.bench.server._state.profile(self.bench.server.devices[endpoint]).awake

    def speaking(self, endpoint: str = "d", number: int = 1, *query: str) -> FakeDevice:
        """A registered device that says what it is."""
        device = self.bench.device(endpoint, number)
        self.say(device, IDENTITY)
        device.register("lwm2m=1.1", "lt=300", *query)
        return device

    @staticmethod
    def say(device: FakeDevice, said: dict[str, bytes]) -> None:
        """Let a device say what it is."""
        for path, value in said.items():
            device.answers[n.GET, path] = Answer(n.CONTENT, value, n.TEXT)


class MatchTests(ProfilingCase):
    """Which definitions are for a device."""

    def test_none(self) -> None:
        """A device of which nobody says anything has the profile that says nothing, shared by all such devices."""
        self.bench.registered("a", 1)
        self.bench.registered("b", 2)
        found = [self.bench.server._state.profile(self.bench.server.devices[name]) for name in "ab"]
        self.assertTrue(all(each is UNSAID for each in found))

    def test_only_named(self) -> None:
        """Of a device of which only the name is known, patterns on names fit, and labels that it must not have."""
        self.bench.registered("urn:dev:1", 1)
        fields = {"named": {"endpoint": "urn:dev:*"}, "other": {"labels": "farm!=south"}}
        for name, match in fields.items():
            for wanted, awake in ((match, 7.0), ({**match, "model": "T*"}, None), ({"labels": "farm=south"}, None)):
                self.put(name, match=wanted, set={"awake": awake} if awake else {"awake": 9})
                self.assertEqual(self.awake("urn:dev:1"), awake, wanted)

    def test_patterns(self) -> None:
        """All patterns of a definition must match; one without patterns is for nobody; capitals count."""
        device = self.speaking("urn:dev:1", 1, "farm=north")
        for path in IDENTITY:
            self.bench.submit("urn:dev:1", "read", path)
        del device
        for match, fits in (
            ({}, False),
            ({"manufacturer": "Acme*"}, True),
            ({"manufacturer": "acme*"}, False),
            ({"manufacturer": "Acme*", "model": "T[12]000"}, True),
            ({"manufacturer": "Acme*", "model": "T2000"}, False),
            ({"firmware": "1.2.?"}, True),
            ({"firmware": "1.2"}, False),
            ({"endpoint": "urn:dev:*"}, True),
            ({"labels": "farm=north"}, True),
            ({"labels": "farm!=north"}, False),
            ({"labels": "farm=north", "endpoint": "x"}, False),
            ({"labels": ""}, True),
        ):
            self.put("p", match=match, set={"awake": 5})
            self.assertEqual(self.awake("urn:dev:1"), 5 if fits else None, match)

    def test_precedence(self) -> None:
        """By hand, then priority, then name, then shipped; each value comes from the first that says it."""
        self.bench.server.device_profiles.ship(
            '[{"name": "z", "match": {"endpoint": "*"}, "priority": 99, "set": {"awake": 1, "nat": 1, "grace": 1}}]'
        )
        self.bench.registered("d")
        self.put("b", match={"endpoint": "*"}, set={"awake": 2, "nat": 2})
        self.put("a", match={"endpoint": "*"}, set={"awake": 3})
        self.assertEqual(self.awake(), 3)
        self.put("b", match={"endpoint": "*"}, set={"awake": 2, "nat": 2}, priority=1)
        self.assertEqual(self.awake(), 2)
        self.put("mine", set={"awake": 4})
        self.give("mine")
        device, profiles = self.bench.server.devices["d"], self.bench.server.device_profiles
        profile = self.bench.server._state.profile(device)
        self.assertEqual((profile.name, profile.awake, profile.nat, profile.grace), ("mine", 4, 2, 1))
        self.assertEqual(profiles.names(device), ("mine", "b", "a", "z"))
        sources = {name: (said.value, said.layer, said.profile) for name, said in profiles.values(device).items()}
        self.assertEqual(
            sources, {"awake": (4, "hand", "mine"), "nat": (2, "profile", "b"), "grace": (1, "shipped", "z")}
        )
        self.give(None)
        self.assertEqual(self.awake(), 2)

    def test_labels_change(self) -> None:
        """Labels of the operator and of the device count as soon as they are changed."""
        self.put("north", match={"labels": "farm=north"}, set={"awake": 5})
        device = self.bench.registered("d")
        self.assertIsNone(self.awake())
        device.update("farm=north")
        self.assertEqual(self.awake(), 5)
        self.bench.server.amend("d", self.bench.now, lambda ok, now: None, labels={"farm": "south"})
        self.bench.settle()
        self.assertIsNone(self.awake())
        self.bench.server.amend("d", self.bench.now, lambda ok, now: None, labels={"farm": None})
        self.bench.settle()
        self.assertEqual(self.awake(), 5)

    def test_values_change(self) -> None:
        """What a device says of itself counts as soon as it says something else."""
        self.put("old", match={"firmware": "1.*"}, set={"awake": 5})
        device = self.speaking()
        self.bench.submit("d", "read", "/3/0/3")
        self.assertEqual(self.awake(), 5)
        self.say(device, {"/3/0/3": b"2.0"})
        self.bench.submit("d", "read", "/3/0/3")
        self.assertIsNone(self.awake())

    def test_fewer_observations(self) -> None:
        """What a device has shown that it keeps counts where that is less than what a profile says."""
        profiles = self.bench.server.device_profiles
        self.bench.registered()
        device = self.bench.server.devices["d"]
        self.put("p", set={"observations": 20})
        self.give("p")
        for shown, value, layer, profile in ((5, 5, "learned", None), (30, 20, "hand", "p"), (None, 20, "hand", "p")):
            profiles.learn(device, Learned(observations=shown))
            self.assertEqual(self.bench.server._state.profile(device).observations, value)
            said = profiles.values(device)["observations"]
            self.assertEqual((said.value, said.layer, said.profile), (value, layer, profile))

    def test_merged(self) -> None:
        """False and 0 are said, None is not."""
        found = merged("p", [ProfileValues(fetch=False, observations=0), ProfileValues(fetch=True, nat=3)])
        self.assertEqual((found.fetch, found.observations, found.nat, found.name), (False, 0, 3, "p"))


class DefinitionsTests(ProfilingCase):
    """How definitions come and go."""

    def test_shipped(self) -> None:
        """Each shipped definition can be read, says something, why, and for whom; a name stands once."""
        found = msgspec.json.decode(SHIPPED, type=list[Definition])
        self.assertTrue(all(each.note and each.match != each.match.__class__() for each in found))
        self.assertTrue(all(any(getattr(each.set, name) is not None for name in FIELDS) for each in found))
        self.assertEqual(len({each.name for each in found}), len(found))
        self.bench.server.device_profiles.ship(SHIPPED)
        self.bench.registered("d", 1, "network=nb-iot")
        profile = self.bench.server._state.profile(self.bench.server.devices["d"])
        self.assertEqual((profile.name, profile.ack_timeout), ("nb-iot", 15))

    def test_overridden(self) -> None:
        """A definition of the operator stands in for the shipped one of its name, until it is taken back."""
        profiles = self.bench.server.device_profiles
        profiles.ship(OURS)
        self.speaking()
        self.bench.submit("d", "read", "/3/0/0")
        self.assertEqual(self.awake(), 7)
        self.put("acme")
        self.assertEqual((self.awake(), profiles.is_shipped("acme")), (None, False))
        profiles.remove("acme", lambda ok, now: self.ended.append(ok))
        self.bench.settle()
        self.assertEqual((self.awake(), profiles.is_shipped("acme"), self.ended), (7, True, [True, True]))
        self.assertRaises(ShippedProfile, profiles.remove, "acme", print)
        self.assertRaises(UnknownDeviceProfile, profiles.remove, "none", print)

    def test_refused(self) -> None:
        """A wrong selector, a name that is none, a profile too many, and one that is not there are refused."""
        profiles = self.bench.server.device_profiles
        for name, fields, where in (("p", {"match": {"labels": "x"}}, "match.labels"), ("a\nb", {}, "name")):
            error = self.assertRaises(BadOperation, profiles.put, definition(name, **fields), print)
            self.assertEqual(error.field, where)
        self.bench.server.configure(ServerSettings(device_profiles=1), self.bench.now)
        self.put("a")
        self.put("a", priority=1)
        self.assertRaises(LimitReached, profiles.put, definition("b"), print)
        self.bench.registered("d")
        self.assertRaises(BadOperation, self.give, "b")
        self.assertRaises(UnknownDevice, self.give, "a", "nobody")

    def test_storage(self) -> None:
        """A definition is in force when it is durable, not where the storage fails, and after a restart."""
        self.bench.registered("d")
        self.bench.failing = True
        self.put("p", match={"endpoint": "d"}, set={"awake": 5})
        self.assertEqual((self.awake(), self.ended), (None, [False]))
        self.bench.failing = False
        self.put("p", match={"endpoint": "d"}, set={"awake": 5})
        self.put("q", set={"grace": 6})
        self.give("q")
        other, faults = self.bench.restart()
        device = other.server.devices["d"]
        profile = other.server._state.profile(device)
        self.assertEqual((faults, profile.awake, profile.grace, device.hand), ([], 5, 6, "q"))
        other.tables[stored.DEVICE_PROFILES]["bad"] = b"{}"
        self.assertEqual(len(other.restart()[1]), 1)

    def test_hand_stays(self) -> None:
        """A profile by hand stands over a new registration and the end of one, and keeps the device known."""
        self.put("q", set={"awake": 6})
        device = self.bench.registered("d")
        self.give("q")
        device.deregister()
        self.bench.advance(40 * 86400)
        self.assertIn("d", self.bench.server.devices)
        device.register("lwm2m=1.1", "lt=300")
        self.assertEqual(self.awake(), 6)
        self.bench.server.device_profiles.remove("q", lambda ok, now: None)
        self.bench.settle()
        self.assertEqual((self.awake(), self.bench.server.devices["d"].hand), (None, "q"))


class IdentifyingTests(ProfilingCase):
    """Devices are asked what they are, if that counts."""

    def asked(self, device: FakeDevice) -> list[str]:
        """The paths that were read."""
        return ["/" + "/".join(each.path) for each in device.requests]

    def test_asked_once(self) -> None:
        """What the operator's profiles need is read after the first registration, and not again."""
        self.bench.server.device_profiles.ship(OURS)
        self.assertEqual(self.asked(self.speaking("other", 2)), [])
        self.put("p", match={"manufacturer": "Acme*", "firmware": "1.*"}, set={"awake": 5})
        device = self.bench.device("d", 1)
        self.say(device, IDENTITY)
        device.register("lwm2m=1.1", "lt=300")
        self.assertEqual((self.asked(device), self.awake()), (["/3/0/0", "/3/0/3"], 5))
        device.register("lwm2m=1.1", "lt=600")
        self.assertEqual(len(device.requests), 2)

    def test_known_fleet(self) -> None:
        """A device that is registered already is asked when a profile needs it."""
        device = self.speaking()
        self.put("p", match={"model": "T*"}, set={"awake": 5})
        self.assertEqual((self.asked(device), self.awake()), (["/3/0/1"], 5))

    def test_behind_the_operator(self) -> None:
        """What the operator asks goes first."""
        self.put("p", match={"model": "T*", "firmware": "1.*"}, set={"awake": 5})
        device = self.bench.registered("d", 1)
        self.bench.submit("d", "read", "/5/0/3")
        for _ in range(3):
            device.reply(Answer(n.CONTENT, b"1", n.TEXT))
        self.assertEqual(self.asked(device), ["/3/0/1", "/5/0/3", "/3/0/3"])

    def test_refused(self) -> None:
        """A device that refuses is not asked again, not after a restart either; one that was silent is."""
        self.put("p", match={"model": "T*"}, set={"awake": 5})
        device = self.bench.registered("d", 1)
        self.bench.advance(120)
        device.register("lwm2m=1.1", "lt=600")
        device.reply(Answer(n.NOT_FOUND))
        self.bench.advance(10)
        count = len(device.requests)
        device.register("lwm2m=1.1", "lt=700")
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        other, _ = self.bench.restart()
        device.register("lwm2m=1.1", "lt=800")
        self.assertEqual(len(device.requests), count)
        self.assertEqual(other.server.devices["d"].learned, Learned(nameless=True))

    def test_off(self) -> None:
        """The settings can forbid it, and a device without the Device Object is not asked."""
        self.put("p", match={"model": "T*"}, set={"awake": 5})
        self.assertEqual(self.asked(self.bench.registered("a", 2, links="</1/0>")), [])
        self.bench.server.configure(ServerSettings(identify=False), self.bench.now)
        self.assertEqual(self.asked(self.bench.registered("d", 1)), [])


class PeerTests(ProfilingCase):
    """Transmission parameters by the address of a device."""

    def special(self) -> dict[bytes, float | None]:
        """The addresses with an ACK_TIMEOUT of their own."""
        return {peer: profile.ack_timeout for peer, profile in self.bench.server.device_profiles.special.items()}

    def test_follow(self) -> None:
        """They follow a device to another address and end with its registration; others have none."""
        self.put("slow", match={"labels": "network=nb-iot"}, set={"ack_timeout": 15})
        device = self.bench.registered("d", 1, "network=nb-iot")
        self.bench.registered("other", 2)
        self.assertEqual(self.special(), {b"peer-1": 15})
        self.bench.advance(10)
        device.move(7)
        device.update()
        self.assertEqual(self.special(), {b"peer-7": 15})
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        other, _ = self.bench.restart()
        self.assertEqual(
            {peer: each.ack_timeout for peer, each in other.server.device_profiles.special.items()}, {b"peer-7": 15}
        )
        device.deregister()
        self.assertEqual(other.server.device_profiles.special, {})

    def test_restart_passes_over(self) -> None:
        """After a restart a device of which nothing is known is passed over, unless a definition may fit it."""
        self.put("slow", match={"labels": "network=nb-iot"}, set={"ack_timeout": 15})
        for number in range(600):
            self.bench.registered(f"d{number}", number)
        self.bench.registered("last", 999, "network=nb-iot")
        other, _ = self.bench.restart()
        other.advance(1)
        self.assertEqual(tuple(other.server.device_profiles.special), (b"peer-999",))
        self.assertEqual([each.endpoint for each in other.server.devices.values() if each.profile], ["last"])
        self.put("named", match={"endpoint": "d1"}, set={"max_retransmit": 1})
        other, _ = self.bench.restart()
        other.advance(1)
        self.assertEqual(sorted(other.server.device_profiles.special), [b"peer-1", b"peer-999"])

    def test_changed(self) -> None:
        """They come and go with the definitions, for a fleet bit by bit."""
        for number in range(600):
            self.bench.registered(f"d{number}", number)
        self.put("slow", match={"endpoint": "d*"}, set={"max_retransmit": 1})
        self.assertEqual(len(self.special()), 250)
        self.bench.advance(1)
        self.assertEqual(len(self.special()), 600)
        self.put("slow", match={"endpoint": "d1"}, set={"max_retransmit": 1})
        self.bench.advance(1)
        self.assertEqual(list(self.special()), [b"peer-1"])


class FormatTests(ProfilingCase):
    """The formats of a profile are tried first."""

    def test_read_and_write(self) -> None:
        """A Read asks for them, a Write is made in them, where they can hold what is meant."""
        device = self.bench.registered("d")
        self.put("p", match={"endpoint": "d"}, set={"formats": ["text", "senml-json"]})
        self.bench.submit("d", "read", "/3/0/0")
        device.reply(Answer(n.CONTENT, b"x", n.TEXT))
        self.bench.submit("d", "read", "/3/0")
        device.reply(Answer(n.CONTENT, b"[]", n.SENML_JSON))
        self.bench.submit("d", "write", "/3303/0", values={"5750": "x"}, force=True)
        device.reply(Answer(n.CHANGED))
        self.bench.submit("d", "read-composite", None, paths=("/3/0/0",))
        accepts = [(each.accept, each.content_format) for each in device.requests]
        json = n.SENML_JSON
        self.assertEqual(accepts, [(n.TEXT, None), (json, None), (None, json), (json, json)])
