"""Devices without a registration: who gives way, who is forgotten, who stays."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lwm2md import events
from lwm2md.coap import numbers as n
from lwm2md.coap.message import Message
from lwm2md.lwm2m.paths import Path
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench, FakeDevice

DAY = 86400.0


def code(answer: Message | None) -> str:
    """The code of an answer that came."""
    assert answer is not None
    return n.dotted(answer.code)


def come_and_go(bench: Bench, *names: str) -> list[FakeDevice]:
    """Devices that registered and de-registered one after the other, ten seconds apart."""
    found = []
    for number, name in enumerate(names):
        device = bench.registered(name, number + 1)
        bench.advance(5)
        device.deregister()
        bench.advance(5)
        found.append(device)
    return found


def label(bench: Bench, endpoint: str, **labels: str | None) -> None:
    """Set labels of the operator, or remove them."""
    bench.server.amend(endpoint, bench.now, lambda ok, now: None, labels=labels)
    bench.settle()


class RoomTests(SynchronousTestCase):
    """``[limits] devices`` is reached."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(max_devices=3))

    def _known(self) -> list[str]:
        return list(self.bench.server.devices)

    def test_longest_gone(self) -> None:
        """Who was last seen longest ago gives way, whole, and an event says so."""
        come_and_go(self.bench, "a", "b", "c")
        self.bench.registered("new", 9)
        self.assertEqual(self._known(), ["b", "c", "new"])
        self.assertEqual(sorted(self.bench.tables["devices"]), ["b", "c"])
        self.assertEqual(sorted(self.bench.tables["registrations"]), ["new"])
        (event,) = [each for each in self.bench.events if each.type == events.DEVICE_FORGOTTEN]
        self.assertEqual((event.endpoint, event.fields), ("a", {"reason": "limit"}))

    def test_by_last_seen(self) -> None:
        """What counts is when a device was last seen, not when its registration ended."""
        silent = self.bench.device("silent", 1)
        silent.register("lt=100", "lwm2m=1.1")
        self.bench.advance(1)
        come_and_go(self.bench, "b", "c")
        self.bench.advance(200)
        self.bench.registered("new", 9)
        self.assertEqual(self._known(), ["b", "c", "new"])

    def test_registered_stay(self) -> None:
        """Who has a registration never gives way; a new device is refused then."""
        for number, name in enumerate("abc"):
            self.bench.registered(name, number)
        answer = self.bench.device("new", 9).register("lt=60")
        assert answer is not None
        self.assertEqual((answer.code, answer.max_age), (n.SERVICE_UNAVAILABLE, 60))
        self.assertEqual(self._known(), ["a", "b", "c"])

    def test_came_back(self) -> None:
        """Who came back since is not the oldest any more, however often it comes and goes."""
        first, *_ = come_and_go(self.bench, "a", "b", "c")
        for _ in range(5):
            first.register("lwm2m=1.1", "lt=300")
            self.bench.advance(1)
            first.deregister()
        self.bench.registered("new", 9)
        self.assertEqual(self._known(), ["a", "c", "new"])

    def test_labels_pin(self) -> None:
        """Labels of the operator keep a device; without them it is one of the others again."""
        come_and_go(self.bench, "a", "b", "c")
        label(self.bench, "a", farm="north")
        self.bench.registered("one", 8)
        self.assertEqual(self._known(), ["a", "c", "one"])
        label(self.bench, "a", farm=None)
        self.bench.registered("two", 9)
        self.assertEqual(self._known(), ["c", "one", "two"])

    def test_wishes_pin(self) -> None:
        """An observation keeps a device; when it is ended the device is one of the others again."""
        device = self.bench.registered("a", 1)
        device.answers[n.GET, "/3/0/9"] = Answer(payload=b"1", content_format=n.TEXT, observe=1)
        self.bench.submit("a", "observe", "/3/0/9")
        device.deregister()
        come_and_go(self.bench, "b", "c")
        self.bench.registered("one", 8)
        self.assertEqual(self._known(), ["a", "c", "one"])
        wish = self.bench.server.observation("a", Path((3, 0, 9)))
        self.bench.server.unobserve(wish.id, self.bench.now)
        self.bench.settle()
        self.bench.registered("two", 9)
        self.assertEqual(self._known(), ["c", "one", "two"])

    def test_many_at_once(self) -> None:
        """Of several that come at once each takes another one's place; when there is none left, it is refused."""
        come_and_go(self.bench, "a", "b", "c")
        self.bench.hold()
        comers = [self.bench.device(f"n{number}", 20 + number) for number in range(4)]
        for comer in comers:
            comer.register("lwm2m=1.1", "lt=300")
        self.bench.release()
        self.assertEqual([code(comer.answer()) for comer in comers], ["2.01", "2.01", "2.01", "5.03"])
        self.assertEqual(self._known(), ["n0", "n1", "n2"])

    def test_unstored(self) -> None:
        """Who could not be removed from storage stays known, and gives way the next time."""
        come_and_go(self.bench, "a", "b", "c")
        self.bench.failing = True
        self.assertEqual(code(self.bench.device("new", 9).register("lt=60")), "5.03")
        self.assertEqual(self._known(), ["a", "b", "c"])
        self.bench.failing = False
        self.assertEqual(code(self.bench.device("new", 9).register("lt=60")), "2.01")
        self.assertEqual(self._known(), ["b", "c", "new"])

    def test_meanwhile(self) -> None:
        """Who registers while it is chosen to give way is forgotten before or stays, never half of both."""
        devices = come_and_go(self.bench, "a", "b", "c")
        self.bench.hold()
        self.bench.device("new", 9).register("lwm2m=1.1", "lt=300")
        devices[0].register("lwm2m=1.1", "lt=300")
        self.bench.release()
        found, answer = self.bench.server.devices["a"].registration, devices[0].answer()
        assert found is not None
        assert answer is not None
        self.assertEqual(("rd", found.id), answer.location)
        self.assertEqual(sorted(self.bench.tables["registrations"]), ["a", "new"])

    def test_after_restart(self) -> None:
        """A restart knows the order."""
        come_and_go(self.bench, "c", "b", "a")
        other, _ = self.bench.restart()
        other.registered("new", 9)
        self.assertEqual(sorted(other.server.devices), ["a", "b", "new"])

    def test_long_run(self) -> None:
        """Ten thousand strangers that come and go leave no more behind than the limit."""
        for number in range(10_000):
            device = self.bench.device(f"x{number}", 1)
            device.register("lwm2m=1.1", "lt=300")
            device.deregister()
            self.bench.now += 1
        self.assertEqual((self._known(), len(self.bench.tables["devices"])), (["x9997", "x9998", "x9999"], 3))
        self.assertLess(len(self.bench.server._idle._heap), 3000)


