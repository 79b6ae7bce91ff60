"""Tests of lwm2md.server.findings, deviations and diagnoses: what was found out stays, and each kind has a meaning."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from twisted.trial.unittest import SynchronousTestCase

import lwm2md
from lwm2md.coap import numbers as n
from lwm2md.server import stored
from lwm2md.server.deviations import deviations_of, has, kinds_of
from lwm2md.server.diagnoses import DIAGNOSES, UNKNOWN, diagnosis
from lwm2md.server.settings import ServerSettings
from tests.server.fixtures import Answer, Bench

ROOT = Path(lwm2md.__file__).parent
PAGE = ROOT.parent / "docs" / "deviations.md"
NOTES = ("note", "_note")


class FindingsTests(SynchronousTestCase):
    """Deviations and abilities on their way to storage and back."""

    def setUp(self) -> None:
        self.bench = Bench(ServerSettings(flush_interval=5.0))
        self.bench.server.start(self.bench.now)
        self.device = self.bench.registered()

    def odd(self, times: int = 1) -> None:
        """Let the device answer with an odd boolean, so many times."""
        for _ in range(times):
            self.bench.submit("d", "read", "/1/0/6", format="text")
            self.device.reply(Answer(n.CONTENT, b"true", n.TEXT))

    def rows(self) -> int:
        """How many rows there are."""
        return len(self.bench.tables[stored.FINDINGS])

    def known(self, bench: Bench) -> tuple[int, bytes | None] | None:
        """What is known of the odd booleans."""
        found = bench.server.deviations("d").get("odd-boolean")
        return None if found is None else (found.count, found.sample)

    def test_written_behind(self) -> None:
        """A new kind is stored with the next flush, not before, and is there after a restart."""
        self.odd()
        self.assertEqual(self.rows(), 0)
        self.bench.advance(5)
        self.assertEqual(self.rows(), 1)
        other, faults = self.bench.restart()
        self.assertEqual((faults, self.known(other)), ([], (1, b"true")))

    def test_doubled(self) -> None:
        """The count of a known kind is stored when it has doubled, and all of it at the end."""
        self.odd(4)
        self.bench.advance(5)
        self.odd(3)
        self.bench.advance(5)
        self.assertEqual(self.known(self.bench.restart()[0]), (4, b"true"))

    def test_stop(self) -> None:
        """When the daemon is stopped nothing of it is lost."""
        self.odd(4)
        self.bench.advance(5)
        self.odd(3)
        self.bench.server.stop(self.bench.now)
        self.bench.settle()
        self.assertEqual(self.known(self.bench.restart()[0]), (7, b"true"))

    def test_found_out_while_stopping(self) -> None:
        """What is found out while the daemon stores what it knows at its end is stored before that is over."""
        self.bench.hold()
        ended: list[int] = []
        self.device.update()
        self.bench.server.stop(self.bench.now, lambda: ended.append(self.rows()))
        self.bench.settle()
        self.bench.submit("d", "read", "/1/0/6", format="text")
        while not ended:
            held = len(self.bench.held)
            self.device.reply(Answer(n.CONTENT, b"true", n.TEXT))
            self.bench.release(only=held)
        self.assertEqual(ended, [1])

    def test_stop_fails(self) -> None:
        """What can't be stored at the end does not keep it from ending, and is stored when that is asked for again."""
        self.odd()
        ended: list[int] = []
        for failing in (True, False):
            self.bench.failing = failing
            self.bench.server.stop(self.bench.now, lambda: ended.append(self.rows()))
            self.bench.settle()
        self.assertEqual(ended, [0, 1])

    def test_failed(self) -> None:
        """What the storage did not take is stored with a later flush."""
        self.odd()
        self.bench.failing = True
        self.bench.advance(5)
        self.bench.failing = False
        self.bench.advance(5)
        self.assertEqual(self.rows(), 1)

    def test_bounded(self) -> None:
        """Of many devices a thousand go into one transaction, the others follow soon."""
        for number in range(2, 1502):
            device = self.bench.registered(f"d{number}", number)
            self.bench.submit(device.endpoint, "read", "/1/0/6", format="text")
            device.reply(Answer(n.CONTENT, b"true", n.TEXT))
        self.bench.hold()
        self.bench.advance(6)
        sizes = [len(each.writes) for each in self.bench.held if {w.table for w in each.writes} == {stored.FINDINGS}]
        self.assertEqual(sizes, [1000, 500])

    def test_forgotten(self) -> None:
        """Of a device that is forgotten nothing stays, and a row without its device goes."""
        self.odd()
        self.bench.advance(5)
        self.odd(5)
        self.bench.server.forget("d", self.bench.now, lambda ok, now: None)
        self.bench.settle()
        self.bench.advance(10)
        self.assertEqual(self.rows(), 0)
        self.bench.tables[stored.FINDINGS]["ghost"] = b"{}"
        self.bench.restart()
        self.assertEqual(self.rows(), 0)

    def test_kinds(self) -> None:
        """Kinds of the registration and of answers are known together; one of neither is not."""
        self.odd()
        self.device.register("lwm2m=1.1", "lt=300", "b=UQ")
        device = self.bench.server.devices["d"]
        self.assertEqual(set(kinds_of(device)), {"odd-boolean", "queue-letter-in-binding"})
        self.assertEqual(set(deviations_of(device)), set(kinds_of(device)))
        self.assertTrue(has(device, "odd-boolean"))
        self.assertFalse(has(device, "tlv-wrapped"))
        self.assertEqual(self.bench.server.deviation_counts(), {"odd-boolean": 1, "queue-letter-in-binding": 1})


