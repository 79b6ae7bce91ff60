"""Tests of `lwm2md.lwm2m.links` and `lwm2md.lwm2m.linkformat`."""

from __future__ import annotations

import contextlib
import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.linkformat import Link, LinkError, ObjectList, compose, object_list, parse
from lwm2md.lwm2m.links import MAX_ATTRIBUTES, MAX_LENGTH, MAX_LINKS

TARGETS = st.text(alphabet="/0123456789abcRD.-_", max_size=20)
NAMES = st.text(alphabet="abcdefgh-", min_size=1, max_size=8)
VALUES = st.none() | st.text(max_size=20) | st.integers().map(str)
ATTRIBUTES = st.lists(st.tuples(NAMES, VALUES), max_size=5, unique_by=lambda pair: pair[0])
LINKS = st.lists(st.builds(Link, TARGETS, ATTRIBUTES.map(tuple)), max_size=6)


class ParseTests(SynchronousTestCase):
    """Links are read as devices send them."""

    def test_plain(self) -> None:
        """Targets, attributes with a value, quoted or not, and those without one."""
        links, deviations = parse('</>;rt="oma.lwm2m";ct=110,</3/0>;obs;title="a;b,c<d>";x="q\\"\\\\",</4>;y=""')
        self.assertEqual(
            (
                Link("/", (("rt", "oma.lwm2m"), ("ct", "110"))),
                Link("/3/0", (("obs", None), ("title", "a;b,c<d>"), ("x", 'q"\\'))),
                Link("/4", (("y", ""),)),
            ),
            links,
        )
        self.assertEqual((), deviations)

    def test_empty(self) -> None:
        """Nothing is no link."""
        self.assertEqual(((), ()), parse(""))

    def test_accessors(self) -> None:
        """An attribute is found by name, the first or all of them."""
        link = Link("/", (("ct", "1"), ("obs", None), ("ct", "2")))
        self.assertEqual(
            ("1", ("1", "2"), None, None, ()),
            (link.get("ct"), link.all("ct"), link.get("obs"), link.get("x"), link.all("obs")),
        )

    def test_deviations(self) -> None:
        """What devices do beside the grammar is read, and has a name."""
        table = {
            "</>;ct=110;ct=112": ([Link("/", (("ct", "110"), ("ct", "112")))], ["attribute-twice"]),
            "</>;ct=60 110 112,</1>": ([Link("/", (("ct", "60 110 112"),)), Link("/1")], ["unquoted-list"]),
            "</>;ct=60 110;rt=x": ([Link("/", (("ct", "60 110"), ("rt", "x")))], ["unquoted-list"]),
            "</1/0>, </3/0>": ([Link("/1/0"), Link("/3/0")], ["white-space"]),
            "</1/0>,\r\n</3/0> ;obs ; a = 5 ": (
                [Link("/1/0"), Link("/3/0", (("obs", None), ("a", "5")))],
                ["white-space"],
            ),
            "</1/0>,": ([Link("/1/0")], ["empty-link"]),
            ",</1/0>,,</3/0>": ([Link("/1/0"), Link("/3/0")], ["empty-link"]),
            "</1/0>;;a;,</3/0>": ([Link("/1/0", (("a", None),)), Link("/3/0")], ["empty-attribute"]),
            " ": ([], ["white-space"]),
            ",": ([], ["empty-link"]),
        }
        for text, (links, deviations) in table.items():
            self.assertEqual((tuple(links), tuple(deviations)), parse(text), text)

    def test_refused(self) -> None:
        """What is no list of links is refused, with the place."""
        for text in (
            "x",
            "</1",
            "</1>x",
            '</1>;a="b',
            '</1>;a="b\\',
            "</1></2>",
            "</1>;=5",
            "</1>;a=5<",
            '</1>;a=x"y"',
        ):
            with self.assertRaises(LinkError, msg=text) as raised:
                parse(text)
            self.assertIn("at character", str(raised.exception))

    def test_bounds(self) -> None:
        """Length, links and attributes of a link are limited."""
        parse(",".join(["</1>"] * MAX_LINKS))
        parse("</1>" + ";a" * MAX_ATTRIBUTES)
        for text in (
            ",".join(["</1>"] * (MAX_LINKS + 1)),
            "</1>" + ";a" * (MAX_ATTRIBUTES + 1),
            "<" + "1" * MAX_LENGTH + ">",
        ):
            with self.assertRaises(LinkError):
                parse(text)

    def test_linear(self) -> None:
        """Nothing of the longest length takes long, however it is made."""
        for unit in ("<", "</1>;a=", "</1>;", '</1>;a="', "\\", " ", ",", ";", "</1>;a=b c ", '"', "</1> "):
            text = (unit * MAX_LENGTH)[:MAX_LENGTH]
            before = time.process_time()
            with contextlib.suppress(LinkError):
                parse(text)
            self.assertLess(time.process_time() - before, 1.0, unit)

    @given(st.text(alphabet='<>/;,="\\ \n13acrtov.', max_size=80))
    def test_any_text(self, text: str) -> None:
        """Any text raises the one error, or is links that can be written and read again."""
        try:
            links, _ = parse(text)
        except LinkError:
            return
        try:
            again = compose(links)
        except LinkError:
            return
        self.assertEqual(links, parse(again)[0])


