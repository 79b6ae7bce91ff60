"""Every Content-Format in every operation, at every level and in every LwM2M version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.device import contents
from lwm2md.device.objects import Settings
from lwm2md.device.tree import Stored
from lwm2md.lwm2m import formats
from lwm2md.lwm2m.nodes import ContentError, Entry
from lwm2md.lwm2m.paths import ROOT, Path
from tests.device.harness import Bench

_VERSIONS = ("1.0", "1.1", "1.2")
_VALUES: dict[int, Stored] = {120: 5, 150: b"\x01", 1120: {0: 1, 5: 2}}
_INSTANCES: Mapping[Path, Mapping[int, Stored]] = {Path((3442, 0)): _VALUES}
_ONE = Path((3442, 0, 120))
_INSTANCE = Path((3442, 0))
_CREATED = Path((3442, 7))


class _Row(NamedTuple):
    """A format, the version it came with, and the code of each operation that uses it."""

    content: int
    since: str
    read_one: str
    read_several: str
    write_one: str
    write_instance: str
    create: str
    read_list: str
    write_list: str
    answer_list: str


_TABLE = (
    _Row(n.TEXT, "1.0", "2.05", "4.06", "2.04", "4.00", "4.00", "4.15", "4.15", "4.06"),
    _Row(n.OPAQUE, "1.0", "4.06", "4.06", "4.00", "4.00", "4.00", "4.15", "4.15", "4.06"),
    _Row(n.CBOR, "1.1", "2.05", "4.06", "2.04", "4.00", "4.00", "4.15", "4.15", "4.06"),
    _Row(n.SENML_JSON, "1.1", "2.05", "2.05", "2.04", "2.04", "2.01", "2.05", "2.04", "2.05"),
    _Row(n.SENML_CBOR, "1.1", "2.05", "2.05", "2.04", "2.04", "2.01", "2.05", "2.04", "2.05"),
    _Row(n.SENML_ETCH_JSON, "1.2", "4.06", "4.06", "4.15", "4.15", "4.15", "2.05", "2.04", "4.06"),
    _Row(n.SENML_ETCH_CBOR, "1.2", "4.06", "4.06", "4.15", "4.15", "4.15", "2.05", "2.04", "4.06"),
    _Row(n.TLV, "1.0", "2.05", "2.05", "2.04", "2.04", "2.01", "4.15", "4.15", "4.06"),
    _Row(n.JSON, "1.0", "2.05", "2.05", "2.04", "2.04", "2.01", "4.15", "4.15", "4.06"),
    _Row(n.LWM2M_CBOR, "1.2", "2.05", "2.05", "2.04", "2.04", "2.01", "4.15", "2.04", "2.05"),
    _Row(9999, "9", "4.06", "4.06", "4.15", "4.15", "4.15", "4.15", "4.15", "4.06"),
)
_UNKNOWN = _TABLE[-1]


def _bench(version: str) -> Bench:
    settings = Settings("test-device", 300, version, instances=_INSTANCES)
    return Bench(settings=settings, more=(3442,))


def _rows(version: str) -> list[_Row]:
    """The table as it is in a version: what came later is unknown."""
    return [row if row.since <= version else _UNKNOWN._replace(content=row.content) for row in _TABLE]


def _payload(bench: Bench, content: int, base: Path, path: Path) -> bytes:
    """The Integer 7 for a path; for a format that cannot say that, something."""
    try:
        return formats.encode(content, base, (Entry(path, 7),), bench.tree.model)
    except ContentError:
        return b"\x07" if content == n.CBOR else b"7"


class TableTests(SynchronousTestCase):
    """The table of the formats, in each version."""

    def _read(self, row: _Row, version: str, path: str, expected: str) -> None:
        answer = _bench(version).ask(n.GET, path, accept=row.content).response
        self.assertEqual(n.dotted(answer.code), expected, (row.content, version, path))
        if expected == "2.05":
            self.assertIn((n.CONTENT_FORMAT, n_bytes(row.content)), answer.options)

    def test_read(self) -> None:
        """Read answers in the format that is accepted, where it can carry what is asked for."""
        for version in _VERSIONS:
            for row in _rows(version):
                self._read(row, version, "/3442/0/120", row.read_one)
                for path in ("/3442", "/3442/0", "/3442/0/1120"):
                    self._read(row, version, path, row.read_several)
                if version != "1.0":
                    self._read(row, version, "/3442/0/1120/5", row.read_one)

    def test_observe(self) -> None:
        """Observe answers as Read does."""
        for version in _VERSIONS:
            for row in _rows(version):
                code = _bench(version).code(n.GET, "/3442/0/120", accept=row.content, observe=0)
                self.assertEqual(code, row.read_one, (row.content, version))

    def test_read_opaque(self) -> None:
        """An Opaque value can be read in its own format too, and in text as base64."""
        for content, expected in ((n.OPAQUE, b"\x01"), (n.TEXT, b"AQ=="), (None, b"\x01")):
            self.assertEqual(_bench("1.1").ask(n.GET, "/3442/0/150", accept=content).response.payload, expected)

    def test_write(self) -> None:
        """Write takes what the format can carry at each level, and the value arrives."""
        for version in _VERSIONS:
            for row in _rows(version):
                bench = _bench(version)
                for method, base, expected in (
                    (n.PUT, _ONE, row.write_one),
                    (n.PUT, _INSTANCE, row.write_instance),
                    (n.POST, _INSTANCE, row.write_instance),
                ):
                    payload = _payload(bench, row.content, base, _ONE)
                    code = bench.code(method, str(base), content=row.content, payload=payload)
                    self.assertEqual(code, expected, (row.content, version, str(base)))
                    if expected == "2.04":
                        self.assertEqual(bench.tree.value(_ONE), 7)

    def test_write_resource_instance(self) -> None:
        """A Resource Instance takes what a Resource takes."""
        path = Path((3442, 0, 1120, 5))
        for version in _VERSIONS[1:]:
            for row in _rows(version):
                bench = _bench(version)
                payload = _payload(bench, row.content, path, path)
                code = bench.code(n.PUT, str(path), content=row.content, payload=payload)
                self.assertEqual(code, row.write_one, (row.content, version))
                self.assertEqual(bench.tree.value(path), 7 if code == "2.04" else 2)

    def test_partial_write_of_a_resource(self) -> None:
        """From 1.2 on a multiple Resource takes a partial Write in the formats that can name its Instances."""
        path = Path((3442, 0, 1120))
        for row in _rows("1.2"):
            if row.content == n.TEXT:
                continue  # That is an Execute.
            bench = _bench("1.2")
            payload = _payload(bench, row.content, path, path.child(9))
            expected = "4.00" if row.content in (n.CBOR, n.OPAQUE) else row.write_instance
            self.assertEqual(bench.code(n.POST, str(path), content=row.content, payload=payload), expected, row)
            if expected == "2.04":
                self.assertEqual(bench.tree.resource(path), {0: 1, 5: 2, 9: 7})

    def test_create(self) -> None:
        """Create takes what can name Resources, and the id where the payload has one."""
        for version in _VERSIONS:
            for row in _rows(version):
                bench = _bench(version)
                payload = _payload(bench, row.content, Path((3442,)), _CREATED.child(120))
                outcome = bench.ask(n.POST, "/3442", content=row.content, payload=payload)
                self.assertEqual(n.dotted(outcome.response.code), row.create, (row.content, version))
                if row.create == "2.01":
                    self.assertEqual((outcome.path, bench.tree.value(_CREATED.child(120))), (_CREATED, 7))

    def test_create_several(self) -> None:
        """Two Instances in one Create are refused in every format, and none is there."""
        for row in _rows("1.2"):
            if row.create != "2.01":
                continue
            bench = _bench("1.2")
            nodes = (Entry(Path((3442, 7, 120)), 7), Entry(Path((3442, 8, 120)), 7))
            payload = formats.encode(row.content, Path((3442,)), nodes, bench.tree.model)
            self.assertEqual(bench.code(n.POST, "/3442", content=row.content, payload=payload), "4.00", row)
            self.assertEqual(list(bench.tree.instances(3442)), [0])

    def test_read_composite(self) -> None:
        """The list of paths comes in the SenML formats, the answer in those that name paths; 1.0 knows none."""
        for version in _VERSIONS:
            for row in _rows(version):
                bench = _bench(version)
                paths = formats.encode_paths(_list_format(row), (_ONE,))
                asked = bench.code(n.FETCH, "/", content=row.content, payload=paths)
                self.assertEqual(asked, "4.05" if version == "1.0" else row.read_list, (row.content, version))
                paths = formats.encode_paths(n.SENML_CBOR, (_ONE,))
                answered = bench.code(n.FETCH, "/", content=n.SENML_CBOR, accept=row.content, payload=paths)
                self.assertEqual(answered, "4.05" if version == "1.0" else row.answer_list, (row.content, version))

    def test_write_composite(self) -> None:
        """A composite Write comes in the formats that name paths; 1.0 knows none."""
        for version in _VERSIONS:
            for row in _rows(version):
                bench = _bench(version)
                payload = _payload(bench, row.content, ROOT, _ONE)
                code = bench.code(n.IPATCH, "/", content=row.content, payload=payload)
                self.assertEqual(code, "4.05" if version == "1.0" else row.write_list, (row.content, version))
                self.assertEqual(bench.tree.value(_ONE), 7 if code == "2.04" else 5)

    def test_numbers_of_the_drafts(self) -> None:
        """The numbers of the drafts are understood in what comes."""
        bench = _bench("1.0")
        self.assertEqual(bench.code(n.PUT, "/3442/0/120", content=1541, payload=b"7"), "2.04")
        self.assertEqual(bench.code(n.PUT, "/3442/0/120", content=1542, payload=b"\xc1\x78\x07"), "2.04")


class ChoiceTests(SynchronousTestCase):
    """Which format an answer has where the server has no wish, and what a device says it has."""

    def _format(self, bench: Bench, path: str) -> int | None:
        response = bench.ask(n.GET, path).response
        found = [value for number, value in response.options if number == n.CONTENT_FORMAT]
        return int.from_bytes(found[0], "big")

    def test_default(self) -> None:
        """One value is text, or opaque where it is; several are TLV in 1.0 and SenML CBOR later."""
        for version, several in (("1.0", n.TLV), ("1.1", n.SENML_CBOR), ("1.2", n.SENML_CBOR)):
            bench = _bench(version)
            self.assertEqual(self._format(bench, "/3442/0/120"), n.TEXT)
            self.assertEqual(self._format(bench, "/3442/0/150"), n.OPAQUE)
            for path in ("/3442", "/3442/0", "/3442/0/1120"):
                self.assertEqual(self._format(bench, path), several)

    def test_wished(self) -> None:
        """A device can be told in what it answers several values."""
        bench = Bench(settings=Settings("d", version="1.2", content_format=n.LWM2M_CBOR))
        self.assertEqual(self._format(bench, "/3/0"), n.LWM2M_CBOR)

    def test_limited(self) -> None:
        """A device can be told which formats it has."""
        bench = Bench(settings=Settings("d", version="1.1", formats=frozenset({n.TEXT, n.TLV})))
        self.assertEqual(self._format(bench, "/3/0"), n.TLV)
        self.assertEqual(bench.code(n.GET, "/3/0", accept=n.SENML_CBOR), "4.06")
        self.assertEqual(bench.code(n.PUT, "/1/0/1", content=n.CBOR, payload=b"\x07"), "4.15")

    def test_follows_the_registration(self) -> None:
        """A device that stepped its version down forgets the later formats and operations."""
        bench = Bench("1.2")
        bench.requests.speak("1.0")
        self.assertEqual(self._format(bench, "/3/0"), n.TLV)
        self.assertEqual(bench.code(n.GET, "/3/0", accept=n.LWM2M_CBOR), "4.06")
        self.assertEqual(bench.code(n.GET, "/3/0/6/0"), "4.05")

    def test_told(self) -> None:
        """A Register names what the version does not imply."""
        every: frozenset[int] = frozenset()
        self.assertEqual(contents.told("1.0", every), (n.JSON,))
        self.assertEqual(contents.told("1.1", every), (n.CBOR, n.SENML_JSON, n.SENML_CBOR, n.TLV))
        self.assertEqual(contents.told("1.2", every), (60, 110, 112, 320, 322, 11542, 11544))
        self.assertEqual(contents.told("1.1", frozenset({n.TEXT, n.TLV})), (n.TLV,))


def _list_format(row: _Row) -> int:
    """The format that a list of paths is written in for a row."""
    return row.content if row.read_list == "2.05" else n.SENML_CBOR


def n_bytes(value: int) -> bytes:
    """An option's value as it travels."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class ToleranceTests(SynchronousTestCase):
    """What of a payload is passed over, and what is not."""

    def _code(self, content: int, path: str, payload: bytes, root: tuple[str, ...] = ()) -> str:
        settings = Settings("d", 300, "1.1", root=root, instances=_INSTANCES)
        bench = Bench(settings=settings, more=(3442,))
        return bench.code(n.PUT, "".join(f"/{one}" for one in root) + path, content=content, payload=payload)

    def test_taken(self) -> None:
        """What servers in the field write and what has one meaning is taken; times of what is written are ignored."""
        for content, path, payload in (
            (n.SENML_JSON, "/3442/0/120", b'[{"n":"/3442/0/120","v":60.0}]'),
            (n.SENML_CBOR, "/3442/0/120", bytes.fromhex("81a2006b2f333434322f302f31323002f94500")),
            (n.SENML_JSON, "/3442/0/120", b'[{"bn":"/3442/0/","n":"120","v":60,"t":-5}]'),
            (n.SENML_JSON, "/3442/0/170", b'[{"n":"/3442/0/170","vs":"3:0"}]'),
            (n.JSON, "/3442/0/170", b'{"bn":"/3442/0/170","e":[{"sv":"3:0"}]}'),
            (n.JSON, "/3442/0", b'{"bn":"/3442/0","e":[{"n":"120","v":7}]}'),
            (n.CBOR, "/3442/0/160", bytes.fromhex("c11a5182428f")),
            (n.CBOR, "/3442/0/160", bytes.fromhex("1a5182428f")),
        ):
            self.assertEqual(self._code(content, path, payload), "2.04", payload)

    def test_names_without_the_root(self) -> None:
        """Names may lack the alternate path that the request itself has."""
        for payload in (b'[{"n":"/lwm2m/3442/0/120","v":6}]', b'[{"n":"/3442/0/120","v":6}]'):
            self.assertEqual(self._code(n.SENML_JSON, "/3442/0/120", payload, ("lwm2m",)), "2.04", payload)

    def test_refused(self) -> None:
        """Everything that is not the value asked for is refused."""
        for content, path, payload in (
            (n.SENML_JSON, "/3442/0/120", b'[{"n":"/3442/0/120","v":60.5}]'),
            (n.SENML_JSON, "/3442/0/120", b'[{"n":"/3442/0/110","vs":"x"}]'),
            (n.SENML_JSON, "/3442/0/120", b'[{"n":"/3442/0/120"}]'),
            (n.SENML_JSON, "/3442/0/120", b'[{"n":"/3442/0/120","v":1},{"n":"/3442/0/120","v":2,"t":1}]'),
            (n.SENML_JSON, "/3442/0/120", b'[{"n":"/3442/0/120","v":9223372036854775808}]'),
            (n.SENML_JSON, "/3442/0/120", b"[]"),
            (n.SENML_JSON, "/3442/0/120", b'[{"n":"/3442/0/120","v":1}] '[:-1] + b"x"),
            (n.SENML_JSON, "/3442/0/1120", b'[{"n":"/3442/0/1120","v":1}]'),
            (n.JSON, "/3442/0/120", b'{"e":[{"n":"110","sv":"x"}]}'),
            (n.TEXT, "/3442/0/120", b"+5"),
            (n.TEXT, "/3442/0/140", b"true"),
            (n.TEXT, "/3442/0/110", b"\xff"),
            (n.CBOR, "/3442/0/120", bytes.fromhex("0506")),
            (n.CBOR, "/3442/0/120", bytes.fromhex("6135")),
        ):
            self.assertEqual(self._code(content, path, payload), "4.00", payload)
