"""Tests of `lwm2md.lwm2m.models` and of the table `models.txt`."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.models import ModelError, Models, ObjectModel, ResourceModel, check_range, default_version, parse
from lwm2md.lwm2m.values import ResourceType, ValueError_
from tests.lwm2m.helpers import MODELS, TABLE, path


def model(identifier: int, version: str | None = None) -> ObjectModel:
    """A model that is there."""
    found = MODELS.object(identifier, version)
    assert found is not None
    return found


def resource(text: str, version: str) -> ResourceModel:
    """A Resource that is there."""
    where = path(text)
    found = MODELS.resource(where, {where[0]: version})
    assert found is not None
    return found


OBJECTS, VERSIONS = 301, 386


class TableTests(SynchronousTestCase):
    """The shipped table says what the registry says."""

    def test_counts(self) -> None:
        """Every Object is there in all its versions, with as many Resources as each has."""
        table = {
            (0, "1.0"): 13, (0, "1.1"): 18, (0, "1.2"): 31,
            (1, "1.0"): 9, (1, "1.1"): 24, (1, "1.2"): 28,
            (2, "1.0"): 4, (2, "1.1"): 4,
            (3, "1.0"): 23, (3, "1.1"): 23, (3, "1.2"): 23,
            (4, "1.0"): 11, (4, "1.1"): 12, (4, "1.2"): 13, (4, "1.3"): 14,
            (5, "1.0"): 9, (5, "1.1"): 13, (5, "1.2"): 14,
            (6, "1.0"): 7, (7, "1.0"): 9,
            (10, "1.0"): 12, (10, "1.1"): 14, (19, "1.0"): 6,
            (21, "1.0"): 6, (21, "1.1"): 7, (21, "2.0"): 7, (25, "1.0"): 3, (25, "2.0"): 3,
            (3300, "1.0"): 9, (3300, "1.1"): 13, (3303, "1.0"): 7, (3303, "1.1"): 12,
            (3316, "1.0"): 9, (3316, "1.1"): 13, (3336, "1.0"): 7, (3336, "2.0"): 10,
            (3441, "1.0"): 19, (3442, "1.0"): 25, (10340, "1.0"): 13, (10352, "1.0"): 3, (33629, "1.0"): 17,
        }  # fmt: skip
        self.assertEqual(table, {key: len(model(*key).resources) for key in table})
        self.assertEqual(table.keys(), {(found.id, found.version) for found in MODELS} & table.keys())
        # What Leshan's and Nordic's artifacts describe with their operations, and the Objects of the reference beside.
        self.assertEqual(OBJECTS, len({found.id for found in MODELS}))
        self.assertEqual(VERSIONS, len(list(MODELS)))
        self.assertLessEqual({*range(8), 9, 10, *range(21, 26)}, {found.id for found in MODELS})

    def test_device(self) -> None:
        """Object 3 is the Device, with its well-known Resources."""
        self.assertEqual(("Device", False, True), (model(3).name, model(3).multiple, model(3).mandatory))
        self.assertEqual(ResourceModel(0, "Manufacturer", "R", ResourceType.STRING), resource("/3/0/0", "1.0"))
        self.assertEqual(
            ResourceModel(9, "Battery Level", "R", ResourceType.INTEGER, range="0..100", unit="/100"),
            resource("/3/0/9", "1.0"),
        )
        self.assertEqual(ResourceModel(4, "Reboot", "E", ResourceType.NONE, mandatory=True), resource("/3/0/4", "1.2"))
        self.assertEqual(("0..8", "0..32"), (resource("/3/0/11", "1.1").range, resource("/3/0/11", "1.2").range))
        self.assertTrue(resource("/3/0/11/0", "1.0").multiple)

    def test_versions_differ(self) -> None:
        """A Resource has the operations and the type of its version."""
        self.assertEqual(("", "RW"), (resource("/1/0/17", "1.1").operations, resource("/1/0/17", "1.2").operations))
        self.assertIs(ResourceType.STRING, resource("/21/0/0", "1.1").type)
        self.assertIs(ResourceType.OPAQUE, resource("/21/0/0", "2.0").type)
        self.assertIsNone(MODELS.resource(path("/3303/0/5518"), {3303: "1.0"}))
        self.assertEqual("Sensor Value", resource("/3303/0/5700", "1.0").name)

    def test_everything_is_sound(self) -> None:
        """Only executables have no type, ranges are in order, and every Object has a Resource."""
        for found in MODELS:
            self.assertTrue(found.resources)
            for entry in found.resources.values():
                self.assertEqual(entry.operations == "E", entry.type is ResourceType.NONE, entry)
                self.assertFalse(entry.multiple and entry.operations == "E")
                self.assertTrue(entry.name)
                if entry.range:
                    with self.assertRaises(ValueError_):
                        check_range(entry, _outside(entry))

    def test_registry(self) -> None:
        """Objects of the registry are there, field by field, in each of their versions."""
        for identifier, version, head, lines in (
            (3408, "1.0", ("Manhole Cover", True, False, "1.1"), """
                1|Safety Angle Threshold|R|integer|S!|0..180|rad
                2|Manhole Cover Tilt|R|integer|S!|0..180|rad
                3|Cover Open Status|R|boolean|S!"""),
            (22, "1.0", ("Virtual Observe Notify", True, False, "1.1"), """
                0|ObserveLinks|RW|corelnk|M!
                1|Report|R|string|S!
                2|ResourceFilter|RW|boolean|S
                3|ReportLinks|RW|corelnk|M
                4|ObserveRelation|RW|integer|S"""),
            (25, "1.0", ("LwM2M Gateway", True, False, "1.0"), """
                0|Device ID|RW|string|S!
                1|Prefix|RW|string|S!
                2|IoT Device Objects|R|objlnk|S!"""),
            (25, "2.0", ("LwM2M Gateway", True, False, "1.1"), """
                0|Device ID|R|string|S!
                1|Prefix|R|string|S!
                3|IoT Device Objects|R|corelnk|S!"""),
            (2048, "1.0", ("CmdhPolicy", True, False, "1.0"), """
                0|Name|RW|string|S!
                1|DefaultRule|RW|objlnk|S!
                2|LimiRules|RW|objlnk|M!
                3|NetworkAccessECRules|RW|objlnk|M!
                4|BufferRules|RW|objlnk|M!"""),
            (3336, "1.1", ("Location", True, False, "1.0"), """
                5514|Latitude|R|string|S!
                5515|Longitude|R|string|S!
                5516|Uncertainty|R|string|S
                5517|Velocity|R|opaque|S
                5518|Timestamp|R|time|S
                5705|Compass Direction|R|float|S|0..360|deg
                5750|Application Type|RW|string|S
                6042|Measurement Quality Indicator|R|integer|S|0..23
                6049|Measurement Quality Level|R|integer|S|0..100
                6050|Fractional Timestamp|R|float|S|0..1|s"""),
        ):  # fmt: skip
            found = model(identifier, version)
            self.assertEqual((found.name, found.multiple, found.mandatory, found.enabler), head)
            self.assertEqual([found.resources[key] for key in sorted(found.resources)], _resources(lines))

    def test_speed(self) -> None:
        """The whole table is read in a moment."""
        before = time.process_time()
        parse(TABLE)
        self.assertLess(time.process_time() - before, 0.5)


def _resources(lines: str) -> list[ResourceModel]:
    """Resources written shortly: id, name, operations, type, shape, range, unit."""
    found = []
    for line in lines.split("\n")[1:]:
        number, name, operations, kind, shape, span, unit = (*line.strip().split("|"), "", "")[:7]
        found.append(
            ResourceModel(
                int(number), name, operations, ResourceType(kind), shape[0] == "M", shape[1:] == "!", span, unit
            )
        )
    return found


def _outside(entry: ResourceModel) -> str | bytes | int | float:
    if entry.type in (ResourceType.STRING, ResourceType.CORELNK):
        return "x" * 70_000
    if entry.type is ResourceType.OPAQUE:
        return bytes(70_000)
    return 1e30 if entry.type is ResourceType.FLOAT else 10**30


class LookupTests(SynchronousTestCase):
    """An unknown version gets the nearest model."""

    def test_nearest(self) -> None:
        """The exact version, else the nearest lower, else the nearest; the newest where none is asked."""
        for asked, expected in (
            ("1.1", "1.1"),
            ("1.9", "1.3"),
            ("2.0", "1.3"),
            ("0.9", "1.0"),
            ("1.2.5", "1.2"),
            ("", "1.0"),
            ("x", "1.0"),
            ("99999999999999999999.0", "1.0"),
            (None, "1.3"),
        ):
            self.assertEqual(expected, model(4, asked).version, asked)
        self.assertEqual("2.1", model(20, "3.0").version)
        self.assertEqual("1.0", model(23, "0.1").version)

    def test_versions_are_numbers(self) -> None:
        """Version 1.10 is above 1.9."""
        models = Models(ObjectModel(1, version, "", False, False, {}) for version in ("1.9", "1.10"))
        found = models.object(1)
        assert found is not None
        self.assertEqual("1.10", found.version)

    def test_unknown(self) -> None:
        """What is not in the table has no model."""
        self.assertIsNone(MODELS.object(9999))
        for text in ("/9999/0/0", "/3/0/999", "/3/0", "/"):
            self.assertIsNone(MODELS.resource(path(text), {}))

    def test_type_of(self) -> None:
        """The lookup for one device knows its versions."""
        old, new = MODELS.type_of({3303: "1.0"}), MODELS.type_of({3303: "1.1"})
        self.assertIsNone(old(path("/3303/0/5518")))
        self.assertIsNotNone(new(path("/3303/0/5518")))

    def test_implied_versions(self) -> None:
        """What a device means that names no version depends on its LwM2M version."""
        for identifier, versions in {
            0: ("1.0", "1.1", "1.2"),
            1: ("1.0", "1.1", "1.2"),
            2: ("1.0", "1.0", "1.1"),
            3: ("1.0", "1.1", "1.2"),
            4: ("1.0", "1.2", "1.3"),
            5: ("1.0", "1.0", "1.1"),
            6: ("1.0", "1.0", "1.0"),
            21: ("1.0", "1.0", "2.0"),
            3303: ("1.0", "1.0", "1.0"),
        }.items():
            self.assertEqual(versions, tuple(default_version(identifier, enabler) for enabler in ("1.0", "1.1", "1.2")))


class SetTests(SynchronousTestCase):
    """Sets of models that are laid over each other."""

    def test_with_others(self) -> None:
        """Others take the place of the same version and stand beside all other ones; the first set stays as it was."""
        mine = ObjectModel(3303, "1.1", "Mine", True, False, {})
        new = ObjectModel(3303, "1.5", "New", True, False, {})
        both = MODELS.with_others((mine, new))
        self.assertIs(both.object(3303, "1.1"), mine)
        self.assertIs(both.object(3303, "1.9"), new)
        self.assertIs(both.object(3303, "1.0"), MODELS.object(3303, "1.0"))
        self.assertIs(both.object(3), MODELS.object(3))
        self.assertEqual("Temperature", model(3303, "1.5").name)
        self.assertEqual(len(list(both)), len(list(MODELS)) + 1)

    def test_exactly(self) -> None:
        """A version that is not there has no model of exactly that version."""
        self.assertIsNone(MODELS.exactly(3303, "1.5"))
        self.assertIsNone(MODELS.exactly(9999, "1.0"))
        self.assertIs(MODELS.exactly(3303, "1.1"), MODELS.object(3303, "1.1"))


class RangeTests(SynchronousTestCase):
    """Ranges of models."""

    def test_ranges(self) -> None:
        """Numbers are checked by value, strings and bytes by length; without a range anything fits."""

        def made(kind: ResourceType, span: str) -> ResourceModel:
            return ResourceModel(1, "x", "RW", kind, range=span)

        check_range(made(ResourceType.INTEGER, ""), 10**9)
        for entry, right, wrong in (
            (made(ResourceType.INTEGER, "0..100"), (0, 100), (-1, 101)),
            (made(ResourceType.FLOAT, "-1.5..1.5"), (-1.5, 0.0, 1.5), (-1.6, float("nan"))),
            (made(ResourceType.STRING, "1..3"), ("a", "abc"), ("", "abcd", "\u00e9\u00e9")),
            (made(ResourceType.OPAQUE, "16,32"), (b"x" * 16, b"x" * 32), (b"", b"x" * 17)),
            (made(ResourceType.STRING, "3"), ("abc",), ("ab",)),
            (made(ResourceType.UNSIGNED, "0..18446744073709551615"), (0, 2**64 - 1), (2**64, -1)),
            (made(ResourceType.INTEGER, "0..9007199254740992"), (2**53,), (2**53 + 1,)),
            (made(ResourceType.FLOAT, "0,3.8..20.5"), (0.0, 3.8, 20.5), (0.1, 3.79, float("inf"))),
            (made(ResourceType.STRING, "0..3"), ("\ud800",), ("\ud800a",)),
        ):
            for value in right:
                check_range(entry, value)
            for value in wrong:
                with self.assertRaises(ValueError_):
                    check_range(entry, value)


class ParseTests(SynchronousTestCase):
    """The format of the table."""

    def test_bars(self) -> None:
        """A bar in a name is written as a broken one, for the whole ones part fields."""
        found = parse("object|9|Nine|1.0|multiple|optional\n1|¦a¦|R|string|S").exactly(9, "1.0")
        assert found is not None
        self.assertEqual("|a|", found.resources[1].name)

    def test_enablers(self) -> None:
        """A version may name the least LwM2M version that it is for."""
        found = parse("object|9|Nine|1.0 1.1@1.2|multiple|optional\n1|One|R|string|S")
        self.assertEqual([(each.version, each.enabler) for each in found], [("1.0", "1.0"), ("1.1", "1.2")])

    def test_groups(self) -> None:
        """Groups are put in where they are named, also into other groups, by version."""
        found = parse(
            "group|a\n1|One|R|string|S\n\ngroup|b\n+a\n2|Two|RW|integer|M!|0..1|s|1.1-\n# note\n"
            "object|9|Nine|1.0 1.1|multiple|mandatory\n+b\n3|Three|E|none|S|||-1.0"
        )
        old, new = found.object(9, "1.0"), found.object(9, "1.1")
        assert old is not None
        assert new is not None
        self.assertEqual(({1, 3}, {1, 2}), (set(old.resources), set(new.resources)))
        self.assertEqual(ResourceModel(2, "Two", "RW", ResourceType.INTEGER, True, True, "0..1", "s"), new.resources[2])
        self.assertEqual(("Nine", True, True), (new.name, new.multiple, new.mandatory))

    def test_wrong_lines(self) -> None:
        """A wrong line is refused, with its number or the Object it is in."""
        for line in (
            "1|x|R|string",
            "x|x|R|string|S",
            "1|x|Q|string|S",
            "1|x|R|text|S",
            "1|x|R|string|X",
            "1|x|R|string|S|a..b",
            "1|x|R|string|S|1.2.3",
            "1|x|R|string|S|0..1,",
            "1|x|R|string|S|||1.1",
            "1|x|R|string|S||||",
            "+nothing",
            "group",
        ):
            with self.assertRaises(ModelError, msg=line) as raised:
                parse(f"object|1|x|1.0|single|optional\n{line}")
            self.assertIn("line 2", str(raised.exception))
        for text in ("object|1|x|1.0|single", "object|1|x|1.0|single|optional\n1|a|R|string|S\n1|b|R|string|S"):
            with self.assertRaises(ModelError):
                parse(text)