class ComposeTests(SynchronousTestCase):
    """Links are written so that the strictest reader takes them."""

    def test_written(self) -> None:
        """Numbers are bare, everything else is quoted, and there is no space between links."""
        links = [
            Link("/", (("rt", "oma.lwm2m"), ("ct", "60 110"))),
            Link("/3", (("ver", "1.1"), ("pmin", "-5"))),
            Link("/3/0", (("obs", None), ("t", 'a"b\\'))),
        ]
        self.assertEqual('</>;rt="oma.lwm2m";ct="60 110",</3>;ver=1.1;pmin=-5,</3/0>;obs;t="a\\"b\\\\"', compose(links))
        self.assertEqual("", compose([]))

    def test_refused(self) -> None:
        """A target or a name that would break the list is not written."""
        for link in (Link("/3>"), Link("/ 3"), Link("/3", (("a b", None),)), Link("/3", (("", "x"),)), Link("/\u00e9")):
            with self.assertRaises(LinkError):
                compose([link])

    @given(LINKS)
    def test_round_trip(self, links: list[Link]) -> None:
        """What is written reads back the same, without a deviation."""
        self.assertEqual((tuple(links), ()), parse(compose(links)))


def read(text: str) -> ObjectList:
    """The object list of a payload in text."""
    return object_list(text.encode())


def paths(found: ObjectList) -> list[str]:
    """Its paths in text."""
    return [str(path) for path in found.paths]


