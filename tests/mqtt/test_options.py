"""Settings of the plugin."""

from __future__ import annotations

from paho.mqtt.enums import MQTTProtocolVersion
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config.values import BadValue
from lwm2md_mqtt.options import KEYS, options, url
from tests.mqtt.test_broker import settings


class UrlTests(SynchronousTestCase):
    """Where the broker is."""

    def test_right(self) -> None:
        """Host and port, with the usual ports where none is given, of both schemes."""
        for text, found in (
            ("mqtt://broker", ("broker", 1883, False)),
            ("mqtts://broker", ("broker", 8883, True)),
            ("mqtt://192.0.2.1:77", ("192.0.2.1", 77, False)),
            ("mqtts://[2001:db8::1]:1", ("2001:db8::1", 1, True)),
            ("mqtt://broker/", ("broker", 1883, False)),
        ):
            parsed = url().parse(text)
            self.assertEqual((parsed.host, parsed.port, parsed.tls), found)
            self.assertEqual(url().parse(str(parsed)), parsed)

    def test_wrong(self) -> None:
        """Nothing else; a bare host gets a hint."""
        for text in (
            "", "broker", "http://broker", "mqtt://", "mqtt://u:p@broker", "mqtt://b:0", "mqtt://b:70000",
            "mqtt://b/topic", "mqtt://b?x", "mqtt://[::1",
        ):  # fmt: skip
            with self.assertRaises(BadValue):
                url().parse(text)
        with self.assertRaises(BadValue) as caught:
            url().parse("broker:1883")
        self.assertEqual(caught.exception.suggestion, "mqtt://broker:1883")


class OptionTests(SynchronousTestCase):
    """What the settings mean."""

    def test_defaults(self) -> None:
        """Every default is a value of its kind."""
        for key in KEYS:
            if key.default is not None:
                self.assertEqual(
                    key.kind.parse(key.kind.show(key.kind.parse(key.default))), key.kind.parse(key.default)
                )

    def test_names(self) -> None:
        """The client id is made of the daemon's name where none is given."""
        self.assertEqual(options(settings(), "north").client_id, "lwm2md-north")
        self.assertEqual(options(settings(client_id="x"), "north").client_id, "x")

    def test_values(self) -> None:
        """Settings arrive where they have an effect."""
        quality = {"qos_values": "0", "qos_events": "2"}
        given = settings(protocol="3.1.1", retain="yes", requests="no", payload="plain", **quality)
        found = options(given, "n")
        self.assertIs(found.protocol, MQTTProtocolVersion.MQTTv311)
        self.assertEqual(found.qos, {"values": 0, "events": 2, "responses": 1, "online": 2})
        self.assertEqual(found.retained, {"values": True, "events": False, "responses": False, "online": True})
        self.assertEqual((found.requests, found.plain), ("", True))

    def test_secret(self) -> None:
        """The password is not shown."""
        found = options(settings(user="u", password="hush"), "n")
        self.assertEqual(found.password, "hush")
        self.assertNotIn("hush", repr(found))

    def test_contradictions(self) -> None:
        """What does not fit together is refused."""
        for given_settings in (
            {"ca": "/x"},
            {"certificate": "/x"},
            {"url": "mqtts://b", "key": "/x"},
            {"password": "p"},
            {"shortest_pause": "5s", "longest_pause": "1s"},
        ):
            with self.assertRaises(ValueError):
                options(settings(**given_settings), "n")

    def test_wrong(self) -> None:
        """Values that are none of their kind are refused."""
        for name, text in (
            ("project", "a/#"), ("project", "$SYS"), ("share", "a/b"), ("qos-values", "3"), ("protocol", "4"),
            ("payload", "xml"), ("keepalive", "0s"), ("in-flight", "0"), ("client-id", "a\nb"), ("ca", "a\nb"),
        ):  # fmt: skip
            kind = next(key.kind for key in KEYS if key.name == name)
            with self.assertRaises(BadValue):
                kind.parse(text)
