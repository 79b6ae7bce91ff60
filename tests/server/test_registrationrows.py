"""Rows of registrations and refreshes: whole when they are read back, and short where they say nothing of their own."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.lwm2m.linkformat import ObjectList
from lwm2md.lwm2m.models import default_version
from lwm2md.lwm2m.paths import Path
from lwm2md.server.objectlists import ObjectLists
from lwm2md.server.records import NO_LABELS, Registration
from lwm2md.server.registrationrows import read_id, read_refresh, read_registration, refresh_row, registration_row

LINKS = b"</1/0>,</3/0>,</4/0>,</3303/0>,</3303/1>"
FORMER = (
    b'{"id":"a","endpoint":"d","peer":"BH8A","transport":"coap","version":"1.1","lifetime":60,"binding":"UQ",'
    b'"registered_at":1.5,"updated_at":2.5,"paths":["/1/0","/3/0"],"queue_mode":true,"formats":[110],'
    b'"versions":{"1":"1.1","3":"1.2"},"labels":{"farm":"north"}}'
)
VERSIONS = ("1.0", "1.1", "1.2")
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
PATHS = st.lists(
    st.builds(lambda ids: Path(tuple(ids)), st.lists(st.integers(0, 65534), min_size=1, max_size=2)), max_size=5
)
TIMES = st.sampled_from((0.0, 1.5, 1_795_371_237.8446388))


@st.composite
def lists(draw: st.DrawFn) -> ObjectList:
    """Lists of Objects, with the versions that some LwM2M version implies, or others."""
    paths = tuple(draw(PATHS))
    objects = {path[0] for path in paths}
    enabler = draw(st.sampled_from(VERSIONS))
    implied = {each: default_version(each, enabler) for each in objects}
    versions = draw(st.just(implied) | st.fixed_dictionaries(dict.fromkeys(objects, st.sampled_from(VERSIONS))))
    numbers = tuple(draw(st.lists(st.integers(0, 65535), max_size=2)))
    deviations = tuple(draw(st.lists(st.sampled_from(("a", "b")), max_size=2, unique=True)))
    return ObjectList(draw(st.sampled_from(("/", "/lwm2m"))), numbers, paths, versions, deviations)


REGISTRATIONS = st.builds(
    Registration,
    TEXTS,
    TEXTS,
    st.binary(max_size=20),
    st.sampled_from(("coap", "coaps")),
    st.none() | TEXTS,
    st.sampled_from(VERSIONS),
    st.none() | st.integers(1, 1 << 31),
    st.sampled_from(("U", "UQ")),
    st.booleans(),
    st.none() | TEXTS,
    lists(),
    st.just(NO_LABELS) | st.dictionaries(TEXTS, TEXTS, max_size=2),
    TIMES,
    TIMES,
)


def facts(registration: Registration) -> dict[str, object]:
    """What is stored of a registration, by name."""
    names = (
        "id", "endpoint", "peer", "transport", "identity", "version", "lifetime", "binding", "queue_mode", "sms",
        "objects", "registered_at", "updated_at",
    )  # fmt: skip
    return {**{name: getattr(registration, name) for name in names}, "labels": dict(registration.labels)}


class RegistrationRowTests(SynchronousTestCase):
    """Registrations as rows."""

    def setUp(self) -> None:
        objects = ObjectLists().read(LINKS, "1.1")
        self.one = Registration(
            "a", "d", b"\x04\x7f\x00", "coap", None, "1.1", 60, "U", False, None, objects, NO_LABELS, 1.5, 1.5
        )

    @given(REGISTRATIONS)
    def test_whole(self, registration: Registration) -> None:
        """What is written is read back, whatever it is."""
        row = registration_row(registration)
        self.assertEqual(facts(read_registration(row, registration.endpoint)), facts(registration))
        self.assertEqual(read_id(row), registration.id)

    def test_short(self) -> None:
        """A row does not say what nearly all devices say alike, nor what follows from the rest."""
        row = msgspec.json.decode(registration_row(self.one))
        self.assertEqual(row, ["a", "BH8A", 1.5, None, "1.1", 60, "U", "/1/0 /3/0 /4/0 /3303/0 /3303/1"])

    def test_shared(self) -> None:
        """Rows that say the same list are read as one list."""
        row = registration_row(self.one)
        self.assertIs(read_registration(row, "d").objects, read_registration(row, "e").objects)

    def test_version(self) -> None:
        """One list with another LwM2M version names the versions of its Objects."""
        self.one.version = "1.2"
        found = read_registration(registration_row(self.one), "d")
        self.assertEqual(found.objects.versions, self.one.objects.versions)

    def test_former(self) -> None:
        """A row of the schemas before the tenth is read, and written anew it is short."""
        found = read_registration(FORMER, "d")
        self.assertEqual((read_id(FORMER), found.updated_at, found.lifetime), ("a", 2.5, 60))
        self.assertEqual((found.objects.formats, found.objects.versions), ((110,), {1: "1.1", 3: "1.2"}))
        self.assertEqual((dict(found.labels), found.queue_mode, found.objects.root), ({"farm": "north"}, True, "/"))
        self.assertEqual(facts(read_registration(registration_row(found), "d")), facts(found))

    def test_nonsense(self) -> None:
        """What is no row has no id, and can't be read."""
        for row in (b"", b"{", b"[", b"[]", b"{}", b"[1]", b'["a"'):
            self.assertIsNone(read_id(row))
            self.assertRaises(msgspec.DecodeError, read_registration, row, "d")

    def test_refresh(self) -> None:
        """A refresh is its time and its address."""
        self.assertEqual(read_refresh(refresh_row(self.one)), (1.5, b"\x04\x7f\x00"))