class AgeTests(SynchronousTestCase):
    """``[registration] forget-after``."""

    def test_forgotten(self) -> None:
        """Who has not been seen for so long is forgotten with everything, and an event says so."""
        bench = Bench(ServerSettings(forget_after=30 * DAY))
        device = bench.registered("a", 1)
        device.answers[n.GET, "/3/0/9"] = Answer(payload=b"50", content_format=n.TEXT)
        bench.submit("a", "read", "/3/0/9")
        device.deregister()
        bench.advance(30 * DAY - 1)
        self.assertEqual(list(bench.server.devices), ["a"])
        bench.advance(2)
        self.assertEqual((dict(bench.server.devices), bench.tables["devices"], bench.tables["twin"]), ({}, {}, {}))
        self.assertEqual((bench.events[-1].type, bench.events[-1].fields), (events.DEVICE_FORGOTTEN, {"reason": "age"}))

    def test_never(self) -> None:
        """0 is for ever, and a setting that changes holds from then on."""
        bench = Bench(ServerSettings(forget_after=0.0))
        bench.registered("a", 1).deregister()
        bench.advance(1000 * DAY)
        self.assertEqual(list(bench.server.devices), ["a"])
        bench.server.configure(ServerSettings(forget_after=DAY), bench.now)
        bench.advance(2)
        self.assertEqual(list(bench.server.devices), [])

    def test_pinned(self) -> None:
        """Who has labels stays."""
        bench = Bench(ServerSettings(forget_after=DAY))
        come_and_go(bench, "a", "b")
        label(bench, "a", farm="north")
        bench.advance(3 * DAY)
        self.assertEqual(list(bench.server.devices), ["a"])
        label(bench, "a", farm=None)
        bench.advance(2)
        self.assertEqual(list(bench.server.devices), [])

    def test_live(self) -> None:
        """Who is registered is not forgotten, however silent, and not while it comes back."""
        bench = Bench(ServerSettings(forget_after=DAY))
        device = bench.registered("a", 1)
        device.deregister()
        bench.advance(DAY / 2)
        device.register("lwm2m=1.1", "lt=0")
        bench.advance(10 * DAY)
        self.assertEqual(bench.server.devices["a"].state(bench.now), "online")

    def test_after_restart(self) -> None:
        """Who became too old while the daemon was down is forgotten soon after the start, thousands in steps."""
        bench = Bench(ServerSettings(forget_after=DAY))
        for number in range(500):
            device = bench.device(f"d{number}", 1)
            device.register("lwm2m=1.1", "lt=300")
            device.deregister()
        other, _ = bench.restart(2 * DAY)
        self.assertEqual(len(other.server.devices), 500)
        other.advance(1)
        self.assertEqual(len(other.server.devices), 300)
        other.advance(2)
        self.assertEqual((len(other.server.devices), other.tables["devices"]), (0, {}))

    def test_behind_a_gateway(self) -> None:
        """What a gateway named and named no more is forgotten like any other."""
        bench = Bench(ServerSettings(forget_after=DAY))
        device = bench.device("gw")
        content = b"\x08\x00\x05\xc1\x00x\xc1\x01p"
        device.answers[n.GET, "/25"] = Answer(
            payload=content[:2] + bytes((len(content) - 3,)) + content[3:], content_format=n.TLV
        )
        device.register("lwm2m=1.1", "lt=0", links="</3/0>,</25/0>")
        self.assertIn("gw/p", bench.server.devices)
        device.update(links="</3/0>")
        bench.advance(DAY + 2)
        self.assertEqual(list(bench.server.devices), ["gw"])
