"""Devices behind a gateway: how they come, what reaches them, how they go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.paths import Path
from lwm2md.security.rules import Policy
from lwm2md.server.errors import NotRegistered
from lwm2md.server.gateways import children_of, listed
from lwm2md.server.records import OperationRequest, Registration, TwinValue
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench, FakeDevice, peer

LINKS = "</1/0>,</3/0>,</25/0>,</25/1>"


def instance(number: int, device_id: str, prefix: str, objects: str) -> bytes:
    """An instance of Object 25 in TLV."""
    content = record(0, device_id) + record(1, prefix) + record(3, objects)
    return bytes((0x10 if len(content) > 255 else 0x08, number, *length(content))) + content


def record(identifier: int, text: str) -> bytes:
    """A Resource in TLV with a length of one or two bytes."""
    data = text.encode()
    return bytes((0xD0 if len(data) > 255 else 0xC8, identifier, *length(data))) + data


def length(data: bytes) -> bytes:
    """The length of a TLV in as few bytes as it needs."""
    return len(data).to_bytes(2 if len(data) > 255 else 1, "big")


D01 = instance(0, "sensor-1", "d01", "</d01/3/0>,</d01/3303/0>;ver=1.1,</d01/3303/1>")
D02 = instance(1, "sensor-2", "d02", "</3/0>,</3304/0>")


def gateway(bench: Bench, content: bytes = D01 + D02, links: str = LINKS, *query: str) -> FakeDevice:
    """A gateway that has registered, and was read."""
    device = bench.device("gw")
    device.answers[n.GET, "/25"] = Answer(payload=content, content_format=n.TLV)
    device.answers[n.GET, "/d01/3303/0/5700"] = Answer(payload=b"21.5", content_format=n.TEXT)
    device.answers[n.GET, "/d02/3304/0/5700"] = Answer(payload=b"40", content_format=n.TEXT)
    device.register("lwm2m=1.1", "lt=300", *query, links=links)
    return device


def paths(device: FakeDevice) -> list[str]:
    """The paths of the requests that came so far."""
    return ["/" + "/".join(request.path) for request in device.requests]


class ComingTests(SynchronousTestCase):
    """How those behind a gateway become devices."""

    def setUp(self) -> None:
        self.bench = Bench()

    def test_blocked(self) -> None:
        """A name that the operator has blocked is not to be had from behind a gateway either."""
        bench = Bench(ServerSettings(policy=Policy(block=("gw/d02",))))
        gateway(bench)
        self.assertEqual(sorted(bench.server.devices), ["gw", "gw/d01"])
        self.assertEqual(bench.server.counters["gateway_devices_refused"], 1)

    def test_shown(self) -> None:
        """After its Register the gateway is read, and each device that it names is one, with its own list."""
        device = gateway(self.bench)
        self.assertEqual(paths(device), ["/25"])
        known = self.bench.server.devices
        self.assertEqual(list(known), ["gw", "gw/d01", "gw/d02"])
        one, two = known["gw/d01"].registration, known["gw/d02"].registration
        assert one is not None
        assert two is not None
        self.assertEqual(
            (one.objects.root, list(map(str, one.objects.paths))), ("/d01", ["/3/0", "/3303/0", "/3303/1"])
        )
        self.assertEqual((one.objects.versions, one.peer, one.lifetime), ({3: "1.1", 3303: "1.1"}, peer(1), 300))
        self.assertEqual((two.objects.root, list(map(str, two.objects.paths))), ("/d02", ["/3/0", "/3304/0"]))
        behind = known["gw/d01"].behind
        assert behind is not None
        self.assertEqual((behind.gateway.endpoint, behind.device_id), ("gw", "sensor-1"))
        come = [event for event in self.bench.events if event.type == events.DEVICE_REGISTERED]
        self.assertEqual([event.endpoint for event in come], ["gw", "gw/d01", "gw/d02"])
        self.assertEqual((come[1].fields["gateway"], come[1].fields["device_id"]), ("gw", "sensor-1"))

    def test_only_gateways(self) -> None:
        """Who lists no instance of 25, or speaks LwM2M 1.0, is not read."""
        for number, (version, links) in enumerate(
            [("1.1", "</3/0>,</25>"), ("1.0", "</3/0>,</25/0>"), ("1.1", "</3/0>")]
        ):
            device = self.bench.device(f"d{number}", number)
            device.register(f"lwm2m={version}", "lt=60", links=links)
            self.assertEqual(device.requests, [])

    def test_asleep(self) -> None:
        """A gateway in queue mode that fell asleep is read when it is there again."""
        device = self.bench.device("gw")
        device.register("lwm2m=1.1", "lt=3000", "Q", links=LINKS)
        self.bench.advance(200)
        self.assertEqual(list(self.bench.server.devices), ["gw"])
        device.answers[n.GET, "/25"] = Answer(payload=D01, content_format=n.TLV)
        device.update()
        self.assertEqual(list(self.bench.server.devices), ["gw", "gw/d01"])

    def test_no_answer(self) -> None:
        """A gateway that did not answer is asked again after a while; one that refuses is not."""
        device = self.bench.device("gw")
        device.register("lwm2m=1.1", "lt=3000", links=LINKS)
        self.bench.advance(120)
        device.answers[n.GET, "/25"] = Answer(payload=D01, content_format=n.TLV)
        self.assertEqual(list(self.bench.server.devices), ["gw"])
        self.bench.advance(300)
        self.assertEqual(list(self.bench.server.devices), ["gw", "gw/d01"])
        other = self.bench.device("other", 2)
        other.answers[n.GET, "/25"] = Answer(n.UNAUTHORIZED)
        other.register("lwm2m=1.1", "lt=3000", links=LINKS)
        self.bench.advance(1000)
        self.assertEqual(paths(other), ["/25"])

    def test_update(self) -> None:
        """An Update with the same instances asks nothing; with a new one the gateway is read; one gone goes."""
        device = gateway(self.bench, D01, "</3/0>,</25/0>")
        device.update(links="</3/0>,</25/0>,</3303/0>")
        self.assertEqual(paths(device), ["/25"])
        device.answers[n.GET, "/25"] = Answer(payload=D01 + D02, content_format=n.TLV)
        device.update(links=LINKS)
        self.assertEqual((paths(device), len(self.bench.server.devices)), (["/25", "/25"], 3))
        del device.answers[n.GET, "/25"]
        device.update(links="</3/0>,</25/1>")
        shown = {name: found.registration is not None for name, found in self.bench.server.devices.items()}
        self.assertEqual(shown, {"gw": True, "gw/d01": False, "gw/d02": True})
        found = [event for event in self.bench.events if event.type == events.DEVICE_DEREGISTERED]
        self.assertEqual([(each.endpoint, each.fields["reason"]) for each in found], [("gw/d01", "unlisted")])

    def test_resumed(self) -> None:
        """A gateway that registers the same again is not read again, and those behind it stay."""
        device = gateway(self.bench)
        device.register("lwm2m=1.1", "lt=300", links=LINKS)
        self.assertEqual(paths(device), ["/25"])
        self.assertEqual(self.bench.server.devices["gw/d01"].state(self.bench.now), "online")

    def test_replaced(self) -> None:
        """A new registration from another address is read, and those behind it are reached there."""
        device = gateway(self.bench)
        device.move(7)
        device.register("lwm2m=1.1", "lt=500", links=LINKS)
        self.assertEqual(paths(device), ["/25", "/25"])
        operation = self.bench.submit("gw/d01", "read", "/3303/0/5700")
        found = self.bench.server.devices["gw/d01"].registration
        assert found is not None
        self.assertEqual((operation.state, found.peer, found.lifetime), ("done", peer(7), 500))
        self.assertNotIn(events.DEVICE_DEREGISTERED, [each.type for each in self.bench.events if each.endpoint != "gw"])

    def test_refreshed_by_operator(self) -> None:
        """What the operator reads below /25 counts: devices change, come and go."""
        device = gateway(self.bench)
        changed = instance(0, "sensor-1b", "d01", "</d01/3/0>,</d01/3305/0>")
        device.answers[n.GET, "/25"] = Answer(payload=changed, content_format=n.TLV)
        self.bench.submit("gw", "read", "/25")
        one, two = self.bench.server.devices["gw/d01"], self.bench.server.devices["gw/d02"]
        assert one.registration is not None
        assert one.behind is not None
        self.assertEqual(
            (one.behind.device_id, list(map(str, one.registration.objects.paths))), ("sensor-1b", ["/3/0", "/3305/0"])
        )
        self.assertEqual(two.state(self.bench.now), "offline")
        last = next(event for event in reversed(self.bench.events) if event.endpoint == "gw/d01")
        self.assertEqual((last.type, last.fields["reason"]), (events.DEVICE_UPDATED, "gateway"))

    def test_bounded(self) -> None:
        """No more are shown than allowed for one gateway, or for the fleet; the rest is counted."""
        for settings, expected in (
            (ServerSettings(devices_per_gateway=1), ["gw", "gw/d01"]),
            (ServerSettings(max_devices=2), ["gw", "gw/d01"]),
            (ServerSettings(devices_per_gateway=0), ["gw"]),
        ):
            bench = Bench(settings)
            gateway(bench)
            self.assertEqual(list(bench.server.devices), expected)
            self.assertGreater(bench.server.counters["gateway_devices_refused"], 0)

    def test_meanwhile(self) -> None:
        """Who is named no more, or whose gateway left, while it is being stored, is gone when that is done."""
        for leave, reason in (
            (lambda it: it.deregister(), "gateway"),
            (lambda it: it.update(links="</3/0>"), "unlisted"),
        ):
            bench = Bench()
            device = bench.device("gw")
            device.register("lwm2m=1.1", "lt=300", links="</3/0>,</25/0>")
            bench.hold()
            device.reply(Answer(payload=D01, content_format=n.TLV))
            leave(device)
            bench.release()
            child = bench.server.devices["gw/d01"]
            self.assertEqual((child.registration, bench.server.devices["gw"].children), (None, None))
            ends = [each for each in bench.events if each.type == events.DEVICE_DEREGISTERED]
            self.assertEqual([each.fields["reason"] for each in ends if each.endpoint == "gw/d01"], [reason])

    def test_unstored(self) -> None:
        """Who could not be stored is not shown."""
        device = self.bench.device("gw")
        device.register("lwm2m=1.1", "lt=300", links=LINKS)
        self.bench.failing = True
        device.reply(Answer(payload=D01, content_format=n.TLV))
        self.assertEqual(list(self.bench.server.devices), ["gw"])

    def test_noted(self) -> None:
        """What a gateway names in a way that can't be is noted as its deviation."""
        gateway(self.bench, instance(0, "x", "3", "</3/0>") + D02)
        self.assertEqual(list(self.bench.server.devices), ["gw", "gw/d02"])
        found = self.bench.server.deviations("gw")["gateway-prefix"]
        self.assertEqual((found.count, found.sample), (1, b"3"))