class ObjectListTests(SynchronousTestCase):
    """The payload of Register and Update."""

    def test_example(self) -> None:
        """The example of LwM2M 1.1 is read without a deviation."""
        found = read(
            '</>;rt="oma.lwm2m";ct="60 110 112 11542",</1/0>,</3/0>,</4/0>,</5/0>,</3303>;ver=1.1,</3303/0>,</3303/1>'
        )
        self.assertEqual("/", found.root)
        self.assertEqual((60, 110, 112, 11542), found.formats)
        self.assertEqual(["/1/0", "/3/0", "/4/0", "/5/0", "/3303/0", "/3303/1"], paths(found))
        self.assertEqual({3303: "1.1"}, found.versions)
        self.assertEqual((), found.deviations)

    def test_empty(self) -> None:
        """An empty payload is an empty list."""
        self.assertEqual(ObjectList("/", (), (), {}, ()), read(""))

    def test_roots(self) -> None:
        """The root is where rt says; a root link with a format only, or none at all, means the plain root."""
        table = {
            '</>;rt="oma.lwm2m";ct=110,</3/0>': ("/", (110,)),
            "</>;rt=oma.lwm2m,</3/0>": ("/", ()),
            "</>;ct=11543,</3/0>": ("/", (11543,)),
            "</3/0>": ("/", ()),
            '</lwm2m>;rt="oma.lwm2m";ct="110 112",</lwm2m/3/0>': ("/lwm2m", (110, 112)),
            '</a/b/>;rt="x oma.lwm2m",</a/b/3/0>': ("/a/b", ()),
            "</>;ct=110;ct=112,</3/0>": ("/", (110, 112)),
            "</>;ct=60 110,</3/0>": ("/", (60, 110)),
            '</>;rt="oma.lwm2m";ct="1541 1542 1543 1544 0",</3/0>': ("/", (0, 11542, 11543, 42)),
        }
        for text, (root, formats) in table.items():
            found = read(text)
            self.assertEqual((root, formats, ["/3/0"]), (found.root, found.formats, paths(found)), text)

    def test_outside_the_root(self) -> None:
        """With an alternate root, what is not below it is not LwM2M."""
        self.assertEqual(["/3/0"], paths(read("</lwm2m>;rt=oma.lwm2m,</1/0>,</lwm2m/3/0>,</lwm2mx/4/0>")))

    def test_odd_roots(self) -> None:
        """A root with a number in it is none; the first of two counts."""
        found = read("</3/0>;rt=oma.lwm2m")
        self.assertEqual(("/", ["/3/0"], ("numeric-root",)), (found.root, paths(found), found.deviations))
        found = read("</a>;rt=oma.lwm2m,</b>;rt=oma.lwm2m,</a/3/0>,</b/4/0>")
        self.assertEqual(("/a", ["/3/0"], ("root-twice",)), (found.root, paths(found), found.deviations))

    def test_objects_without_instances(self) -> None:
        """An Object is listed only where it has no Instance; links that come twice count once."""
        self.assertEqual(["/3/0", "/5", "/6/0"], paths(read("</6>,</6/0>,</5>,</3/0>,</3/0>,</5>,</3>")))

    def test_versions(self) -> None:
        """A version may be quoted, and may stand at the Object or its only Instance."""
        found = read('</10>;ver="1.1",</10/0>,</3/0>;ver=1.2')
        self.assertEqual(({10: "1.1", 3: "1.2"}, ()), (found.versions, found.deviations))

    def test_odd_versions(self) -> None:
        """A version at one of several Instances holds for the Object; of several versions the highest does."""
        found = read("</1/0>;ver=1.1,</1/1>")
        self.assertEqual(({1: "1.1"}, ("ver-on-instance",)), (found.versions, found.deviations))
        found = read("</1/0>;ver=1.10,</1/1>;ver=1.9,</1>;ver=1.10")
        self.assertEqual(({1: "1.10"}, ("ver-conflict", "ver-on-instance")), (found.versions, found.deviations))
        for text in ("</3>;ver=1", "</3>;ver=1.0.1", "</3>;ver=x", "</3>;ver=99999.1", '</3>;ver=""'):
            found = read(text)
            self.assertEqual(({}, ("bad-ver",), ["/3"]), (found.versions, found.deviations, paths(found)))
        self.assertEqual({}, read("</3>;ver").versions)

    def test_deviations(self) -> None:
        """What real devices list beside Objects and Instances is reduced or left out, and named."""
        table = {
            "</3/0/11/0>,</3/0/9>": (["/3/0"], ("resource-path-in-list",)),
            "</0/0>,</21/0>,</23>,</3/0>": (["/3/0"], ("security-object-listed",)),
            "</65535/0>,</3/65535>,</99999999999/0>,</03/0>,</4/0>": (["/4/0"], ("id-out-of-range",)),
            "</1/2/3/4/5>,</3/0>": (["/3/0"], ("path-too-long",)),
            "</3/0/>": (["/3/0"], ("trailing-slash",)),
            "</3/0>,</.well-known/core>,</dev/temp>;rt=t,<coap://h/3/0>,<3/0>,<>,</\u0663/0>": (["/3/0"], ()),
            "</3/0>;hb;title=x;if=y;lwm2m=1.2": (["/3/0"], ()),
            "</>;ct=110;ct=x,</3/0>": (["/3/0"], ("attribute-twice", "bad-ct")),
            "</>;ct=99999,</3/0>": (["/3/0"], ("bad-ct",)),
            '</>;ct="60,110",</3/0>': (["/3/0"], ()),
            "</1/0>, </3/0>,\n": (["/1/0", "/3/0"], ("white-space", "empty-link")),
        }
        for text, (expected, deviations) in table.items():
            found = read(text)
            self.assertEqual((expected, deviations), (paths(found), found.deviations), text)

    def test_refused(self) -> None:
        """Bytes that are not UTF-8, or no links, are refused."""
        for payload in (b"\xff", b"hello", b"</3/0"):
            with self.assertRaises(LinkError):
                object_list(payload)

    @given(st.binary(max_size=60) | st.text(alphabet='<>/;,=" 0136vertc.', max_size=80).map(str.encode))
    def test_any_payload(self, payload: bytes) -> None:
        """Any payload raises the one error, or is a list of Objects and Instances in order."""
        try:
            found = object_list(payload)
        except LinkError:
            return
        self.assertEqual(sorted(set(found.paths)), list(found.paths))
        self.assertTrue(all(len(path) in (1, 2) for path in found.paths))
