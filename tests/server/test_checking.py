"""Tests of lwm2md.server.checking and payloads: what a device can't be asked is refused with what is wrong, exactly."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.server.errors import BadOperation
from lwm2md.server.records import OPERATIONS
from lwm2md.server.requests import MOST_PATHS
from tests.server.fixtures import Answer, Bench, FakeDevice

LINKS = "</1/0>,</2/0>,</3/0>,</5/0>,</9>,</3303/0>,</31000/0>"
NAMES = ("the root", "an Object", "an Object Instance", "a Resource", "a Resource Instance")
PATHS = ("/", "/2", "/2/0", "/2/0/2", "/2/0/2/1")
TARGETS = {"execute": "/3/0/4", "create": "/3303"}
VERSIONS = ("1.0", "1.1", "1.2")

# By operation: the version from which each level is defined, from the root to the Resource Instance; - where it is not.
LEVELS: dict[str, tuple[str, str, str, str, str]] = {
    "read": ("-", "1.0", "1.0", "1.0", "1.1"),
    "discover": ("-", "1.0", "1.0", "1.0", "-"),
    "write": ("-", "-", "1.0", "1.0", "1.1"),
    "write-partial": ("-", "-", "1.0", "1.2", "-"),
    "write-attributes": ("-", "1.0", "1.0", "1.0", "1.1"),
    "execute": ("-", "-", "-", "1.0", "-"),
    "create": ("-", "1.0", "-", "-", "-"),
    "delete": ("-", "-", "1.0", "-", "1.2"),
    "read-composite": ("1.1", "1.1", "1.1", "1.1", "1.1"),
    "write-composite": ("-", "-", "-", "1.1", "1.1"),
    "observe": ("-", "1.0", "1.0", "1.0", "1.1"),
    "observe-composite": ("1.1", "1.1", "1.1", "1.1", "1.1"),
    "cancel-observe": ("-", "1.0", "1.0", "1.0", "1.0"),
}
VALUES: dict[int, dict[str, object]] = {2: {"values": {"2/1": 1}}, 3: {"value": {"1": 1}}, 4: {"value": 1}}


class Base(SynchronousTestCase):
    """Devices of each version, and what they are asked."""

    def setUp(self) -> None:
        self.bench = Bench()
        self.devices: dict[str, FakeDevice] = {}
        for number, version in enumerate(VERSIONS):
            device = self.devices[version] = self.bench.device(version, number)
            device.register(f"lwm2m={version}", "lt=3000", links=LINKS)
            device.on_request = lambda request, device=device: None

    def ask(self, version: str, op: str, path: str | None, **fields: object) -> None:
        """Ask, and let the device answer at once with an error, so that the next one can be asked."""
        operation = self.bench.submit(version, op, path, **fields)
        self.devices[version].reply(Answer(n.SERVICE_UNAVAILABLE))
        self.assertEqual((operation.state, operation.coap_code), ("failed", "5.03"), (op, path, fields))

    def refused(self, version: str, op: str, path: str | None, **fields: object) -> tuple[str, str | None]:
        """The message and the field of a refusal; nothing is sent."""
        before = len(self.devices[version].requests)
        with self.assertRaises(BadOperation, msg=(op, path, fields)) as caught:
            self.bench.submit(version, op, path, **fields)
        self.assertEqual(len(self.devices[version].requests), before)
        return str(caught.exception), caught.exception.field


class LevelTests(Base):
    """Every operation on every level, with every version: allowed, or the exact error."""

    def test_table(self) -> None:
        """What is not defined is refused by path, what needs a later version by the version that it needs."""
        self.assertEqual(set(LEVELS), set(OPERATIONS))
        for (op, row), level, version in product(LEVELS.items(), range(5), VERSIONS):
            with self.subTest(op=op, level=level, version=version):
                self._cell(op, row, level, version)

    def _cell(self, op: str, row: tuple[str, ...], level: int, version: str) -> None:
        path = PATHS[level] if row[level] == "-" else TARGETS.get(op, PATHS[level])
        fields: dict[str, object] = {"attributes": {"pmin": 1}} if op == "write-attributes" else {}
        if op in ("write", "write-partial"):
            fields |= VALUES.get(level, {})
        since, composite = row[level], op.endswith("composite")
        if composite:
            fields |= (
                {"values": {path: {"1": 1} if level == 3 else 1}} if op.startswith("write") else {"paths": (path,)}
            )
        if op == "cancel-observe" and since != "-":
            self.bench.submit(version, "observe", path, force=True)
            self.devices[version].reply(Answer(n.SERVICE_UNAVAILABLE))
            self.assertEqual(self.bench.submit(version, op, path).state, "done")
            return
        asked = None if composite else path
        if since == "-" and composite:
            expected = (f"{path} is not the path of a Resource", "values")
        elif since == "-":
            allowed = " or ".join(NAMES[each] for each in range(5) if row[each] != "-")
            expected = (f"{op} takes the path of {allowed}, {path} is that of {NAMES[level]}", "path")
        elif version < since and composite:
            expected = (f"{op} needs LwM2M {since}, the device has {version}", "op")
        elif version < since:
            expected = (f"{op} of {NAMES[level]} needs LwM2M {since}, the device has {version}", "path")
        else:
            self.ask(version, op, asked, **fields)
            return
        if since == "-" and composite and version == "1.0":
            expected = (f"{op} needs LwM2M 1.1, the device has 1.0", "op")
        self.assertEqual(self.refused(version, op, asked, **fields), expected)
        if since != "-":
            self.ask(version, op, asked, force=True, **fields)


class ModelTests(Base):
    """Against the models, the list of Objects, and the versions of what a request has."""

    TABLE: tuple[tuple[str, str, str | None, dict[str, object], str, str], ...] = (
        ("1.1", "read", "/4", {}, "the device has not registered Object 4", "path"),
        ("1.1", "read", "/3/1", {}, "the device has not registered Object Instance /3/1", "path"),
        ("1.1", "read", "/9/0/6", {}, "the device has not registered Object Instance /9/0", "path"),
        ("1.1", "read", "/3/0/4", {}, "/3/0/4 (Reboot) can't be read", "path"),
        ("1.1", "read", "/5/0/0", {}, "/5/0/0 (Package) can't be read", "path"),
        ("1.1", "read", "/3/0/0/0", {}, "/3/0/0/0: Manufacturer has no instances, it is a single Resource", "path"),
        ("1.1", "observe", "/3/0/4", {}, "/3/0/4 (Reboot) can't be read", "path"),
        (
            "1.1",
            "write-attributes",
            "/5/0/0",
            {"attributes": {"pmin": 1}},
            "/5/0/0 (Package) can't be read",
            "path",
        ),
        ("1.1", "execute", "/3/0/0", {}, "/3/0/0 (Manufacturer) can't be executed", "path"),
        ("1.1", "write", "/3/0/0", {"value": "x"}, "/3/0/0 (Manufacturer) can't be written", "value"),
        ("1.1", "write", "/3/0", {"values": {"0": "x"}}, "/3/0/0 (Manufacturer) can't be written", "values"),
        ("1.1", "write", "/3/0/4", {"value": 1}, "/3/0/4 is executable, it has no value", "value"),
        (
            "1.1",
            "write",
            "/5/0/1",
            {"value": "x" * 256},
            "/5/0/1: length 256 of Package URI is outside 0..255",
            "value",
        ),
        (
            "1.2",
            "write-composite",
            None,
            {"values": {"/2/0/2/1": 32}},
            "/2/0/2/1: value 32 of ACL is outside 0..31",
            "values",
        ),
        ("1.1", "write", "/1/0/1", {"value": "x"}, "/1/0/1: not a decimal number for integer", "value"),
        (
            "1.1",
            "write",
            "/1/0/1",
            {"value": None},
            "/1/0/1: a value is a string, a number or a boolean, not null",
            "value",
        ),
        (
            "1.1",
            "write",
            "/1/0/1",
            {"value": [1]},
            "/1/0/1: Lifetime has no instances, it is a single Resource",
            "value",
        ),
        (
            "1.1",
            "write",
            "/2/0/2",
            {"value": 1},
            "/2/0/2: ACL is multiple, it takes values by instance or a list",
            "value",
        ),
        ("1.1", "write", "/2/0", {"values": {"2/1": 1, "2": [0, 1]}}, "/2/0/2/1 is given twice", "values"),
        ("1.1", "write", "/1/0/1", {"value": 1, "values": {}}, "value and values exclude each other", "value"),
        (
            "1.2",
            "write-partial",
            "/1/0/1",
            {"value": 1},
            "/1/0/1 (Lifetime) is a single Resource, it can't be written in part",
            "path",
        ),
        ("1.1", "create", "/4", {}, "the device has not registered Object 4", "path"),
        ("1.1", "create", "/3", {"id": 1}, "/3 (Device) has one instance only, and the device has it", "path"),
        ("1.1", "create", "/3303", {"id": 0}, "/3303/0 is there already", "id"),
        (
            "1.1",
            "create",
            "/1",
            {"values": {"1": 60, "7": "U"}},
            "a new instance of /1 (LwM2M Server) needs 6 (Notification Storing When Disabled or Offline)",
            "values",
        ),
        ("1.1", "create", "/3303", {"values": {"5605": 1}}, "/3303/0/5605 is executable, it has no value", "values"),
        ("1.1", "create", "/3303", {"value": 1}, "a Create takes values by path", "value"),
        (
            "1.1",
            "create",
            "/3303",
            {"format": "senml-cbor", "values": {"5700": 1}},
            "only tlv can leave the id of the new instance to the device",
            "format",
        ),
        ("1.1", "delete", "/3303/7", {}, "the device has not registered Object Instance /3303/7", "path"),
        ("1.1", "delete", "/3/0", {}, "/3/0 (Device) is mandatory, it can't be deleted", "path"),
        (
            "1.2",
            "delete",
            "/3/0/6/0",
            {},
            "/3/0/6/0 (Available Power Sources) can't be written, its instances can't be deleted",
            "path",
        ),
        ("1.1", "discover", "/3", {"depth": 1}, "depth needs LwM2M 1.2, the device has 1.1", "depth"),
        (
            "1.0",
            "write-attributes",
            "/3/0/7",
            {"attributes": {"epmin": 1}},
            "epmin needs LwM2M 1.1, the device has 1.0",
            "attributes",
        ),
        (
            "1.1",
            "observe",
            "/3/0/7",
            {"attributes": {"con": True}},
            "con needs LwM2M 1.2, the device has 1.1",
            "attributes",
        ),
        ("1.1", "read-composite", None, {"paths": ("/3", "/3/0/4")}, "/3/0/4 (Reboot) can't be read", "paths"),
        (
            "1.1",
            "write-composite",
            None,
            {"values": {"/1/7/1": 5}},
            "the device has not registered Object Instance /1/7",
            "values",
        ),
        (
            "1.1",
            "write-composite",
            None,
            {"values": {"/2/0/2/1": None}},
            "null needs LwM2M 1.2, the device has 1.1",
            "values",
        ),
    )

    def test_refused(self) -> None:
        """Each misuse is refused with what is wrong and where."""
        for version, op, path, fields, message, field in self.TABLE:
            with self.subTest(op=op, path=path, fields=fields):
                self.assertEqual(self.refused(version, op, path, **fields), (message, field))

    def test_forced(self) -> None:
        """What the model speaks against is sent by force, with values of another type as they stand."""
        sent: list[tuple[str, str, str | None, dict[str, object], int, str]] = [
            ("1.1", "read", "/3/0/4", {}, n.GET, ""),
            ("1.1", "read", "/4", {}, n.GET, ""),
            ("1.1", "execute", "/3/0/0", {}, n.POST, ""),
            ("1.1", "write", "/3/0/0", {"value": "x"}, n.PUT, "78"),
            ("1.1", "write", "/1/0/1", {"value": "x"}, n.PUT, "78"),
            ("1.1", "write", "/2/0/2", {"value": 1}, n.PUT, "31"),
            ("1.1", "create", "/1", {"values": {"1": 60}}, n.POST, "c1013c"),
            ("1.1", "create", "/3303", {"id": 0}, n.POST, "0000"),
            ("1.1", "delete", "/3/0", {}, n.DELETE, ""),
            ("1.1", "discover", "/3", {"depth": 1}, n.GET, ""),
            ("1.1", "write-composite", None, {"values": {"/2/0/2/1": None}}, n.IPATCH, "81a200682f322f302f322f3102f6"),
        ]
        for version, op, path, fields, code, payload in sent:
            with self.subTest(op=op, path=path, fields=fields):
                self.ask(version, op, path, force=True, **fields)
                message = self.devices[version].requests[-1]
                self.assertEqual((message.code, message.payload.hex()), (code, payload))

    def test_malformed(self) -> None:
        """What is no request at all is refused, by force too."""
        table: tuple[tuple[str, str | None, dict[str, object], str, str], ...] = (
            ("read", None, {}, "path is missing", "path"),
            ("read", "/3", {"paths": ("/3",)}, "read takes one path", "paths"),
            ("read", "/3", {"depth": 1}, "depth is from 0 to 3, and of discover only", "depth"),
            ("discover", "/3", {"depth": 4}, "depth is from 0 to 3, and of discover only", "depth"),
            ("read", "/3", {"format": "senml-etch-cbor"}, "senml-etch-cbor can't hold the values of /3", "format"),
            ("read-composite", "/3", {"paths": ("/3",)}, "read-composite has no path of its own", "path"),
            ("read-composite", None, {}, "paths is missing or empty", "paths"),
            ("read-composite", None, {"paths": ("3",)}, "a path starts with a slash", "paths"),
            ("read-composite", None, {"paths": ("/3", "/3")}, "a path is given twice", "paths"),
            (
                "read-composite",
                None,
                {"paths": tuple(f"/3/{number}" for number in range(MOST_PATHS + 1))},
                f"at most {MOST_PATHS} paths",
                "paths",
            ),
            (
                "read-composite",
                None,
                {"paths": ("/3",), "format": "tlv"},
                "tlv is no format of composite operations",
                "format",
            ),
            (
                "observe-composite",
                None,
                {"paths": ("/3",), "attributes": {"gt": 1}},
                "gt is for one path, several have con, epmax, epmin, pmax, pmin",
                "attributes",
            ),
            ("write-composite", None, {}, "values is missing", "values"),
            (
                "write-composite",
                None,
                {"values": {"/3/0/14": "x"}, "format": "tlv"},
                "tlv is no format of composite operations",
                "format",
            ),
            (
                "write-composite",
                None,
                {"values": {f"/3303/0/{number}": 1 for number in range(1001)}},
                "at most 1000 values in one request",
                "values",
            ),
            (
                "write",
                "/3/0/14",
                {"value": "x", "format": "senml-etch-cbor"},
                "senml-etch-cbor is for write-composite",
                "format",
            ),
            ("write", "/2/0", {"values": {"/2/0/2/x": 1}}, "/2/0/2/x: 'x' is not an id", "values"),
            ("write-attributes", "/3", {}, "attributes is missing or empty", "attributes"),
            (
                "create",
                "/3303",
                {"id": 4, "format": "senml-cbor"},
                "an instance without values can be told in tlv or lwm2m-cbor only",
                "format",
            ),
        )
        for op, path, fields, message, field in table:
            with self.subTest(op=op, fields=str(fields)[:80]):
                self.assertEqual(self.refused("1.2", op, path, force=True, **fields), (message, field))

    def test_unknown(self) -> None:
        """An Object, or a Resource, that no model knows is asked for whatever is wanted, and values are inferred."""
        for path in ("/31000/0/1", "/3/0/9999"):
            for op, fields in (
                ("read", {}),
                ("execute", {}),
                ("write", {"value": 5}),
                ("write", {"value": {"3": True}}),
                ("write-attributes", {"attributes": {"gt": 1}}),
            ):
                self.ask("1.1", op, path, **fields)

    def test_absent_in_composites(self) -> None:
        """A composite Read or Observe may be of what is not there yet: the device leaves it out."""
        for op in ("read-composite", "observe-composite"):
            self.ask("1.1", op, None, paths=("/4", "/3303/9", "/3303/9/5700"))

    def test_without_list(self) -> None:
        """A device that told no list of Objects is asked for everything."""
        device = self.bench.registered("bare", 9, links="</>")
        for op in ("read", "write-attributes"):
            self.bench.submit("bare", op, "/3/0", attributes={"pmin": 1})
            device.reply(Answer(n.CHANGED))
        self.assertEqual(len(device.requests), 2)


class InstancesTests(Base):
    """The list of Objects gets old: what was created and deleted through us is known at once."""

    def test_created_and_deleted(self) -> None:
        """A new instance can be asked for before the device tells its list anew, a deleted one can't."""
        device = self.devices["1.1"]
        device.answers = {
            (n.POST, "/3303"): Answer(n.CREATED, location=("3303", "5")),
            (n.DELETE, "/3303/5"): Answer(n.DELETED),
            (n.DELETE, "/3303/0"): Answer(n.DELETED),
            (n.GET, "/3303/5"): Answer(n.CONTENT, b"", n.TLV),
        }
        self.assertEqual(self.refused("1.1", "read", "/3303/5")[1], "path")
        self.assertEqual(self.bench.submit("1.1", "create", "/3303").state, "done")
        self.assertEqual(self.bench.submit("1.1", "read", "/3303/5").state, "done")
        self.assertEqual(self.refused("1.1", "create", "/3303", id=5)[0], "/3303/5 is there already")
        for path in ("/3303/5", "/3303/0"):
            self.assertEqual(self.bench.submit("1.1", "delete", path).state, "done")
            self.assertEqual(self.refused("1.1", "read", path)[1], "path")
        self.assertEqual(self.bench.submit("1.1", "create", "/3303", id=5).state, "done")
        device.update(links="</3/0>,</3303/0>")
        self.assertEqual(self.refused("1.1", "read", "/3303/5")[1], "path")
        self.ask("1.1", "read", "/3303/0")

    def test_refused_by_device(self) -> None:
        """What the device did not do changes nothing."""
        device = self.devices["1.1"]
        device.answers = {
            (n.DELETE, "/3303/0"): Answer(n.UNAUTHORIZED),
            (n.GET, "/3303/0"): Answer(n.CONTENT, b"", n.TLV),
        }
        self.assertEqual(self.bench.submit("1.1", "delete", "/3303/0").coap_code, "4.01")
        self.assertEqual(self.bench.submit("1.1", "read", "/3303/0").state, "done")
