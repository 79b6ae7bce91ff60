"""Tests of lwm2md.coap.places: the quick one and the plain one do the same as a dictionary."""

from __future__ import annotations

import gc
import weakref
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap.message import FormatError, Message, decode, encode
from lwm2md.coap.places import Places, PlainPlaces, QuickPlaces

KINDS: tuple[type[Any], ...] = (QuickPlaces, PlainPlaces)
KEYS = st.binary(max_size=20) | st.integers(0, 40).map(lambda number: b"\xb2rd\x0d\x03million%09d" % number)
MOVES = st.lists(st.tuples(st.sampled_from(("put", "pop", "get")), KEYS, st.integers()), max_size=200)


class _Thing:
    """Something that is there; ``then`` is called when it has gone."""

    __slots__ = ("__weakref__", "then", "to")

    def __init__(self, then: Any = None) -> None:
        self.then = then
        self.to: Any = None

    def __del__(self) -> None:
        if self.then is not None:
            self.then()


def post(key: bytes, token: bytes = b"tokn", head: int = 0x40, code: int = n.POST) -> tuple[bytes, bytes]:
    """A datagram with what stands behind its token, and a peer."""
    return bytes((head | len(token), code, 1, 2)) + token + key, b"peer"


class PlacesTests(SynchronousTestCase):
    """What is put there is found, until it is taken away."""

    def test_extension(self) -> None:
        """Where these tests run the extension is there, so that it is tested."""
        self.assertIsNot(QuickPlaces, PlainPlaces)

    @settings(max_examples=200, deadline=None)
    @given(MOVES)
    def test_like_a_dictionary(self, moves: list[tuple[str, bytes, int]]) -> None:
        """Whatever is put, replaced, taken away and asked for, all three agree at each step."""
        pattern: dict[bytes, int] = {}
        kinds: list[Places[int]] = [kind() for kind in KINDS]
        for what, key, value in moves:
            expected = pattern.pop(key, None) if what == "pop" else pattern.get(key)
            for places in kinds:
                if what == "put":
                    places[key] = value
                else:
                    self.assertEqual(places.pop(key, None) if what == "pop" else places.get(key), expected)
            if what == "put":
                pattern[key] = value
            for places in kinds:
                self.assertEqual(len(places), len(pattern))
        batch = [post(key) for _, key, _ in moves if key]
        expected_all = [pattern.get(key) for _, key, _ in moves if key]
        self.assertEqual([places.find_all(batch) for places in kinds], [expected_all] * len(kinds))

    def test_grows(self) -> None:
        """Many are found, and none of those that were taken away, in whatever order that happens."""
        for kind in KINDS:
            places: Places[int] = kind()
            keys = [b"%d" % number for number in range(20_000)]
            for number, key in enumerate(keys):
                places[key] = number
            for number in range(0, 20_000, 3):
                self.assertEqual(places.pop(keys[number * 7 % 20_000], None), number * 7 % 20_000)
            gone = {number * 7 % 20_000 for number in range(0, 20_000, 3)}
            expected = [None if number in gone else number for number in range(20_000)]
            self.assertEqual([places.get(key) for key in keys], expected)
            self.assertEqual(places.find_all([post(key) for key in keys]), expected)
            self.assertEqual(len(places), 20_000 - len(gone))

    def test_only_confirmable_posts(self) -> None:
        """Only a Confirmable POST of version 1 with a sound token names a place; others and torn ones name none."""
        for kind in KINDS:
            places: Places[str] = kind()
            places[b"key"] = "here"
            for token in (b"", b"t", b"12345678"):
                self.assertEqual(places.find_all([post(b"key", token)]), ["here"])
            others = [
                post(b"key", b"123456789"),
                post(b"key", head=0x50),
                post(b"key", head=0x80),
                post(b"key", head=0xC0),
                post(b"key", code=n.GET),
                post(b""),
                post(b"keys"),
            ]
            torn = [(post(b"key")[0][:end], b"peer") for end in range(11)]
            self.assertEqual(places.find_all([*others, *torn, post(b"key")]), [None] * 18 + ["here"])

    @settings(max_examples=300, deadline=None)
    @given(st.lists(st.binary(max_size=12), max_size=100))
    def test_any_datagrams(self, datagrams: list[bytes]) -> None:
        """Whatever arrives, both say the same, and only of what decodes to a Confirmable POST."""
        kinds: list[Places[str]] = [kind() for kind in KINDS]
        for places in kinds:
            for data in datagrams:
                places[data[4 + (data[0] & 15 if data else 0) :]] = "here"
        found = [places.find_all([(data, b"") for data in datagrams]) for places in kinds]
        self.assertEqual(*found)
        for data, place in zip(datagrams, found[0], strict=True):
            if place is not None:
                self.assertIn(data[:2], [post(b"", bytes(length))[0][:2] for length in range(9)])

    def test_agrees_with_the_decoder(self) -> None:
        """What is behind the token is what the encoder writes behind it."""
        message = Message(n.CON, n.POST, 7, b"tok", ((n.URI_PATH, b"rd"), (n.URI_PATH, b"id")), b"")
        places: Places[str] = QuickPlaces()
        places[b"\xb2rd\x02id"] = "here"
        self.assertEqual(places.find_all([(encode(message), b"")]), ["here"])
        self.assertRaises(FormatError, decode, b"\x49\x02")