class DiagnosesTests(SynchronousTestCase):
    """Every kind has a meaning."""

    def test_every_kind(self) -> None:
        """What any module notes is in the table, and the table has nothing that nobody notes."""
        noted = {kind for module in _modules() for kind in _noted(*module)}
        self.assertGreater(len(noted), 40)
        self.assertEqual(noted - set(DIAGNOSES), set())
        self.assertEqual(set(DIAGNOSES) - noted, set())

    def test_page(self) -> None:
        """The manual has the same rows in the same order, which is the alphabet's."""
        rows = [line for line in PAGE.read_text("utf-8").splitlines() if line.startswith("| `")]
        wanted = [f"| `{kind}` | {each.meaning} | {each.advice} |" for kind, each in DIAGNOSES.items()]
        self.assertEqual(rows, wanted)
        self.assertEqual(list(DIAGNOSES), sorted(DIAGNOSES))

    def test_unknown(self) -> None:
        """A kind that is not known here still has words."""
        self.assertEqual(diagnosis("of-a-plugin"), UNKNOWN)
        self.assertTrue(all(text.endswith(".") for each in DIAGNOSES.values() for text in each))


def _modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    for package in ("lwm2m", "server"):
        for path in sorted((ROOT / package).glob("[a-z]*.py")):
            yield import_module(f"lwm2md.{package}.{path.stem}"), ast.parse(path.read_text("utf-8"))


def _noted(module: ModuleType, tree: ast.Module) -> Iterator[str]:
    """The kinds that a module notes: what is handed to a note, put among deviations, or said of a gateway's device."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _is_note(node.func):
            yield from _texts(module, node.args[0])
        elif isinstance(node, ast.Assign) and _is_deviations(node.targets[0]):
            yield from _texts(module, node.targets[0])
            yield from _texts(module, node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("gateway-"):
            yield node.value


def _is_note(function: ast.expr) -> bool:
    if isinstance(function, ast.Call):
        return isinstance(function.func, ast.Name) and function.func.id == "noting"
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in NOTES


def _is_deviations(target: ast.expr) -> bool:
    found = target.value if isinstance(target, ast.Subscript) else target
    return (found.attr if isinstance(found, ast.Attribute) else getattr(found, "id", "")) == "deviations"


def _texts(module: ModuleType, node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and isinstance(getattr(module, node.id, None), str):
        yield getattr(module, node.id)
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(module, node.body), *_texts(module, node.orelse))
    elif isinstance(node, ast.Tuple):
        yield from (text for each in node.elts for text in _texts(module, each))
    elif isinstance(node, ast.Subscript):
        yield from _texts(module, node.slice)
