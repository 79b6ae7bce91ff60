"""Tests of `lwm2md.lwm2m.paths`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.paths import ROOT, Path, PathError, covered

IDS = st.lists(st.integers(0, 65534), max_size=4)


class PathTests(SynchronousTestCase):
    """Paths are read strictly, and compare and sort as the ids they are."""

    def test_levels(self) -> None:
        """Each level has its name, and those below it are None."""
        path = Path.parse("/3/0/6/1")
        self.assertEqual((3, 0, 6, 1), (path.object, path.instance, path.resource, path.resource_instance))
        short = Path.parse("/3")
        self.assertEqual((3, None, None, None), (short.object, short.instance, short.resource, short.resource_instance))
        self.assertIsNone(ROOT.object)

    def test_refused(self) -> None:
        """Whatever is not the canonical form of a path is refused."""
        wrong = "3", "", "//", "/3/", "/3//0", "/03", "/00", "/65535", "/70000", "/1/2/3/4/5", "/a", "/-1", "/+1", "/ 1"
        for text in (*wrong, "/1 ", "/\u0663", "/3/0\n", "/" + "1" * 5000, "/1.0"):
            with self.assertRaises(PathError):
                Path.parse(text)

    def test_accepted(self) -> None:
        """The root, zero and the highest id are paths."""
        self.assertEqual(Path(), Path.parse("/"))
        self.assertEqual(Path((0,)), Path.parse("/0"))
        self.assertEqual(Path((65534, 65534, 65534, 65534)), Path.parse("/65534/65534/65534/65534"))

    def test_segments(self) -> None:
        """The segments of a Uri-Path are read as strictly as text."""
        self.assertEqual(Path((3, 0)), Path.from_segments(("3", "0")))
        self.assertEqual(ROOT, Path.from_segments(()))
        for segments in (("3", ""), ("3/0", ""), ("x",), ("1", "2", "3", "4", "5")):
            with self.assertRaises(PathError):
                Path.from_segments(segments)

    def test_walking(self) -> None:
        """Parent and child move one level, and stay in bounds."""
        self.assertEqual(Path.parse("/3/0"), Path.parse("/3").child(0))
        self.assertEqual(Path.parse("/3"), Path.parse("/3/0").parent)
        self.assertEqual(ROOT, ROOT.parent)
        for path, child in ((Path.parse("/1/2/3/4"), 0), (ROOT, 65535), (ROOT, -1)):
            with self.assertRaises(PathError):
                path.child(child)

    def test_covers(self) -> None:
        """A path covers itself and what is below it, and nothing else."""
        path = Path.parse("/3/0")
        self.assertTrue(path.covers(path))
        self.assertTrue(path.covers(Path.parse("/3/0/6/1")))
        self.assertTrue(ROOT.covers(path))
        self.assertFalse(path.covers(Path.parse("/3")))
        self.assertFalse(path.covers(Path.parse("/3/1/0")))

    def test_covered(self) -> None:
        """A path is covered by a set of paths where one of them covers it."""
        paths = frozenset(map(Path.parse, ("/3/0", "/5", "/6/0/1/2")))
        for text in ("/", "/3", "/3/0", "/3/0/1", "/3/1", "/5", "/5/0/1/2", "/6/0/1", "/6/0/1/2", "/30"):
            path = Path.parse(text)
            self.assertEqual(covered(path, paths), any(each.covers(path) for each in paths), text)
        self.assertTrue(covered(Path.parse("/9"), frozenset((ROOT,))))

    def test_order(self) -> None:
        """Paths sort by number, a parent before its children."""
        texts = ["/3", "/3/0", "/3/0/9", "/3/0/10", "/20"]
        self.assertEqual(texts, [str(path) for path in sorted(map(Path.parse, reversed(texts)))])

    @given(IDS)
    def test_round_trip(self, ids: list[int]) -> None:
        """What is written reads back the same."""
        self.assertEqual(Path(ids), Path.parse(str(Path(ids))))

    @given(st.text(alphabet="/0123456789a ", max_size=30))
    def test_any_text(self, text: str) -> None:
        """Any text is refused with the one error, or is the canonical form of a path."""
        try:
            path = Path.parse(text)
        except PathError:
            return
        self.assertEqual(text, str(path))