class QuickPlacesTests(SynchronousTestCase):
    """What an extension has to take care of by itself."""

    def test_wrong_arguments(self) -> None:
        """Wrong arguments raise, and change nothing."""
        places: Any = QuickPlaces()
        places[b"a"] = 1
        for wrong in ("a", 1, None):
            self.assertRaises(TypeError, places.get, wrong)
            self.assertRaises(TypeError, places.pop, wrong, None)
            self.assertRaises(TypeError, places.__setitem__, wrong, 2)
            self.assertRaises(TypeError, places.find_all, wrong)
            self.assertRaises(TypeError, places.find_all, [wrong])
            self.assertRaises(TypeError, places.find_all, [(wrong, b"")])
        self.assertRaises(TypeError, places.find_all, [()])
        self.assertRaises(TypeError, places.pop, b"a")
        self.assertRaises(TypeError, places.__delitem__, b"a")
        self.assertRaises(TypeError, QuickPlaces, 1)
        self.assertRaises(TypeError, QuickPlaces, touched=())
        self.assertEqual((places.get(b"a"), len(places)), (1, 1))

    def test_objects_of_any_size(self) -> None:
        """Objects with members and without are found side by side."""
        thing, values = _Thing(), [1, None, "text", object(), b"", (), _Thing()]
        for value in values:
            places: Any = QuickPlaces()
            places[b"thing"], places[b"value"] = thing, value
            self.assertEqual(places.find_all([post(b"thing"), post(b"value")]), [thing, value])

    def test_references(self) -> None:
        """It lets go of what is replaced, taken away, or in it when it goes itself, though that leads back to it."""
        places: Any = QuickPlaces()
        things = [_Thing() for _ in range(3)]
        gone = [weakref.ref(thing) for thing in things]
        places[b"replaced"], places[b"taken"], places[b"kept"] = things
        found = places.find_all([post(b"kept")])
        things[2].to = places
        del things
        places[b"replaced"] = 1
        places.pop(b"taken", None)
        self.assertEqual([each() is None for each in gone], [True, True, False])
        del found, places
        gc.collect()
        self.assertIsNone(gone[2]())

    def test_changed_by_what_goes(self) -> None:
        """What goes may change the table: it is in order by then."""
        places: Any = QuickPlaces()

        def fill() -> None:
            for number in range(1000):
                places[b"%d" % number] = number

        places[b"key"] = _Thing(fill)
        places[b"key"] = "next"
        self.assertEqual((len(places), places.get(b"key"), places.get(b"999")), (1001, "next", 999))
        places[b"key"] = _Thing(lambda: places.pop(b"7", None))
        self.assertIsInstance(places.pop(b"key", None), _Thing)
        self.assertEqual((len(places), places.get(b"7")), (999, None))
        found = [places.get(b"%d" % number) for number in range(1000)]
        self.assertEqual(found, [None if number == 7 else number for number in range(1000)])
