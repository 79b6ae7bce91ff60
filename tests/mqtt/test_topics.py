"""Topics and names."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md_mqtt.topics import TopicError, Topics, check_project, decode, encode

NAMES = st.text(max_size=40)
ENCODED = (
    ("sensor-1", "sensor-1"),
    ("urn:imei:35 1", "urn:imei:35 1"),
    ("a/b", "a%2Fb"),
    ("a+b", "a%2Bb"),
    ("#", "%23"),
    ("100%", "100%25"),
    ("a\0b", "a%00b"),
    ("requests", "%72equests"),
    ("responses", "%72esponses"),
    ("Requests", "Requests"),
    ("requests2", "requests2"),
    ("größe", "größe"),
    ("tab\t", "tab%09"),
    ("\x7f\x80", "%7F%C2%80"),
    ("\ufdd0\uffff\U0001fffe", "%EF%B7%90%EF%BF%BF%F0%9F%BF%BE"),
)


class NameTests(SynchronousTestCase):
    """Endpoint Client Names as levels of topics."""

    def test_table(self) -> None:
        """What means something in topics is percent-encoded, what brokers refuse too, and nothing else is."""
        for name, level in ENCODED:
            self.assertEqual(encode(name), level)
            self.assertEqual(decode(level), name)

    @given(NAMES)
    def test_back(self, name: str) -> None:
        """Every name comes back from its level, which has no character of meaning and is none of our own levels."""
        level = encode(name)
        self.assertEqual(decode(level), name)
        self.assertEqual(set(level) & set("/+#\0"), set())
        self.assertNotIn(level, ("requests", "responses"))

    @given(st.text(max_size=30))
    def test_any_level(self, text: str) -> None:
        """Whatever stands in a level is a name or refused."""
        level = text.encode("utf-8", "replace").decode()
        try:
            decode(level)
        except TopicError:
            self.assertIn("%", level)

    def test_generous(self) -> None:
        """Who encodes more than needed, or in small letters, is understood."""
        self.assertEqual(decode("%73ensor%2d1%2f%c3%b6"), "sensor-1/ö")

    def test_wrong(self) -> None:
        """A percent sign without two digits, and what is no UTF-8, is refused."""
        for level in ("%", "a%2", "%zz", "%ff", "%C3%28"):
            with self.assertRaises(TopicError):
                decode(level)


class ProjectTests(SynchronousTestCase):
    """What topics may begin with."""

    def test_right(self) -> None:
        """One or several levels."""
        for project in ("lwm2md", "site/7/lwm2m", "größe", "50%"):
            self.assertEqual(check_project(project), project)

    def test_wrong(self) -> None:
        """Nothing that is a wildcard, is empty, is the broker's own or too long."""
        for project in ("", "/", "a/", "/a", "a//b", "$SYS", "a+", "#", "a\nb", "x" * 1025):
            with self.assertRaises(ValueError):
                check_project(project)


class TopicTests(SynchronousTestCase):
    """The topics of a project."""

    def setUp(self) -> None:
        self.topics = Topics("site/lwm2md", "node 1")

    def test_request(self) -> None:
        """A request is taken apart, and its answer goes where it came from, below responses."""
        found = self.topics.parse("site/lwm2md/requests/a%2Fb/PUT/3/0/14")
        self.assertEqual((found.endpoint, found.method, found.path), ("a/b", "PUT", "/3/0/14"))
        self.assertEqual(self.topics.response(found), "site/lwm2md/responses/a%2Fb/PUT/3/0/14")

    def test_without_path(self) -> None:
        """A request may be without a path; a slash at the end is kept for what refuses it."""
        self.assertEqual(self.topics.parse("site/lwm2md/requests/e/GET").path, "")
        self.assertEqual(self.topics.parse("site/lwm2md/requests/e/GET/").path, "/")

    def test_not_a_request(self) -> None:
        """What has no endpoint or method, is of another project, or can't be answered, is no request."""
        long = f"site/lwm2md/requests/{'e' * 65512}/G"
        self.assertEqual(len(long), 65535)
        for topic in ("", "site/lwm2md/requests", "site/lwm2md/requests/e", "site/lwm2md/requests//GET", "x", long):
            with self.assertRaises(TopicError):
                self.topics.parse(topic)

    def test_filter(self) -> None:
        """The filter matches all requests; of a shared one each goes to one of the group."""
        self.assertEqual(self.topics.filter(), "site/lwm2md/requests/#")
        self.assertEqual(self.topics.filter("twins"), "$share/twins/site/lwm2md/requests/#")

    def test_published(self) -> None:
        """Values, events and the daemon's own state have topics that no other kind has."""
        self.assertEqual(self.topics.sensor("e", "/3303/0/5700"), "site/lwm2md/e/sensor/3303/0/5700")
        self.assertEqual(self.topics.event("e", "registered"), "site/lwm2md/e/registered")
        self.assertEqual(self.topics.event(None, "plugin.failed"), "site/lwm2md/nodes/node 1/plugin.failed")
        self.assertEqual(self.topics.online, "site/lwm2md/nodes/node 1/online")
