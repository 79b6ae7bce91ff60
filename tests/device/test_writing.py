"""Writes to what the simulated device does not have itself: multiple Resources, every type, object links."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap.numbers import DELETE, GET, OPAQUE, POST, PUT, TEXT, TLV
from lwm2md.device.objects import Settings
from lwm2md.device.tree import Stored
from lwm2md.device.writing import MAX_RESOURCE_INSTANCES
from lwm2md.lwm2m.models import check_range
from lwm2md.lwm2m.paths import Path
from lwm2md.lwm2m.values import ObjectLink, check
from tests.device.harness import Bench, known, models

_INSTANCES: Mapping[Path, Mapping[int, Stored]] = {
    Path((3303, 0)): {},
    Path((3442, 0)): {120: 5, 1120: {0: 1, 5: 2}},
    Path((19, 0)): {0: {0: b"a"}},
}


class _Richer(Bench):
    """A device that has the test object and binary containers too."""

    def __init__(self, version: str = "1.1") -> None:
        settings = Settings("test-device", 300, version, instances=_INSTANCES)
        super().__init__(
            settings=settings,
            more=(
                3442,
                19,
            ),
        )

    def value(self, path: str) -> object:
        """What is stored for a Resource."""
        return self.tree.resource(Path.parse(path))


class MultipleTests(SynchronousTestCase):
    """Resources with several Instances."""

    def test_replace_takes_all(self) -> None:
        """Writing the Resource replaces all its Instances; none is a value too."""
        bench = _Richer()
        self.assertEqual(bench.code(PUT, "/3442/0/1120", content=TLV, payload=bytes.fromhex("a30460410307")), "2.04")
        self.assertEqual(bench.value("/3442/0/1120"), {3: 7})
        self.assertEqual(bench.code(PUT, "/3442/0/1120", content=TLV, payload=bytes.fromhex("a00460")), "2.04")
        self.assertEqual(bench.value("/3442/0/1120"), {})
        self.assertEqual(bench.ask(GET, "/3442/0/1120", accept=TLV).response.payload, bytes.fromhex("a00460"))

    def test_partial_keeps_instances(self) -> None:
        """A partial Write keeps the Instances that it does not name."""
        bench = _Richer()
        self.assertEqual(bench.code(POST, "/3442/0", content=TLV, payload=bytes.fromhex("a30460410307")), "2.04")
        self.assertEqual(bench.value("/3442/0/1120"), {0: 1, 3: 7, 5: 2})

    def test_partial_of_a_resource(self) -> None:
        """From 1.2 on a multiple Resource itself takes a partial Write."""
        payload = bytes.fromhex("a30460410307")
        self.assertEqual(_Richer().code(POST, "/3442/0/1120", content=TLV, payload=payload), "4.15")
        bench = _Richer("1.2")
        self.assertEqual(bench.code(POST, "/3442/0/1120", content=TLV, payload=payload), "2.04")
        self.assertEqual(bench.value("/3442/0/1120"), {0: 1, 3: 7, 5: 2})

    def test_one_instance(self) -> None:
        """A present Resource Instance can be written, an absent one not."""
        bench = _Richer()
        self.assertEqual(bench.code(PUT, "/3442/0/1120/5", content=TEXT, payload=b"9"), "2.04")
        self.assertEqual(bench.code(PUT, "/3442/0/1120/6", content=TEXT, payload=b"9"), "4.04")
        self.assertEqual(bench.code(PUT, "/3442/0/120/0", content=TEXT, payload=b"9"), "4.05")
        self.assertEqual(bench.code(PUT, "/3442/0/1120/5", content=TEXT, payload=b"nine"), "4.00")
        self.assertEqual(bench.value("/3442/0/1120"), {0: 1, 5: 9})

    def test_delete_one_instance(self) -> None:
        """From 1.2 on a Resource Instance can be deleted, but not the last one of a mandatory Resource."""
        self.assertEqual(_Richer().code(DELETE, "/3442/0/1120/5"), "4.05")
        bench = _Richer("1.2")
        self.assertEqual(bench.code(DELETE, "/3442/0/1120/5"), "2.02")
        self.assertEqual(bench.code(DELETE, "/3442/0/1120/5"), "4.04")
        self.assertEqual(bench.code(DELETE, "/19/0/0/0"), "4.05")
        self.assertEqual(bench.value("/3442/0/1120"), {0: 1})

    def test_single_value_for_several(self) -> None:
        """One value for a multiple Resource is refused, and several for a single one."""
        bench = _Richer()
        self.assertEqual(bench.code(PUT, "/3442/0/1120", content=TEXT, payload=b"1"), "4.00")
        self.assertEqual(bench.code(PUT, "/3442/0/120", content=TLV, payload=bytes.fromhex("8378410001")), "4.00")

    def test_bounded(self) -> None:
        """There is no room for more than so many Instances."""
        bench = _Richer()
        inner = b"".join(bytes((0x41, number, 1)) for number in range(MAX_RESOURCE_INSTANCES + 1))
        payload = bytes((0xA8, 0x04, 0x60, len(inner))) + inner
        self.assertEqual(bench.code(PUT, "/3442/0/1120", content=TLV, payload=payload), "4.13")
        self.assertEqual(bench.value("/3442/0/1120"), {0: 1, 5: 2})


class TypeTests(SynchronousTestCase):
    """Values of every type."""

    def test_text(self) -> None:
        """Text is read by type, and refused where it is none of it."""
        bench = _Richer()
        for number, good, value, bad in (
            (120, b"-7", -7, b"7.5"),
            (125, b"7", 7, b"-7"),
            (130, b"7.5", 7.5, b"x"),
            (140, b"1", True, b"2"),
            (150, b"YQ==", b"a", b"*"),
            (160, b"1000", 1000, b"now"),
            (170, b"3:0", ObjectLink(3, 0), b"3"),
        ):
            self.assertEqual(bench.code(PUT, f"/3442/0/{number}", content=TEXT, payload=good), "2.04", number)
            self.assertEqual(bench.code(PUT, f"/3442/0/{number}", content=TEXT, payload=bad), "4.00", number)
            self.assertEqual(bench.value(f"/3442/0/{number}"), value)

    def test_opaque(self) -> None:
        """Opaque values come and go as they are."""
        bench = _Richer()
        self.assertEqual(bench.code(PUT, "/3442/0/150", content=OPAQUE, payload=b"\x00\xff"), "2.04")
        self.assertEqual(bench.ask(GET, "/3442/0/150").response.payload, b"\x00\xff")

    def test_range(self) -> None:
        """A value outside the range of the model is refused."""
        bench = _Richer()
        self.assertEqual(bench.code(PUT, "/19/0/1", content=TEXT, payload=b"256"), "4.00")
        self.assertEqual(bench.code(PUT, "/19/0/3", content=TEXT, payload=b"x" * 33), "4.00")

    def test_links_must_lead_somewhere(self) -> None:
        """An object link is null, a supported Object or a present Instance."""
        bench = _Richer()
        for text, code in (
            (b"65535:65535", "2.04"),
            (b"3:65535", "2.04"),
            (b"3303:0", "2.04"),
            (b"3303:9", "4.00"),
            (b"77:0", "4.00"),
            (b"65535:0", "4.00"),
        ):
            self.assertEqual(bench.code(PUT, "/3442/0/170", content=TEXT, payload=text), code, text)

    def test_create_fills_in(self) -> None:
        """What is mandatory and not for the server to write has a value of its type and range after a Create."""
        filled = 0
        for number in sorted({model.id for model in models()}):
            bench = Bench(more=(number,))
            outcome = bench.ask(POST, f"/{number}")
            if outcome.what != "created":
                continue
            resources = bench.tree.copy(outcome.path)
            for model in bench.tree.supported[number].model.resources.values():
                if model.mandatory and "R" in model.operations:
                    stored = resources[model.id]
                    if not isinstance(stored, dict):
                        check_range(model, check(model.type, stored))
                        filled += 1
        self.assertGreater(filled, 20)

    def test_create_single(self) -> None:
        """An Object with a single Instance has number 0 and no other, and only one."""
        objects = dict(known("1.1", 3442))
        model = attrs.evolve(objects[3442].model, multiple=False)
        objects[3442] = attrs.evolve(objects[3442], model=model)
        for given, codes in ((b"\xc1\x78\x05", ["2.01", "4.05"]), (b"\x08\x01\x03\xc1\x78\x05", ["4.00", "4.00"])):
            bench = Bench(objects=objects)
            self.assertEqual([bench.code(POST, "/3442", content=TLV, payload=given) for _ in codes], codes)

    def test_create_needs_mandatory(self) -> None:
        """A Create without a mandatory writable Resource is refused, and nothing is there."""
        bench = _Richer()
        self.assertEqual(bench.code(POST, "/19", content=TLV, payload=b"\xc1\x01\x05"), "4.00")
        self.assertEqual(bench.code(GET, "/19/1"), "4.04")
        self.assertEqual(bench.code(POST, "/19", content=TLV, payload=bytes.fromhex("8300410061")), "2.01")
