"""Every operation, code and level of `lwm2md.device.requests`, in the order in which a request is checked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers
from lwm2md.coap.numbers import (
    CBOR,
    DELETE,
    FETCH,
    GET,
    IPATCH,
    JSON,
    LINK_FORMAT,
    LWM2M_CBOR,
    OPAQUE,
    POST,
    PUT,
    SENML_CBOR,
    SENML_ETCH_CBOR,
    SENML_JSON,
    TEXT,
    TLV,
)
from lwm2md.device.tree import Stored
from lwm2md.device.writing import MAX_INSTANCES
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.nodes import ContentError, Entry
from lwm2md.lwm2m.paths import ROOT, Path
from lwm2md.lwm2m.values import Value
from tests.device.harness import NOW, Bench, everything

Case = tuple[int, str, dict[str, object], str]

_SYNTAX: tuple[Case, ...] = (
    (GET, "/3/0/0/0/0", {}, "4.02"),
    (GET, "/3/x", {}, "4.02"),
    (GET, "/3/03", {}, "4.02"),
    (GET, "/3//0", {}, "4.02"),
    (GET, "/65535", {}, "4.02"),
    (GET, "/3/0", {"extra": ((numbers.IF_NONE_MATCH, b""),)}, "4.02"),
    (GET, "/3/0", {"extra": ((numbers.URI_HOST, b"h"),)}, "4.02"),
    (GET, "/3/0", {"query": ("x=1",)}, "4.02"),
    (DELETE, "/3303/0", {"query": ("x=1",)}, "4.02"),
    (GET, "/", {}, "4.00"),
    (PUT, "/", {}, "4.00"),
    (POST, "/", {}, "4.00"),
    (DELETE, "/", {}, "4.00"),
    (FETCH, "/", {}, "4.15"),
    (IPATCH, "/", {}, "4.15"),
    (FETCH, "/3", {}, "4.02"),
    (IPATCH, "/3", {}, "4.02"),
    (numbers.PATCH, "/3/0", {}, "4.05"),
)
_SECURITY: tuple[Case, ...] = tuple(
    (method, path, {}, "4.01")
    for method in (GET, PUT, POST, DELETE)
    for path in ("/0", "/0/0", "/0/0/5", "/21", "/23/0")
)
_ORDER: tuple[Case, ...] = (
    (GET, "/x/9/9", {"accept": LWM2M_CBOR}, "4.02"),
    (GET, "/77/9/9", {"accept": LWM2M_CBOR}, "4.04"),
    (GET, "/0/9/9", {"accept": LWM2M_CBOR}, "4.01"),
    (GET, "/3/9", {"accept": LWM2M_CBOR}, "4.06"),
    (GET, "/3/9/99", {}, "4.04"),
    (GET, "/3/9/99", {"accept": TEXT}, "4.04"),
    (GET, "/3/0/4", {"accept": OPAQUE}, "4.05"),
    (PUT, "/77/9/99", {"content": LWM2M_CBOR}, "4.04"),
    (PUT, "/3/9/99", {"content": LWM2M_CBOR}, "4.15"),
    (POST, "/3/9/99", {"content": LWM2M_CBOR}, "4.15"),
    (PUT, "/3/9/0", {"content": TEXT}, "4.04"),
    (POST, "/3/9/99", {}, "4.04"),
    (POST, "/3/0/0", {"content": TEXT, "payload": b"x"}, "4.05"),
    (POST, "/3/0/4", {"content": TEXT, "payload": b"x"}, "4.00"),
    (DELETE, "/77/0/0", {}, "4.04"),
    (FETCH, "/3", {"content": TLV}, "4.02"),
    (FETCH, "/", {"content": TLV, "accept": TLV}, "4.15"),
    (FETCH, "/", {"content": SENML_CBOR, "accept": TLV, "payload": b"x"}, "4.06"),
    (IPATCH, "/", {"content": SENML_ETCH_CBOR}, "4.15"),
    (PUT, "/3/0/99", {"content": TEXT}, "4.04"),
    (PUT, "/3/0/0", {"content": TLV, "payload": b"\xff"}, "4.05"),
    (PUT, "/1/0/1", {"content": TLV, "payload": b"\xff"}, "4.00"),
)
_READ: tuple[Case, ...] = (
    (GET, "/3", {}, "2.05"),
    (GET, "/3/0", {}, "2.05"),
    (GET, "/3/0/0", {}, "2.05"),
    (GET, "/3/0/6", {}, "2.05"),
    (GET, "/3/0/6/1", {}, "2.05"),
    (GET, "/3/0/6/9", {}, "4.04"),
    (GET, "/3/0/0/0", {}, "4.04"),
    (GET, "/3/0/4", {}, "4.05"),
    (GET, "/1/0/2", {}, "4.04"),
    (GET, "/3/0/0", {"accept": TEXT}, "2.05"),
    (GET, "/3/0/0", {"accept": TLV}, "2.05"),
    (GET, "/3/0/0", {"accept": OPAQUE}, "4.06"),
    (GET, "/3/0/6", {"accept": TEXT}, "4.06"),
    (GET, "/3/0", {"accept": TEXT}, "4.06"),
    (GET, "/3/0", {"accept": JSON}, "2.05"),
    (GET, "/3/0", {"accept": SENML_ETCH_CBOR}, "4.06"),
    (GET, "/3/0", {"accept": 9999}, "4.06"),
)
_DISCOVER: tuple[Case, ...] = (
    (GET, "/3", {"accept": LINK_FORMAT}, "2.05"),
    (GET, "/3/0", {"accept": LINK_FORMAT}, "2.05"),
    (GET, "/3/0/4", {"accept": LINK_FORMAT}, "2.05"),
    (GET, "/3/0/6/0", {"accept": LINK_FORMAT}, "4.05"),
    (GET, "/3/1", {"accept": LINK_FORMAT}, "4.04"),
    (GET, "/1/0/2", {"accept": LINK_FORMAT}, "4.04"),
    (GET, "/3", {"accept": LINK_FORMAT, "query": ("depth=9",)}, "2.05"),
    (GET, "/3", {"accept": LINK_FORMAT, "query": ("deep=9",)}, "4.02"),
)
_WRITE: tuple[Case, ...] = (
    (PUT, "/1/0/1", {"content": TEXT, "payload": b"60"}, "2.04"),
    (PUT, "/1/0/1", {"content": TLV, "payload": b"\xc1\x01\x3c"}, "2.04"),
    (PUT, "/1/0/1", {"content": 1542, "payload": b"\xc1\x01\x3c"}, "2.04"),
    (PUT, "/1/0/1", {"content": TEXT, "payload": b"soon"}, "4.00"),
    (PUT, "/1/0/1", {"content": TEXT, "payload": b"-1"}, "4.00"),
    (PUT, "/1/0/1", {"content": TEXT, "payload": b""}, "4.00"),
    (PUT, "/1/0/1", {"content": TLV, "payload": b"\xc1\x02\x3c"}, "4.00"),
    (PUT, "/1/0/1", {"content": TLV, "payload": b"\x83\x01\x41\x00\x3c"}, "4.00"),
    (PUT, "/1/0/1", {"content": TLV, "payload": b"\xc1\x01\x3c\x00"}, "4.00"),
    (PUT, "/1/0/1", {"content": OPAQUE, "payload": b"\x3c"}, "4.00"),
    (PUT, "/1/0/1", {"payload": b"60"}, "4.00"),
    (PUT, "/1/0/7", {"content": TEXT, "payload": b"T"}, "4.00"),
    (PUT, "/3/0/15", {"content": TEXT, "payload": b""}, "2.04"),
    (PUT, "/1/0/0", {"content": TEXT, "payload": b"2"}, "4.05"),
    (PUT, "/3/0/4", {"content": TEXT, "payload": b"2"}, "4.05"),
    (PUT, "/3/0/6/1", {"content": TEXT, "payload": b"2"}, "4.05"),
    (PUT, "/3", {"content": TLV, "payload": b""}, "4.05"),
    (PUT, "/1/0", {"content": TEXT, "payload": b"60"}, "4.00"),
    (POST, "/1/0", {"content": TEXT, "payload": b"60"}, "4.00"),
    (POST, "/1/0", {"content": TLV, "payload": b""}, "2.04"),
    (POST, "/1/0", {"content": TLV, "payload": b"\xc1\x00\x05"}, "4.05"),
    (POST, "/1/0", {"content": TLV, "payload": b"\xc1\x63\x05"}, "2.04"),
    (POST, "/1/9", {"content": TLV, "payload": b"\xc1\x01\x05"}, "4.04"),
    (POST, "/1/0/1", {"content": TLV, "payload": b"\xc1\x01\x05"}, "4.15"),
    (POST, "/3/0/6/1", {"content": TLV, "payload": b""}, "4.05"),
)
_EXECUTE: tuple[Case, ...] = (
    (POST, "/3/0/4", {}, "2.04"),
    (POST, "/3/0/4", {"content": TEXT}, "2.04"),
    (POST, "/3/0/4", {"content": TEXT, "payload": b"0='a',1"}, "2.04"),
    (POST, "/3/0/4", {"content": TEXT, "payload": b"0=a"}, "4.00"),
    (POST, "/3/0/4", {"content": TEXT, "payload": b"0,0"}, "4.00"),
    (POST, "/3/0/0", {}, "4.05"),
    (POST, "/3/0", {}, "4.05"),
    (POST, "/3/0/6/0", {}, "4.05"),
    (POST, "/3/0/99", {}, "4.04"),
    (POST, "/3/9/4", {}, "4.04"),
)
_CREATE: tuple[Case, ...] = (
    (POST, "/3303", {}, "2.01"),
    (POST, "/3303", {"content": TLV, "payload": b"\xe4\x16\x76Hall"}, "2.01"),
    (POST, "/3303", {"content": TLV, "payload": b"\x08\x05\x07\xe4\x16\x76Hall"}, "2.01"),
    (POST, "/3303", {"content": TLV, "payload": b"\x08\x00\x07\xe4\x16\x76Hall"}, "4.00"),
    (POST, "/3303", {"content": TLV, "payload": b"\x00\x05\x00\x06"}, "4.00"),
    (POST, "/3303", {"content": TEXT, "payload": b"Hall"}, "4.00"),
    (POST, "/3303", {"content": SENML_CBOR, "payload": b"\x80"}, "2.01"),
    (POST, "/3303", {"content": SENML_JSON, "payload": b'[{"n":"/3303/5/5750","vs":"Hall"}]'}, "2.01"),
    (POST, "/3303", {"content": SENML_JSON, "payload": b'[{"n":"/3442/5/120","v":1}]'}, "4.00"),
    (POST, "/3303", {"content": LWM2M_CBOR, "payload": b"\xa0"}, "4.15"),
    (POST, "/3303", {"payload": b"Hall"}, "4.15"),
    (POST, "/3", {"content": TLV, "payload": b""}, "4.05"),
    (POST, "/1", {"content": TLV, "payload": b"\xc1\x01\x05"}, "4.05"),
    (POST, "/77", {"content": TLV, "payload": b""}, "4.04"),
)
_DELETE: tuple[Case, ...] = (
    (DELETE, "/3303/0", {}, "2.02"),
    (DELETE, "/3303/7", {}, "4.04"),
    (DELETE, "/3303", {}, "4.05"),
    (DELETE, "/3303/0/5750", {}, "4.05"),
    (DELETE, "/3/0", {}, "4.05"),
    (DELETE, "/1/0", {}, "4.05"),
    (DELETE, "/3/0/6/0", {}, "4.05"),
)
_ATTRIBUTES: tuple[Case, ...] = (
    (PUT, "/3303", {"query": ("pmin=1",)}, "2.04"),
    (PUT, "/3303/0", {"query": ("pmin=10", "pmax=60")}, "2.04"),
    (PUT, "/3303/0/5700", {"query": ("gt=20", "lt=10", "st=0.5")}, "2.04"),
    (PUT, "/3303/0/5700", {"query": ("gt",)}, "2.04"),
    (PUT, "/3303/0/5700", {}, "2.04"),
    (PUT, "/3/0/7/0", {"query": ("pmin=1",)}, "2.04"),
    (PUT, "/3303/0", {"query": ("gt=20",)}, "4.00"),
    (PUT, "/3/0/0", {"query": ("gt=20",)}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("gt=10", "lt=20")}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("gt=20", "lt=10", "st=5")}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("st=-1",)}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("pmin=x",)}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("dim=3",)}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("pmin=1", "pmin=2")}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("epmin=1", "epmax=2")}, "2.04"),
    (PUT, "/3303/0/5700", {"query": ("con=1",)}, "4.00"),
    (PUT, "/3303/0/5700", {"query": ("pmin=9", "pmax=5")}, "2.04"),
    (PUT, "/3/0/4", {"query": ("pmin=1",)}, "4.05"),
    (PUT, "/3/9", {"query": ("pmin=1",)}, "4.04"),
    (PUT, "/3/0/99", {"query": ("pmin=1",)}, "4.04"),
    (PUT, "/1/0/2", {"query": ("pmin=1",)}, "4.04"),
)
_OBSERVE: tuple[Case, ...] = (
    (GET, "/3303", {"observe": 0}, "2.05"),
    (GET, "/3303/0", {"observe": 0}, "2.05"),
    (GET, "/3303/0/5700", {"observe": 0}, "2.05"),
    (GET, "/3/0/7/1", {"observe": 0}, "2.05"),
    (GET, "/3303/0/5605", {"observe": 0}, "4.05"),
    (GET, "/3303/9", {"observe": 0}, "4.04"),
    (GET, "/3303", {"observe": 0, "accept": TEXT}, "4.06"),
    (GET, "/0/0", {"observe": 0}, "4.01"),
    (GET, "/3303/0/5700", {"observe": 0, "query": ("pmin=1",)}, "4.02"),
)
_FROM_1_2: tuple[Case, ...] = (
    (GET, "/3", {"accept": LINK_FORMAT, "query": ("depth=0",)}, "2.05"),
    (GET, "/3", {"accept": LINK_FORMAT, "query": ("depth=4",)}, "4.00"),
    (GET, "/3303/0/5700", {"observe": 0, "query": ("pmin=1", "gt=3")}, "2.05"),
    (GET, "/3303/0/5700", {"observe": 0, "query": ("gt=1", "lt=3")}, "4.00"),
    (GET, "/3303/0", {"observe": 0, "query": ("gt=1",)}, "4.00"),
    (GET, "/3303/9", {"observe": 0, "query": ("pmin=1",)}, "4.04"),
    (POST, "/1/0/1", {"content": TLV, "payload": b"\xc1\x01\x05"}, "4.05"),
    (DELETE, "/3/0/6/0", {}, "4.05"),
    (PUT, "/3303/0", {"query": ("con=1", "hqmax=5")}, "2.04"),
    (PUT, "/1/0/6", {"query": ("edge=1",)}, "2.04"),
    (PUT, "/1/0", {"query": ("edge=1",)}, "4.00"),
    (PUT, "/3/0/7", {"query": ("edge=1",)}, "4.00"),
    (PUT, "/3/0/7", {"query": ("con=2",)}, "4.00"),
    (PUT, "/3/0/7", {"query": ("epmin=10", "epmax=10")}, "4.00"),
)
_UNTIL_1_0: tuple[Case, ...] = (
    (GET, "/3/0/6", {}, "2.05"),
    (GET, "/3/0/6/0", {}, "4.05"),
    (PUT, "/3/0/7/0", {"query": ("pmin=1",)}, "4.05"),
    (PUT, "/3/0", {"query": ("pmin=1",)}, "2.04"),
    (PUT, "/3/0", {"query": ("epmin=1",)}, "4.00"),
    (FETCH, "/", {}, "4.05"),
    (IPATCH, "/", {}, "4.05"),
    (GET, "/3/0", {"accept": SENML_CBOR}, "4.06"),
    (PUT, "/1/0/1", {"content": SENML_CBOR}, "4.15"),
    (PUT, "/1/0/1", {"content": CBOR}, "4.15"),
)


def _record(identifier: int, value: bytes) -> bytes:
    """One Resource as TLV."""
    return bytes((0xC0 | len(value), identifier)) + value


def _encoded(content: int, path: str, value: Value) -> bytes:
    """A value for a path in a format, or nothing where there is no such payload."""
    kind = Bench("1.2").tree.model
    try:
        return formats.encode(content, ROOT, (Entry(Path.parse(path), value),), kind)
    except ContentError:
        return b""


_written = st.builds(
    _encoded,
    st.sampled_from((SENML_CBOR, SENML_JSON, LWM2M_CBOR)),
    st.sampled_from(("/1/0/1", "/1/0/0", "/3/0/15", "/3/0/6/0", "/0/0/0", "/3303/0/5750", "/3303/1/5750", "/77/0/0")),
    st.one_of(st.integers(-5, 2**40), st.booleans(), st.text(max_size=5), st.binary(max_size=5)),
)


class CodeTests(SynchronousTestCase):
    """Tables of requests and the code that each is answered with, on a fresh device."""

    def _check(self, cases: tuple[Case, ...], version: str = "1.1") -> None:
        for method, path, rest, code in cases:
            found = Bench(version).code(method, path, **rest)
            self.assertEqual(found, code, f"{numbers.code_name(method)} {path} {rest}")

    def test_syntax(self) -> None:
        """Options, paths and methods that cannot be are refused first."""
        self._check(_SYNTAX)

    def test_security(self) -> None:
        """The Security Objects are closed to every method at every level."""
        self._check(_SECURITY)

    def test_order(self) -> None:
        """Where several things are wrong, the first in the order of checks decides."""
        self._check(_ORDER)

    def test_read(self) -> None:
        """Read has the right code at every level and in every format."""
        self._check(_READ)

    def test_discover(self) -> None:
        """Discover works on Objects, Instances and Resources; before 1.2 its depth is ignored."""
        self._check(_DISCOVER)

    def test_write(self) -> None:
        """Write has the right code for every level, format and wrong payload."""
        self._check(_WRITE)

    def test_execute(self) -> None:
        """Execute takes well-formed arguments on executable Resources only."""
        self._check(_EXECUTE)

    def test_create(self) -> None:
        """Create takes one Instance, with an id or without, of a dynamic Object only."""
        self._check(_CREATE)

    def test_delete(self) -> None:
        """Delete takes Instances of dynamic Objects only."""
        self._check(_DELETE)

    def test_write_attributes(self) -> None:
        """Write-Attributes checks level, type, relations and existence."""
        self._check(_ATTRIBUTES)

    def test_observe(self) -> None:
        """Observe is answered like a Read; parameters are not understood before 1.2."""
        self._check(_OBSERVE)

    def test_what_1_2_adds(self) -> None:
        """Version 1.2 adds the depth of Discover and the parameters of Observe."""
        self._check(_FROM_1_2, "1.2")

    def test_what_1_0_lacks(self) -> None:
        """Version 1.0 has no paths of Resource Instances."""
        self._check(_UNTIL_1_0, "1.0")


class ReadTests(SynchronousTestCase):
    """What a Read shows."""

    def test_text_of_single_value(self) -> None:
        """A single Resource is text when no format is asked for."""
        response = Bench().ask(GET, "/3/0/0").response
        self.assertEqual((response.payload, response.options), (b"lwm2md", ((numbers.CONTENT_FORMAT, b""),)))

    def test_tlv_of_multiple_resource(self) -> None:
        """A multiple Resource of a device of 1.0 is TLV when no format is asked for."""
        response = Bench("1.0").ask(GET, "/3/0/6").response
        self.assertEqual(response.payload, bytes.fromhex("8606410005410101"))

    def test_only_readable_resources(self) -> None:
        """A Read of an Instance leaves executable Resources out."""
        bench = Bench()
        numbers_ = {entry.path[2] for entry in bench.tree.nodes(Path((3, 0)))}
        self.assertNotIn(4, numbers_)
        self.assertIn(0, numbers_)

    def test_empty_object(self) -> None:
        """An Object without Instances is an empty payload, or an empty list."""
        for accept, payload in ((TLV, b""), (SENML_CBOR, b"\x80"), (SENML_JSON, b"[]")):
            bench = Bench()
            bench.ask(DELETE, "/3303/0")
            response = bench.ask(GET, "/3303", accept=accept).response
            self.assertEqual((response.code, response.payload), (numbers.CONTENT, payload))

    def test_diagnostic(self) -> None:
        """A refusal says in a few words why."""
        self.assertEqual(Bench().ask(GET, "/3/9").response.payload, b"no instance /3/9")


class WriteTests(SynchronousTestCase):
    """What a Write leaves behind."""

    def _value(self, bench: Bench, path: str) -> Stored | None:
        return bench.tree.resource(Path.parse(path))

    def test_replace_resets_what_is_not_named(self) -> None:
        """Replacing an Instance removes optional writable Resources that the payload does not name."""
        bench = Bench()
        outcome = bench.ask(PUT, "/1/0", content=TLV, payload=bytes.fromhex("c1013c c10600 c10755".replace(" ", "")))
        self.assertEqual(outcome.response.code, numbers.CHANGED)
        self.assertEqual([str(path) for path in outcome.changed], ["/1/0/1", "/1/0/5", "/1/0/6", "/1/0/23"])
        self.assertIsNone(self._value(bench, "/1/0/5"))
        self.assertEqual((self._value(bench, "/1/0/0"), self._value(bench, "/1/0/6")), (1, False))

    def test_replace_needs_mandatory(self) -> None:
        """Replacing an Instance without a mandatory writable Resource is refused, and nothing changes."""
        bench = Bench()
        before = bench.tree.copy(Path((1, 0)))
        self.assertEqual(bench.code(PUT, "/1/0", content=TLV, payload=b"\xc1\x01\x3c"), "4.00")
        self.assertEqual(bench.tree.copy(Path((1, 0))), before)

    def test_partial_keeps_the_rest(self) -> None:
        """A partial Write changes what it names, creates what is optional, and keeps the rest."""
        bench = Bench()
        bench.ask(POST, "/1/0", content=TLV, payload=b"\xc1\x02\x05")
        self.assertEqual((self._value(bench, "/1/0/2"), self._value(bench, "/1/0/1")), (5, 300))

    def test_all_or_nothing(self) -> None:
        """When one Resource of a Write is refused, none is written, whatever their order."""
        for payload in ("c10205c10005", "c10005c10205", "c10205c10754"):
            bench = Bench()
            before = bench.tree.copy(Path((1, 0)))
            self.assertNotEqual(bench.code(POST, "/1/0", content=TLV, payload=bytes.fromhex(payload)), "2.04")
            self.assertEqual(bench.tree.copy(Path((1, 0))), before, payload)

    @given(
        st.sampled_from(
            (
                *((PUT, "/1/0"), (POST, "/1/0"), (PUT, "/1/0/1"), (PUT, "/3/0/15"), (POST, "/3303")),
                *((IPATCH, "/"), (FETCH, "/"), (PUT, "/3/0/6/0"), (POST, "/1/0/1")),
            )
        ),
        st.sampled_from(tuple(formats.CODECS)),
        st.one_of(st.binary(max_size=40), st.builds(_record, st.integers(0, 30), st.binary(max_size=7)), _written),
    )
    @settings(max_examples=300, deadline=None)
    def test_refused_means_untouched(self, target: tuple[int, str], content: int, payload: bytes) -> None:
        """Whatever the payload, a refused change leaves the tree as it was, and the answer is a known code."""
        bench = Bench("1.2")
        before = everything(bench.tree)
        code = bench.code(*target, content=content, payload=payload)
        self.assertIn(code, ("2.01", "2.04", "2.05", "4.00", "4.01", "4.04", "4.05", "4.15"))
        if not code.startswith("2."):
            self.assertEqual(everything(bench.tree), before)

    def test_same_value_is_no_change(self) -> None:
        """Writing the value that is there changes nothing."""
        self.assertEqual(Bench().ask(PUT, "/1/0/1", content=TEXT, payload=b"300").changed, ())


class CreateTests(SynchronousTestCase):
    """What Create and Delete leave behind."""

    def test_lowest_free_id(self) -> None:
        """Without an id the lowest free one is taken and told."""
        bench = Bench()
        outcome = bench.ask(POST, "/3303", content=TLV, payload=b"\xe4\x16\x76Hall")
        self.assertEqual(outcome.path, Path((3303, 1)))
        self.assertEqual(outcome.response.options, ((numbers.LOCATION_PATH, b"3303"), (numbers.LOCATION_PATH, b"1")))
        self.assertEqual(bench.tree.value(Path((3303, 1, 5750))), "Hall")
        self.assertEqual(bench.tree.value(Path((3303, 1, 5701))), "Cel")

    def test_read_only_is_ignored(self) -> None:
        """A read-only Resource in a Create is ignored."""
        bench = Bench()
        bench.ask(POST, "/3303", content=TLV, payload=b"\x08\x05\x07\xe4\x16\x45Fahr")
        self.assertEqual(bench.tree.value(Path((3303, 5, 5701))), "Cel")

    def test_bounded(self) -> None:
        """There is no room for more than so many Instances."""
        bench = Bench()
        codes = [bench.code(POST, "/3303") for _ in range(MAX_INSTANCES)]
        self.assertEqual(codes, ["2.01"] * (MAX_INSTANCES - 1) + ["5.00"])

    def test_new_sensor_is_measured(self) -> None:
        """A created sensor takes part in the world."""
        bench = Bench()
        bench.ask(POST, "/3303")
        bench.simulation.step(NOW)
        self.assertIsInstance(bench.tree.value(Path((3303, 1, 5700))), float)


class DiscoverTests(SynchronousTestCase):
    """The links of Discover."""

    def _links(self, bench: Bench, path: str, *query: str) -> str:
        return bench.ask(GET, path, accept=LINK_FORMAT, query=query).response.payload.decode()

    def test_attributes_of_target_are_inherited(self) -> None:
        """The target shows attached and inherited attributes, what is below shows its own."""
        bench = Bench()
        bench.ask(PUT, "/3", query=("pmin=10",))
        bench.ask(PUT, "/3/0", query=("pmax=60",))
        bench.ask(PUT, "/3/0/7", query=("gt=50", "lt=42.2"))
        bench.ask(PUT, "/3/0/7/1", query=("lt=45",))
        self.assertTrue(self._links(bench, "/3").startswith("</3>;pmin=10,</3/0>;pmax=60,</3/0/0>,"))
        self.assertEqual(
            self._links(bench, "/3/0/7"), "</3/0/7>;dim=2;pmin=10;pmax=60;gt=50;lt=42.2,</3/0/7/0>,</3/0/7/1>;lt=45"
        )

    def test_depth(self) -> None:
        """From 1.2 on the depth says how many levels are listed."""
        bench = Bench("1.2")
        self.assertEqual(self._links(bench, "/6", "depth=0"), "</6>")
        self.assertEqual(self._links(bench, "/6", "depth=1"), "</6>,</6/0>")
        self.assertIn("</3/0/6/1>", self._links(bench, "/3", "depth=3"))

    def test_version(self) -> None:
        """An Object tells a version that its LwM2M version does not imply."""
        self.assertTrue(self._links(Bench(), "/3303").startswith("</3303>;ver=1.1,</3303/0>,"))
        self.assertTrue(self._links(Bench("1.0"), "/3303").startswith("</3303>,</3303/0>,"))

    def test_executables_are_listed(self) -> None:
        """An executable Resource is listed though it has no value."""
        self.assertIn("</3/0/4>,", self._links(Bench(), "/3/0"))

    def test_unset(self) -> None:
        """A valueless attribute unsets."""
        bench = Bench()
        bench.ask(PUT, "/3", query=("pmin=10", "pmax=20"))
        bench.ask(PUT, "/3", query=("pmin",))
        self.assertEqual(self._links(bench, "/3/0/4"), "</3/0/4>;pmax=20")