class NameTests(SynchronousTestCase):
    """A name is of who registers by it."""

    def setUp(self) -> None:
        self.bench = Bench()

    def test_taken(self) -> None:
        """An endpoint that has that very name keeps it, registered or not; the gateway's is left out."""
        real = self.bench.registered("gw/d01", 2)
        gateway(self.bench)
        self.assertIsNone(self.bench.server.devices["gw/d01"].behind)
        self.assertEqual(self.bench.server.counters["gateway_devices_refused"], 1)
        real.deregister()
        self.bench.submit("gw", "read", "/25")
        self.assertIsNone(self.bench.server.devices["gw/d01"].registration)
        self.assertEqual(self.bench.server.devices["gw/d02"].state(self.bench.now), "online")

    def test_displaced(self) -> None:
        """An endpoint that registers by the name of a device behind a gateway gets it, and what waited fails."""
        device = gateway(self.bench)
        device.answers.clear()
        waiting = self.bench.submit("gw/d01", "read", "/3303/0/5700")
        real = self.bench.registered("gw/d01", 2)
        found = self.bench.server.devices["gw/d01"]
        assert found.registration is not None
        self.assertEqual((found.behind, found.registration.peer, waiting.state), (None, peer(2), "failed"))
        kinds = [(event.type, event.fields.get("reason")) for event in self.bench.events if event.endpoint == "gw/d01"]
        self.assertIn((events.DEVICE_DEREGISTERED, "displaced"), kinds)
        gw = self.bench.server.devices["gw"]
        self.assertEqual((list(gw.children or ()), gw.current), (["d02"], None))
        assert gw.registration is not None
        answer = device.update()
        assert answer is not None
        self.assertEqual(answer.code, n.CHANGED)
        real.answers[n.GET, "/3/0/0"] = Answer(payload=b"mine", content_format=n.TEXT)
        self.assertEqual(self.bench.submit("gw/d01", "read", "/3/0/0").state, "done")

    def test_other_identity(self) -> None:
        """The gateway's identity does not keep an endpoint from the name that it registers by."""
        self.bench.identities[peer(1)] = "gateway-key"
        self.bench.identities[peer(2)] = "device-key"
        gateway(self.bench)
        self.bench.registered("gw/d01", 2)
        self.assertIsNone(self.bench.server.devices["gw/d01"].behind)

    def test_other_gateway(self) -> None:
        """A gateway can't take what is behind another one, though the names come out the same."""
        one = self.bench.device("a", 1)
        one.answers[n.GET, "/25"] = Answer(payload=instance(0, "x", "b", "</3/0>"), content_format=n.TLV)
        one.register("lwm2m=1.1", "lt=300", links="</3/0>,</25/0>")
        other = self.bench.device("a/b", 2)
        other.register("lwm2m=1.1", "lt=300")
        self.assertIsNone(self.bench.server.devices["a/b"].behind)

    def test_forgotten(self) -> None:
        """A device behind a gateway that is forgotten comes back with the gateway's next word."""
        gateway(self.bench)
        self.bench.server.forget("gw/d01", self.bench.now, lambda ok, now: None)
        self.bench.settle()
        self.assertNotIn("gw/d01", self.bench.server.devices)
        self.assertNotIn("gw/d01", self.bench.tables["devices"])
        self.bench.submit("gw", "read", "/25")
        self.assertEqual(self.bench.server.devices["gw/d01"].state(self.bench.now), "online")

    def test_gateway_forgotten(self) -> None:
        """With a gateway that is forgotten those behind it go offline; what waited ends."""
        device = gateway(self.bench)
        device.answers.clear()
        waiting = [self.bench.submit(name, "read", "/3/0/0") for name in ("gw", "gw/d01", "gw/d02")]
        self.bench.server.forget("gw", self.bench.now, lambda ok, now: None)
        self.bench.settle()
        self.assertEqual([each.state for each in waiting], ["failed"] * 3)
        self.assertEqual(self.bench.server.devices["gw/d01"].state(self.bench.now), "offline")
        other, faults = self.bench.restart()
        self.assertEqual((faults, other.server.devices["gw/d02"].registration), ([], None))
        again = gateway(other)
        self.assertEqual((paths(again), other.server.devices["gw/d02"].state(other.now)), (["/25"], "online"))


