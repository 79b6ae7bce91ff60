"""Tests of lwm2md.server.twin: what is known, for how long, and what goes into the history."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, Value
from lwm2md.server import stored
from lwm2md.server.effects import Sample
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import LINKS, Answer, Bench, FakeDevice


def send(device: FakeDevice, *records: str) -> None:
    """Send records of SenML JSON."""
    device.request(n.POST, "dp", payload=f"[{','.join(records)}]".encode(), content_format=n.SENML_JSON)


class Base(SynchronousTestCase):
    """One registered device."""

    settings = ServerSettings(flush_interval=5.0)

    def setUp(self) -> None:
        self.bench = Bench(self.settings)
        self.device = self.bench.registered()

    def known(self) -> list[str]:
        """The paths of what is known, which are those that are stored."""
        found = [row.path for row in self.bench.server.twin_rows("d", Path())]
        self.assertEqual(sorted(self.bench.tables["twin"]), sorted(f"{path} d" for path in found))
        return found


class LimitTests(Base):
    """No more values are known of a device than the limit."""

    settings = ServerSettings(twin_values=3)

    def test_oldest_goes(self) -> None:
        """The oldest values make room for new ones, in memory and in the storage."""
        for second, resource in enumerate((0, 1, 2, 3)):
            self.bench.now += second
            send(self.device, f'{{"n":"/3/0/{resource}","vs":"x"}}')
        self.assertEqual(self.known(), ["/3/0/1", "/3/0/2", "/3/0/3"])

    def test_many_at_once(self) -> None:
        """Of more values than there is room for at once as many stay as there may be."""
        send(self.device, *(f'{{"n":"/3303/{number}/5700","v":1,"t":-{number}}}' for number in range(50)))
        self.assertEqual(self.known(), ["/3303/0/5700", "/3303/1/5700", "/3303/2/5700"])

    def test_known_ones_stay(self) -> None:
        """A value that is known already takes no room."""
        for _ in range(5):
            send(self.device, '{"n":"/3/0/0","vs":"x"}', '{"n":"/3/0/1","vs":"x"}')
            self.bench.now += 1
        self.assertEqual(self.known(), ["/3/0/0", "/3/0/1"])


class GoneTests(Base):
    """What a device has no more is not known any more."""

    def setUp(self) -> None:
        super().setUp()
        names = ("/3/0/9", "/3303/0/5700", "/3303/0/5701", "/3304/0/5700")
        send(self.device, *(f'{{"n":"{name}","v":1}}' for name in names if name != "/3303/0/5701"))
        self.before = ["/3/0/9", "/3303/0/5700", "/3304/0/5700"]
        self.assertEqual(self.known(), self.before)

    def test_instance_left_the_list(self) -> None:
        """An Update with another list of Objects ends what was known of the others."""
        self.device.update(links="</1/0>,</3/0>,</5/0>")
        self.assertEqual(self.known(), ["/3/0/9"])

    def test_registered_with_another_list(self) -> None:
        """So does a Register; an Object without instances in the list may have any."""
        self.device.register("lwm2m=1.1", "lt=300", links="</1/0>,</3303>,</3304/1>")
        self.assertEqual(self.known(), ["/3303/0/5700"])

    def test_same_list(self) -> None:
        """A Register or an Update that says nothing new ends nothing, not even what was never in the list."""
        self.device.update(links=LINKS)
        self.device.update()
        self.device.register("lwm2m=1.1", "lt=300")
        self.device.register("lwm2m=1.1", "lt=600")
        self.assertEqual(self.known(), self.before)

    def test_deleted(self) -> None:
        """An Object Instance that was deleted by the operator is known no more."""
        self.bench.submit("d", "delete", "/3303/0")
        self.device.reply(Answer(n.DELETED))
        self.assertEqual(self.known(), ["/3/0/9", "/3304/0/5700"])

    def test_not_deleted(self) -> None:
        """One that the device did not delete is known still."""
        self.bench.submit("d", "delete", "/3303/0")
        self.device.reply(Answer(n.METHOD_NOT_ALLOWED))
        self.assertEqual(self.known(), self.before)


class HistoryTests(Base):
    """Every value goes into the history."""

    def samples(self) -> list[Sample]:
        """What is being stored."""
        return [sample for commit in self.bench.held for sample in commit.samples]

    def test_read(self) -> None:
        """A value that is read is kept, together with its event, by the time of its arrival."""
        self.bench.hold()
        self.bench.submit("d", "read", "/3/0/9")
        self.device.reply(Answer(n.CONTENT, b"95", n.TEXT))
        self.assertEqual(self.samples(), [("d", "/3/0/9", round(self.bench.now * 1e6), b"95")])
        (commit,) = (each for each in self.bench.held if each.samples)
        self.assertEqual([event.type for event in commit.events], ["device.value"])

    def test_off(self) -> None:
        """Where no history is kept there are no samples."""
        self.bench.server.configure(ServerSettings(history=False), self.bench.now)
        self.bench.hold()
        send(self.device, '{"n":"/3/0/9","v":1}')
        self.assertEqual(self.samples(), [])

    def test_forgotten(self) -> None:
        """With the device its history goes, in the same transaction, and what came meanwhile after it."""
        self.bench.hold()
        self.bench.server.forget("d", self.bench.now, lambda *_: None)
        self.bench.settle()
        dropped = [commit.dropped for commit in self.bench.held]
        self.bench.release(only=1)
        self.assertEqual(
            (dropped, [commit.dropped for commit in self.bench.held if commit.dropped]), ([("d",)], [("d",)])
        )

    @given(
        st.one_of(
            st.text(),
            st.integers(-(2**63), 2**64 - 1),
            st.floats(allow_nan=False),
            st.booleans(),
            st.binary(),
            st.builds(ObjectLink, st.integers(0, 65535), st.integers(0, 65535)),
        )
    )
    def test_values(self, value: Value) -> None:
        """Values of all types are read back as they were, with their types."""
        found = stored.read_sample(stored.sample_value(value))
        self.assertEqual((type(found), found), (type(value), value))
