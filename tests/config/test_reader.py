"""INI syntax: every fault of a file at once, with its line, and nothing of what is around it lost."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config.reader import LARGEST_FILE, MOST_ERRORS, Entry, read_file, read_sets, read_text

LINES = st.sampled_from(
    [
        "[a]",
        "[b]",
        " [a]",
        "[a] x",
        "[]",
        "[::1]:5683",
        "[DEFAULT]",
        "x = 1",
        "x=2",
        " y = 3",
        "z",
        "=",
        "  ",
        "#c",
        ";",
        "\tv",
    ]
)


class Reading(SynchronousTestCase):
    """Files that are right."""

    def entries(self, text: str) -> list[tuple[str, str | None, str]]:
        found, errors = read_text("f", text)
        self.assertEqual(errors, [])
        return [(entry.section, entry.key, entry.value) for entry in found]

    def test_entries(self) -> None:
        """Sections, keys and values come in order; comments have their own lines, values may hold anything."""
        text = "# c\n[a]  ; c\nx = 1 = %(y)s ; no comment\n\n; c\ny=\n[b]\n"
        self.assertEqual(
            self.entries(text), [("a", None, ""), ("a", "x", "1 = %(y)s ; no comment"), ("a", "y", ""), ("b", None, "")]
        )

    def test_continued(self) -> None:
        """Indented lines continue a value, comments between them do not; Windows' line ends are line ends."""
        self.assertEqual(self.entries("[a]\r\nx =\r\n  1\r\n  # c\r\n  [::1]:2\r\n")[1], ("a", "x", "\n1\n[::1]:2"))

    def test_byte_order_mark(self) -> None:
        """A byte order mark is no part of the first section."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"\xef\xbb\xbf[a]\nx = \xc3\xa9\n")
        self.assertEqual(read_file(path), ([Entry(path, "a", None), Entry(path, "a", "x", "é")], []))


class Faults(SynchronousTestCase):
    """Files that are wrong."""

    def faults(self, text: str) -> list[str]:
        return [str(error) for error in read_text("f", text)[1]]

    def test_all_at_once(self) -> None:
        """Each duplicate and each unreadable line is told, in the order of the lines."""
        text = "x = 0\n[a]\nx = 1\nx = 2\nx = 3\nz\n[a]\ny = 4\ny = 5\n[b] c\n"
        self.assertEqual(
            [fault.split(":")[0] for fault in self.faults(text)], [f"f, line {n}" for n in (1, 4, 5, 6, 7, 9, 10)]
        )

    def test_duplicates_are_named(self) -> None:
        """A duplicate is told with its section and key."""
        self.assertEqual(
            self.faults("[a]\nx = 1\nx = 2\n[a]\n"),
            [
                "f, line 3: [a] x: it is there twice, expected every key once",
                "f, line 4: [a]: it is there twice, expected every section once",
            ],
        )

    def test_rest_is_read(self) -> None:
        """What is right around a fault is read, and what continues a faulty line goes with that line."""
        entries, _ = read_text("f", "[a]\nx = 1\nx = 2\n  3\nz\n  4\ny = 5\n[a]\nw = 6\n")
        self.assertEqual(
            entries,
            [Entry("f", "a", None), Entry("f", "a", "x", "1"), Entry("f", "a", "y", "5"), Entry("f", "a", "w", "6")],
        )

    def test_address_like_section(self) -> None:
        """An IPv6 address that is not indented gets a hint, not a complaint about a section."""
        (fault,) = self.faults("[coap]\nlisten =\n[::1]:5683\n")
        self.assertIn("line 3", fault)
        self.assertIn("expected it indented", fault)

    def test_no_secrets(self) -> None:
        """A line that is no INI may be a part of a secret, so its text is not shown."""
        self.assertNotIn("hunter2", "".join(self.faults("[a]\nhunter2\n")))

    def test_bounds(self) -> None:
        """Errors and files have a largest number and size."""
        self.assertEqual(len(self.faults("[a]\n" + "x = 1\n" * 1000)), MOST_ERRORS)
        self.assertEqual(len(self.faults("#" * (LARGEST_FILE + 1))), 1)

    def test_no_text(self) -> None:
        """A NUL, bytes that are not UTF-8, a directory and a missing file are one error each."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"[a]\nx = \xff\n")
        self.assertIn("line 2", self.faults("[a]\nx = \0\n")[0])
        for name in (path, ".", "missing.ini"):
            entries, (error,) = read_file(name)
            self.assertEqual((entries, error.file), ([], name))

    @settings(deadline=None)
    @given(st.one_of(st.text(), st.lists(LINES, max_size=12).map("\n".join)))
    def test_any_text(self, text: str) -> None:
        """Whatever the text, there are entries and errors, each of one line, and no trace of renamed lines."""
        entries, errors = read_text("f", text)
        self.assertEqual([str(error).splitlines() for error in errors], [[str(error)] for error in errors])
        self.assertNotIn("\0", "".join(entry.section + (entry.key or "") + entry.value for entry in entries))
        self.assertNotIn("\\x00", "".join(str(error) for error in errors if "NUL" not in error.expected))


class CommandLine(SynchronousTestCase):
    """``--set``."""

    def test_split(self) -> None:
        """The first equals sign ends the name, the last dot before it the section."""
        entries, errors = read_sets(["coap+tcp.listen=a.b=c", "plugin:a.b.url = x ", "a.b="])
        self.assertEqual(errors, [])
        self.assertEqual(
            [(entry.section, entry.key, entry.value) for entry in entries],
            [("coap+tcp", "listen", "a.b=c"), ("plugin:a.b", "url", "x"), ("a", "b", "")],
        )

    def test_refused(self) -> None:
        """What has no section, key or equals sign is an error without its value."""
        entries, errors = read_sets(["x=hunter2", "a.b", ".x=hunter2", "a.=hunter2", ""])
        self.assertEqual((entries, len(errors)), ([], 5))
        self.assertNotIn("hunter2", "".join(map(str, errors)))
