"""Profile ids on Register and Update, datagram by datagram."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import decode
from lwm2md.lwm2m.linkformat import object_list
from lwm2md.server.errors import BadOperation, LimitReached, UnknownProfile
from lwm2md.server.profiles import union
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Bench, peer

LINKS = "</1/0>,</3/0>"
# CON POST /rd?lwm2m=1.2&ep=dev1&lt=300&b=U&pid=6:27354b9a; the same with Content-Format 40 before, and the list behind.
BARE = (
    "41021234ab"
    "b27264"
    "49"
    + b"lwm2m=1.2".hex()
    + "07"
    + b"ep=dev1".hex()
    + "06"
    + b"lt=300".hex()
    + "03"
    + b"b=U".hex()
    + "0d01"
    + b"pid=6:27354b9a"[:14].hex()
)
FULL = (
    "41021235ac"
    "b27264"
    "1128"
    "39"
    + b"lwm2m=1.2".hex()
    + "07"
    + b"ep=dev1".hex()
    + "06"
    + b"lt=300".hex()
    + "03"
    + b"b=U".hex()
    + "0d01"
    + b"pid=6:27354b9a"[:14].hex()
    + "ff"
    + LINKS.encode().hex()
)


def paths(bench: Bench, endpoint: str) -> list[str]:
    """The list of a registration."""
    found = bench.server.devices[endpoint].registration
    assert found is not None
    return [str(path) for path in found.objects.paths]


def configure(bench: Bench, profile: str, links: str) -> None:
    """Let the operator configure a profile id."""
    bench.server.profiles.put(profile, links, lambda ok, now: None)
    bench.settle()


class BytesTests(SynchronousTestCase):
    """The exchange as it goes over the wire."""

    def _exchange(self, bench: Bench, request: str) -> str:
        sent = bench.engine.receive([(bytes.fromhex(request), peer(1))], bench.now)
        self.assertEqual(sent, [])
        bench.settle()
        data, _ = bench.unheard.pop()
        return n.dotted(decode(data).code)

    def test_learned(self) -> None:
        """An unknown id is 4.09; with the list it is 2.01 and learned; then the id is enough, over a restart too."""
        bench = Bench()
        answer = bench.engine.receive([(bytes.fromhex(BARE), peer(1))], bench.now)
        self.assertEqual([n.dotted(decode(data).code) for data, _ in answer], ["4.09"])
        self.assertEqual(self._exchange(bench, FULL), "2.01")
        self.assertEqual(self._exchange(bench, BARE.replace("41021234", "41021236", 1)), "2.01")
        self.assertEqual(paths(bench, "dev1"), ["/1/0", "/3/0"])
        other, faults = bench.restart()
        self.assertEqual(faults, [])
        self.assertEqual(self._exchange(other, BARE.replace("41021234", "41021237", 1)), "2.01")
        self.assertEqual(paths(other, "dev1"), ["/1/0", "/3/0"])


class RegisterTests(SynchronousTestCase):
    """Which list a Register with profile ids has."""

    def setUp(self) -> None:
        self.bench = Bench()

    def _register(self, endpoint: str, number: int, pid: str, links: str = "") -> str:
        device = self.bench.device(endpoint, number)
        answer = device.register("lwm2m=1.2", "lt=300", f"pid={pid}", links=links, content_format=40 if links else None)
        assert answer is not None
        return n.dotted(answer.code)

    def test_not_shared(self) -> None:
        """What one device says of an id holds for that device only."""
        self.assertEqual(self._register("liar", 1, "1:abcd", "</3/0>,</9/0>"), "2.01")
        self.assertEqual(self._register("other", 2, "1:abcd"), "4.09")
        self.assertNotIn("other", self.bench.server.devices)
        self.assertEqual(self._register("other", 2, "1:abcd", LINKS), "2.01")
        self.assertEqual(self._register("other", 2, "1:abcd"), "2.01")
        self.assertEqual((paths(self.bench, "liar"), paths(self.bench, "other")), (["/3/0", "/9/0"], ["/1/0", "/3/0"]))

    def test_learned_anew(self) -> None:
        """A list that comes with an id that the device named before replaces what that stood for."""
        self._register("d", 1, "1:a", LINKS)
        self._register("d", 1, "1:a", "</3/0>,</5/0>")
        self.assertEqual(self._register("d", 1, "1:a"), "2.01")
        self.assertEqual(paths(self.bench, "d"), ["/3/0", "/5/0"])

    def test_bounded(self) -> None:
        """Of the lists of one device the newest few are kept."""
        for number in range(6):
            self._register("d", 1, f"1:{number}", f"</3/0>,</5/{number}>")
        self.assertEqual([self._register("d", 1, f"1:{number}") for number in range(6)], ["4.09"] * 2 + ["2.01"] * 4)

    def test_outlives_the_registration(self) -> None:
        """What was learned is known after a De-register, and after a restart without a registration."""
        device = self.bench.device("d")
        device.register("lwm2m=1.2", "lt=300", "pid=1:a", links=LINKS)
        device.deregister()
        self.bench, _ = self.bench.restart()
        self.assertEqual(self._register("d", 1, "1:a"), "2.01")

    def test_configured(self) -> None:
        """What the operator configured holds for every device, and is merged with a list and with other ids."""
        configure(self.bench, "oma:base", "</1/0>,</3/0>")
        configure(self.bench, "v:sensor", "</3303/0>;ver=1.1,</3303/1>")
        self.assertEqual(self._register("a", 1, "oma:base"), "2.01")
        self.assertEqual(self._register("b", 2, '"oma:base,v:sensor"'), "2.01")
        self.assertEqual(self._register("c", 3, "oma:base,v:sensor", "</5/0>"), "2.01")
        self.assertEqual(self._register("d", 4, "oma:base,1:unknown"), "4.09")
        self.assertEqual(self._register("e", 5, "oma:base,1:mine", "</5/0>"), "2.01")
        self.assertEqual(self._register("e", 5, "1:mine"), "2.01")
        self.assertEqual(paths(self.bench, "a"), ["/1/0", "/3/0"])
        self.assertEqual(paths(self.bench, "b"), ["/1/0", "/3/0", "/3303/0", "/3303/1"])
        self.assertEqual(paths(self.bench, "c"), ["/1/0", "/3/0", "/5/0", "/3303/0", "/3303/1"])
        self.assertEqual(paths(self.bench, "e"), ["/5/0"])
        found = self.bench.server.devices["b"].registration
        assert found is not None
        self.assertEqual(found.objects.versions, {1: "1.2", 3: "1.2", 3303: "1.1"})

    def test_several_unknown(self) -> None:
        """A list with several ids that nobody knows is taken, and none of them is learned."""
        self.assertEqual(self._register("d", 1, "1:a,1:b", LINKS), "2.01")
        self.assertEqual((self._register("d", 1, "1:a"), self._register("d", 1, "1:a,1:b")), ("4.09", "4.09"))

    def test_update(self) -> None:
        """An Update with an id changes the list, one with an unknown id is 4.09 and changes nothing."""
        configure(self.bench, "oma:more", "</1/0>,</3/0>,</5/0>")
        device = self.bench.device("d")
        device.register("lwm2m=1.2", "lt=300", "pid=1:a", links=LINKS)
        codes = []
        for query, links in ((("pid=oma:more",), ""), (("pid=1:b",), ""), (("pid=1:b",), "</3/0>"), (("pid=1:a",), "")):
            answer = device.update(*query, links=links)
            assert answer is not None
            codes.append((n.dotted(answer.code), paths(self.bench, "d")))
        expected = [
            ("2.04", ["/1/0", "/3/0", "/5/0"]),
            ("4.09", ["/1/0", "/3/0", "/5/0"]),
            ("2.04", ["/3/0"]),
            ("2.04", ["/1/0", "/3/0"]),
        ]
        self.assertEqual(codes, expected)
        self.bench, _ = self.bench.restart()
        self.assertEqual(self._register("d", 1, "1:b"), "2.01")

    def test_unstored(self) -> None:
        """What could not be stored was not learned."""
        self.bench.failing = True
        self.assertEqual(self._register("d", 1, "1:a", LINKS), "5.03")
        self.bench.failing = False
        self.assertEqual(self._register("d", 1, "1:a"), "4.09")


class OperatorTests(SynchronousTestCase):
    """What the operator configures."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(profile_ids=2))
        self.profiles = self.bench.server.profiles

    def test_refused(self) -> None:
        """What is no list, names nothing or could be named by no device is refused, and so is one too many."""
        for profile, links, field in (
            ("a", "no links", "links"),
            ("a", "", "links"),
            ("a", "</>", "links"),
            ("", LINKS, "pid"),
            ("a,b", LINKS, "pid"),
            ('"a"', LINKS, "pid"),
            ("a b", LINKS, "pid"),
            ("x" * 129, LINKS, "pid"),
        ):
            error = self.assertRaises(BadOperation, self.profiles.put, profile, links, lambda ok, now: None)
            self.assertEqual(error.field, field, profile)
        for profile in ("a", "b", "a"):
            configure(self.bench, profile, LINKS)
        self.assertRaises(LimitReached, self.profiles.put, "c", LINKS, lambda ok, now: None)

    def test_removed(self) -> None:
        """One that was removed stands for nothing; who registered with it stays."""
        configure(self.bench, "oma:x", LINKS)
        device = self.bench.device("d")
        device.register("lwm2m=1.2", "lt=300", "pid=oma:x", links="")
        self.profiles.remove("oma:x", lambda ok, now: None)
        self.bench.settle()
        self.assertEqual((paths(self.bench, "d"), self.bench.tables["profile_ids"]), (["/1/0", "/3/0"], {}))
        self.assertRaises(UnknownProfile, self.profiles.links, "oma:x")
        self.assertRaises(UnknownProfile, self.profiles.remove, "oma:x", lambda ok, now: None)

    def test_restart(self) -> None:
        """What was configured is there after a restart; a row that is no list is left out and told."""
        configure(self.bench, "oma:x", LINKS)
        self.bench.tables["profile_ids"]["bad"] = b"no links"
        other, faults = self.bench.restart()
        self.assertEqual((other.server.profiles.configured, len(faults)), ({"oma:x": LINKS}, 1))

    def test_unstored(self) -> None:
        """What could not be stored is not there."""
        self.bench.failing = True
        configure(self.bench, "oma:x", LINKS)
        self.assertEqual(self.profiles.configured, {})


class UnionTests(SynchronousTestCase):
    """Several lists as one."""

    @given(
        st.lists(
            st.lists(st.sampled_from(["</1/0>", "</3/0>", "</5>", "</5/0>", "</5/2>;ver=1.1", "</9>"]), min_size=1),
            min_size=1,
        )
    )
    def test_like_one(self, parts: list[list[str]]) -> None:
        """The union of lists is the list of all their links."""
        lists = [object_list(",".join(part).encode()) for part in parts]
        whole = object_list(",".join(link for part in parts for link in part).encode())
        found = union(lists)
        self.assertEqual((found.paths, found.versions), (whole.paths, whole.versions))

    def test_root(self) -> None:
        """The alternate root and the formats of any of them hold."""
        found = union([object_list(b"</3/0>"), object_list(b'</l>;rt="oma.lwm2m";ct=110,</l/5/0>')])
        self.assertEqual(
            (found.root, found.formats, [str(path) for path in found.paths]), ("/l", (110,), ["/3/0", "/5/0"])
        )