class UsingTests(SynchronousTestCase):
    """What reaches a device behind a gateway, and what comes from it."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = gateway(self.bench)

    def test_read(self) -> None:
        """A read goes to the gateway under the prefix; its value is that of the device behind it."""
        operation = self.bench.submit("gw/d01", "read", "/3303/0/5700")
        self.assertEqual((operation.state, paths(self.device)[-1]), ("done", "/d01/3303/0/5700"))
        (row,) = self.bench.server.twin_rows("gw/d01", Path((3303,)))
        self.assertEqual((row.path, row.value), ("/3303/0/5700", 21.5))
        self.assertEqual(self.bench.server.twin_rows("gw", Path((3303,))), ())
        value = self.bench.events[-1]
        self.assertEqual((value.type, value.endpoint), (events.DEVICE_VALUE, "gw/d01"))

    def test_formats_with_names(self) -> None:
        """Where a format names the values, the prefix stands before the ids."""
        for content_format, payload in (
            (n.SENML_JSON, b'[{"bn":"/d01/3303/0/","n":"5700","v":22.5}]'),
            (n.SENML_CBOR, bytes.fromhex("81a200702f6430312f333330332f302f3537303002f94da0")),
            (n.LWM2M_CBOR, bytes.fromhex("a163643031a1190ce7a100a1191644f94da0")),
        ):
            self.device.answers[n.GET, "/d01/3303/0"] = Answer(payload=payload, content_format=content_format)
            operation = self.bench.submit("gw/d01", "read", "/3303/0")
            self.assertEqual(operation.error, None, content_format)
            (row,) = self.bench.server.twin_rows("gw/d01", Path((3303,)))
            self.assertEqual((row.path, row.value), ("/3303/0/5700", 22.5))

    def test_every_operation(self) -> None:
        """Write, execute, create, delete, discover: each gets the prefix, and answers lose it."""
        answers = {
            (n.PUT, "/d01/3/0/14"): Answer(n.CHANGED),
            (n.POST, "/d01/3/0/4"): Answer(n.CHANGED),
            (n.POST, "/d01/3303"): Answer(n.CREATED, location=("d01", "3303", "7")),
            (n.DELETE, "/d01/3303/1"): Answer(n.DELETED),
            (n.GET, "/d01/3"): Answer(payload=b"</d01/3>,</d01/3/0>", content_format=n.LINK_FORMAT),
        }
        self.device.answers.update(answers)
        asked = [
            self.bench.submit("gw/d01", "write", "/3/0/14", value="+01:00"),
            self.bench.submit("gw/d01", "execute", "/3/0/4"),
            self.bench.submit("gw/d01", "create", "/3303", values={"5700": 1.0}),
            self.bench.submit("gw/d01", "delete", "/3303/1"),
            self.bench.submit("gw/d01", "discover", "/3"),
        ]
        self.assertEqual([each.state for each in asked], ["done"] * 5)
        assert asked[2].result is not None
        assert asked[4].result is not None
        self.assertEqual(asked[2].result.location, "/3303/7")
        self.assertEqual([link.path for link in asked[4].result.links or ()], ["/3", "/3/0"])

    def test_one_at_a_time(self) -> None:
        """A gateway and those behind it have one request under way together; the oldest of all goes next."""
        self.device.answers.clear()
        names = ("gw/d01", "gw", "gw/d02", "gw/d01")
        asked = []
        for name in names:
            asked.append(self.bench.submit(name, "read", "/3/0/0"))
            self.bench.now += 1
        expected = ["/25", "/d01/3/0/0", "/3/0/0", "/d02/3/0/0", "/d01/3/0/0"]
        for count, operation in enumerate(asked):
            self.assertEqual(paths(self.device), expected[: count + 2])
            self.device.reply(Answer(payload=b"x", content_format=n.TEXT))
            self.assertEqual(operation.state, "done")

    def test_priority(self) -> None:
        """Of what waits for a gateway and those behind it the highest priority leaves first."""
        self.device.answers.clear()
        self.bench.submit("gw", "read", "/3/0/0")
        self.bench.submit("gw/d01", "read", "/3/0/1")
        self.bench.submit("gw/d02", "read", "/3/0/2", priority=5)
        self.device.reply(Answer(payload=b"x", content_format=n.TEXT))
        self.assertEqual(paths(self.device)[-1], "/d02/3/0/2")

    def test_silent(self) -> None:
        """A device behind a gateway that does not answer is not responding by itself; the gateway goes on."""
        del self.device.answers[n.GET, "/d01/3303/0/5700"]
        operation = self.bench.submit("gw/d01", "read", "/3303/0/5700", timeout=5)
        self.bench.advance(6)
        states = [self.bench.server.devices[name].state(self.bench.now) for name in ("gw", "gw/d01", "gw/d02")]
        self.assertEqual((operation.state, states), ("failed", ["online", "not-responding", "online"]))
        self.device.answers[n.GET, "/d01/3303/0/5700"] = Answer(payload=b"1", content_format=n.TEXT)
        self.assertEqual(self.bench.submit("gw/d01", "read", "/3303/0/5700").state, "done")
        self.assertEqual(self.bench.server.devices["gw/d01"].state(self.bench.now), "online")

    def test_observed(self) -> None:
        """An observation works by the prefix, is of the device behind, and is made anew when the gateway registers."""
        path = (n.GET, "/d02/3304/0/5700")
        self.device.answers[path] = Answer(payload=b"40", content_format=n.TEXT, observe=1)
        self.bench.submit("gw/d02", "observe", "/3304/0/5700")
        wish = self.bench.server.observation("gw/d02", Path((3304, 0, 5700)))
        self.device.notify(wish.token, 5, b"41")
        (row,) = self.bench.server.twin_rows("gw/d02", Path((3304,)))
        self.assertEqual((wish.state, wish.notifications, row.value), ("active", 1, 41.0))
        before = len(self.device.requests)
        self.device.register("lwm2m=1.1", "lt=300", links=LINKS)
        self.assertEqual(paths(self.device)[before:], ["/d02/3304/0/5700"])

    def test_labels(self) -> None:
        """Labels of the operator are the device's own, and survive the gateway's absence."""
        self.bench.server.amend("gw/d01", self.bench.now, lambda ok, now: None, labels={"room": "3"})
        self.bench.settle()
        self.device.deregister()
        self.device.register("lwm2m=1.1", "lt=300", links=LINKS)
        self.assertEqual(self.bench.server.devices["gw/d01"].all_labels(), {"room": "3"})
        self.assertEqual(self.bench.server.devices["gw"].all_labels(), {})

    def test_sleeping(self) -> None:
        """Nothing leaves for a device whose gateway sleeps; it leaves when that is there again."""
        bench = Bench()
        device = gateway(bench, D01 + D02, LINKS, "Q")
        bench.advance(100)
        operation = bench.submit("gw/d01", "read", "/3303/0/5700")
        self.assertEqual((operation.state, bench.server.devices["gw/d01"].state(bench.now)), ("queued", "sleeping"))
        device.update()
        self.assertEqual((operation.state, bench.server.devices["gw/d01"].state(bench.now)), ("done", "online"))

    def test_expired_in_queue(self) -> None:
        """What waits for a device behind a sleeping gateway expires when its time is over."""
        bench = Bench()
        gateway(bench, D01 + D02, LINKS, "Q")
        bench.advance(100)
        operation = bench.submit("gw/d01", "read", "/3303/0/5700", ttl=10)
        bench.advance(11)
        self.assertEqual(operation.state, "expired")

    def test_asleep_unexpectedly(self) -> None:
        """A gateway in queue mode that does not answer for a device behind it sleeps, and the request waits."""
        bench = Bench()
        device = gateway(bench, D01 + D02, LINKS, "Q")
        answer = device.answers.pop((n.GET, "/d01/3303/0/5700"))
        operation = bench.submit("gw/d01", "read", "/3303/0/5700", timeout=5)
        bench.advance(6)
        self.assertEqual((operation.state, bench.server.devices["gw"].state(bench.now)), ("queued", "sleeping"))
        device.answers[n.GET, "/d01/3303/0/5700"] = answer
        device.update()
        self.assertEqual(operation.state, "done")

    def test_moved(self) -> None:
        """After an Update from another address those behind the gateway are reached there."""
        self.device.move(9)
        self.device.update()
        self.assertEqual(self.bench.submit("gw/d01", "read", "/3303/0/5700").state, "done")
        self.assertEqual(self.bench.unheard, [])


class GoingTests(SynchronousTestCase):
    """How those behind a gateway go."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.device = gateway(self.bench)

    def _ends(self) -> list[tuple[str | None, object]]:
        kinds = (events.DEVICE_DEREGISTERED, events.DEVICE_EXPIRED)
        return [(each.endpoint, each.fields["reason"]) for each in self.bench.events if each.type in kinds]

    def test_deregistered(self) -> None:
        """They go with the gateway's De-register, in the same transaction, and what waited for them fails."""
        self.device.answers.clear()
        asked = [self.bench.submit("gw/d01", "read", "/3/0/0"), self.bench.submit("gw/d02", "read", "/3/0/0")]
        self.bench.hold()
        self.device.deregister()
        commit = self.bench.held[0]
        self.assertEqual([event.endpoint for event in commit.events], ["gw", "gw/d01", "gw/d02"])
        self.bench.release()
        self.assertEqual(self._ends(), [("gw", "deregistered"), ("gw/d01", "gateway"), ("gw/d02", "gateway")])
        self.assertEqual([each.state for each in asked], ["failed", "failed"])
        self.assertEqual({each.state(self.bench.now) for each in self.bench.server.devices.values()}, {"offline"})
        self.assertRaises(NotRegistered, self.bench.submit, "gw/d01", "read", "/3/0/0")

    def test_expired(self) -> None:
        """They go with the end of the gateway's lifetime, and come back with it."""
        self.bench.advance(301)
        self.assertEqual(self._ends(), [("gw", "lifetime"), ("gw/d01", "gateway"), ("gw/d02", "gateway")])
        self.device.register("lwm2m=1.1", "lt=300", links=LINKS)
        self.assertEqual(self.bench.server.devices["gw/d01"].state(self.bench.now), "online")

    def test_refreshed(self) -> None:
        """They live as long as the gateway's Updates come."""
        for _ in range(5):
            self.bench.advance(200)
            self.device.update()
        self.assertEqual(self.bench.server.devices["gw/d01"].state(self.bench.now), "online")
        self.assertEqual(self._ends(), [])


