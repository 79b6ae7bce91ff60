"""The habits of the house, checked: documented, short, and no test without a sentence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

import lwm2md

TESTS: Final = Path(__file__).parent
PACKAGES: Final = (Path(lwm2md.__file__).parent, *TESTS.parent.glob("plugins/*/lwm2md_*"))
LONGEST_MODULE: Final = 450
LONGEST_FUNCTION: Final = 60
_FUNCTIONS: Final = (ast.FunctionDef, ast.AsyncFunctionDef)


def sources(*roots: Path) -> Iterator[tuple[Path, str, ast.Module]]:
    """Return every source file below `roots` with its text and its tree."""
    for path in sorted(each for root in roots for each in root.rglob("*.py")):
        text = path.read_text()
        yield path, text, ast.parse(text)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return every function and method of a module."""
    for node in ast.walk(tree):
        if isinstance(node, _FUNCTIONS):
            yield node


class PackageTests(SynchronousTestCase):
    """What holds for every module of the package and of the plugins."""

    def test_modules_say_what_they_are(self) -> None:
        """Every module has a docstring."""
        bare = [str(path) for path, _, tree in sources(*PACKAGES) if not ast.get_docstring(tree)]
        self.assertEqual(bare, [])

    def test_modules_are_short(self) -> None:
        """No module is longer than 450 lines."""
        found = [(str(path), text.count("\n")) for path, text, _ in sources(*PACKAGES)]
        self.assertEqual([entry for entry in found if entry[1] > LONGEST_MODULE], [])

    def test_functions_are_short(self) -> None:
        """No function is longer than 60 lines."""
        found = [
            f"{path}:{node.lineno} {node.name}"
            for path, _, tree in sources(*PACKAGES)
            for node in functions(tree)
            if (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
        ]
        self.assertEqual(found, [])

    def test_public_names_are_documented(self) -> None:
        """Every public class and function has a docstring."""
        found = [
            f"{path}:{node.lineno} {node.name}"
            for path, _, tree in sources(*PACKAGES)
            for node in _public(tree.body)
            if not ast.get_docstring(node)
        ]
        self.assertEqual(found, [])


class TestsTests(SynchronousTestCase):
    """What holds for every test."""

    def test_tests_say_what_they_hold(self) -> None:
        """Every test method has a docstring, and so has its class and module."""
        bare: list[str] = []
        for path, _, tree in sources(TESTS):
            if not ast.get_docstring(tree):
                bare.append(str(path))
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and not ast.get_docstring(node):
                    bare.append(f"{path}:{node.lineno} {node.name}")
            bare += [
                f"{path}:{node.lineno} {node.name}"
                for node in functions(tree)
                if node.name.startswith("test_") and not ast.get_docstring(node)
            ]
        self.assertEqual(bare, [])


def _public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Return the public definitions of a module, and those of its public classes."""
    for node in body:
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                yield from _public(node.body)