class RestartTests(SynchronousTestCase):
    """What a restart finds again."""

    def test_restored(self) -> None:
        """They are there without asking the gateway: state, list, labels, values, wishes, what waited."""
        bench = Bench()
        device = gateway(bench)
        device.answers[n.GET, "/d01/3303/0/5700"] = Answer(payload=b"20", content_format=n.TEXT, observe=1)
        bench.submit("gw/d01", "observe", "/3303/0/5700")
        wish = bench.server.observation("gw/d01", Path((3303, 0, 5700)))
        bench.server.amend("gw/d01", bench.now, lambda ok, now: None, labels={"room": "3"})
        del device.answers[n.GET, "/d02/3304/0/5700"]
        waiting = bench.submit("gw/d02", "read", "/3304/0/5700")
        bench.server.keep(waiting, bench.now, lambda ok, now: None)
        bench.settle()
        device.answers[n.GET, "/d02/3304/0/5700"] = Answer(payload=b"40", content_format=n.TEXT)
        before = len(device.requests)
        other, faults = bench.restart(5.0)
        self.assertEqual((faults, paths(device)[before:]), ([], ["/d02/3304/0/5700"]))
        child = other.server.devices["gw/d01"]
        assert child.registration is not None
        self.assertEqual(
            (child.state(other.now), child.registration.objects.root, child.labels), ("online", "/d01", {"room": "3"})
        )
        self.assertEqual(other.server.operations[waiting.id].state, "done")
        device.notify(wish.token, 9, b"22")
        (row,) = other.server.twin_rows("gw/d01", Path((3303,)))
        self.assertEqual(row.value, 22.0)
        self.assertNotIn(events.DEVICE_REGISTERED, other.kinds())

    def test_read_was_lost(self) -> None:
        """A gateway that was not read before the daemon died is read after the start."""
        bench = Bench()
        device = bench.device("gw")
        device.register("lwm2m=1.1", "lt=300", links=LINKS)
        device.answers[n.GET, "/25"] = Answer(payload=D01, content_format=n.TLV)
        other, _ = bench.restart()
        self.assertEqual(list(other.server.devices), ["gw", "gw/d01"])

    def test_old_word(self) -> None:
        """What a gateway said before its last registration is not taken for true after a start: it is read first."""
        bench = Bench()
        device = gateway(bench)
        device.deregister()
        bench.advance(10)
        del device.answers[n.GET, "/25"]
        device.register("lwm2m=1.1", "lt=300", links=LINKS)
        device.answers[n.GET, "/25"] = Answer(payload=D01, content_format=n.TLV)
        other, _ = bench.restart()
        states = {name: found.state(other.now) for name, found in other.server.devices.items()}
        self.assertEqual(states, {"gw": "online", "gw/d01": "online", "gw/d02": "offline"})
        self.assertEqual([each.type for each in other.events if each.endpoint == "gw/d01"], [events.DEVICE_REGISTERED])

    def test_gateway_gone(self) -> None:
        """After the gateway's end those behind it are found again offline, still behind it."""
        bench = Bench()
        gateway(bench).deregister()
        other, faults = bench.restart()
        child = other.server.devices["gw/d02"]
        assert child.behind is not None
        self.assertEqual(
            (faults, child.state(other.now), child.behind.gateway), ([], "offline", other.server.devices["gw"])
        )
        gateway(other)
        self.assertEqual(child.state(other.now), "online")


def registration(links: tuple[Path, ...], version: str = "1.1") -> Registration:
    """A registration with this list."""
    objects = ObjectList("/", (112,), links, {}, ())
    return Registration("r", "gw", b"", "coap", None, version, 60, "U", False, None, objects, {}, 0.0, 0.0)


class ChildrenTests(SynchronousTestCase):
    """What a gateway's values are taken for."""

    def _told(self, *instances: tuple[object, ...]) -> tuple[dict[str, list[str]], int]:
        twin = {
            Path((25, number, key)): TwinValue(value, 0.0, "read")  # type: ignore[arg-type]
            for number, values in enumerate(instances)
            for key, value in zip((0, 1, 3), values, strict=False)
        }
        listing = registration(tuple(Path((25, number)) for number in range(len(instances))))
        found, refused = children_of(twin, listing, 100)
        return {prefix: [str(path) for path in child.objects.paths] for prefix, child in found.items()}, len(refused)

    def test_prefixes(self) -> None:
        """A prefix is one segment that is no Object ID; slashes around it don't count; of two the first counts."""
        for good in ("d01", "/d01", "/d01/", b"d01"):
            self.assertEqual(self._told(("i", good, "</3/0>")), ({"d01": ["/3/0"]}, 0), good)
        for bad in ("", "/", "3", "25", "a/b", "a b", ".", "..", "<", "x" * 65, "a\0", b"\xff", "٣"):
            self.assertEqual(self._told(("i", bad, "</3/0>")), ({}, 1), bad)
        self.assertEqual(self._told(("i", "d", "</3/0>"), ("j", "d", "</4/0>")), ({"d": ["/3/0"]}, 1))

    def test_links(self) -> None:
        """Links have the prefix or not; those of others, and what is no list, are left out."""
        table: list[tuple[object, list[str]]] = [
            ("</d/3/0>,</d/3303/0>", ["/3/0", "/3303/0"]),
            ("</3/0>,</d/3303/0>", ["/3/0", "/3303/0"]),
            ('</d>;rt="oma.lwm2m",</d/3/0>', ["/3/0"]),
            ('</>;rt="oma.lwm2m";ct=110,</3/0>', ["/3/0"]),
            ("</d/5>", ["/5"]),
            ("</d/0/0>,</d/21/0>,</d/3/0>", ["/3/0"]),
            ("</other/3/0>,</dd/4/0>", []),
            (b"</d/3/0>", ["/3/0"]),
            ("no links", []),
            ("", []),
        ]
        for text, expected in table:
            self.assertEqual(self._told(("i", "d", text)), ({"d": expected}, 0), text)

    def test_several_values(self) -> None:
        """A list in several Resource Instances is one list, and a link to objects of version 1.0 of 25 is none."""
        twin = {
            Path((25, 0, 1)): TwinValue("d", 0.0, "read"),
            Path((25, 0, 3, 0)): TwinValue("</3/0>", 0.0, "read"),
            Path((25, 0, 3, 1)): TwinValue("</d/4/0>", 0.0, "read"),
        }
        found, _ = children_of(twin, registration((Path((25, 0)),)), 100)
        self.assertEqual([str(path) for path in found["d"].objects.paths], ["/3/0", "/4/0"])
        self.assertEqual(found["d"].objects.formats, (112,))

    def test_listed(self) -> None:
        """Only instances that the registration names count, and none of LwM2M 1.0."""
        both = (Path((25, 0)), Path((25, 3)), Path((3, 0)), Path((25,)))
        self.assertEqual((listed(registration(both)), listed(registration(both, "1.0"))), ([0, 3], []))
        self.assertEqual(self._told(), ({}, 0))

    @given(
        st.lists(
            st.tuples(st.text(max_size=8), st.text(max_size=8) | st.binary(max_size=8), st.text(max_size=40)),
            max_size=6,
        )
    )
    def test_anything(self, instances: list[tuple[object, ...]]) -> None:
        """Whatever a gateway says, each prefix is one segment, and every path a valid one below it."""
        found, refused = self._told(*instances)
        self.assertEqual(len(found) + refused, len(instances))
        for prefix in found:
            self.assertTrue(prefix and "/" not in prefix and not prefix.isdecimal())


class RequestTests(SynchronousTestCase):
    """An operation by its struct."""

    def test_submit(self) -> None:
        """The core takes an operation for a device behind a gateway as for any other."""
        bench = Bench()
        gateway(bench)
        operation = bench.server.submit("gw/d01", OperationRequest(op="read", path="/3303/0/5700"), bench.now)
        bench.settle()
        self.assertEqual((operation.endpoint, operation.state), ("gw/d01", "done"))
