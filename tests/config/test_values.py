"""The types of settings: what each reads, what it refuses, and that it writes what it reads."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.config import values
from lwm2md.config.addresses import Address, listen, networks
from lwm2md.config.values import BadValue, Kind, Secret, power

KINDS = {
    "duration": values.duration(),
    "size": values.size(),
    "integer": values.integer(-5, 5),
    "number": values.number(0, 10),
    "boolean": values.boolean(),
    "choice": values.choice("text", "json"),
    "text": values.text(),
    "url": values.storage_url(),
    "levels": values.levels("debug", "info"),
    "listen": listen(),
    "networks": networks(),
    "power": power(16, 1024),
}


class Accepts(SynchronousTestCase):
    """Texts that are values."""

    def check(self, kind: str, table: dict[str, Any]) -> None:
        for text, value in table.items():
            self.assertEqual(KINDS[kind].parse(text), value, text)

    def test_durations(self) -> None:
        """A duration is a number with ms, s, m, h or d, in seconds."""
        self.check(
            "duration", {"500ms": 0.5, "90s": 90.0, "15m": 900.0, "24h": 86400.0, "1d": 86400.0, "1.5 h": 5400.0}
        )

    def test_sizes(self) -> None:
        """A size is a number with B or a binary prefix, in whole bytes."""
        self.check("size", {"512B": 512, "64KiB": 65536, "1MiB": 1 << 20, "0.5KiB": 512, "1GiB": 1 << 30})

    def test_numbers(self) -> None:
        """Integers and decimal numbers are read as Python's."""
        self.check("integer", {"-5": -5, "0": 0, "05": 5})
        self.check("number", {"1.5": 1.5, "10": 10.0})

    def test_booleans(self) -> None:
        """Yes and no have their usual synonyms, in any case."""
        self.check("boolean", {"yes": True, "On": True, "TRUE": True, "1": True, "no": False, "off": False, "0": False})

    def test_addresses(self) -> None:
        """Addresses stand in a list of commas or lines, IPv6 in brackets, and become canonical."""
        self.check(
            "listen",
            {
                "": (),
                "127.0.0.1:5683": (Address("127.0.0.1", 5683),),
                "\n[::1]:5683\n0.0.0.0:0": (Address("::1", 5683), Address("0.0.0.0", 0)),
                "localhost:1, [0:0::1]:1,": (Address("127.0.0.1", 1), Address("::1", 1)),
                "[fe80::1%eth0]:5683": (Address("fe80::1%eth0", 5683),),
                "127.0.0.1:0, 127.0.0.1:0": (Address("127.0.0.1", 0),) * 2,
            },
        )

    def test_levels(self) -> None:
        """Levels of namespaces are pairs."""
        self.check("levels", {"": (), "a.b=debug, c = info": (("a.b", "debug"), ("c", "info"))})

    def test_urls(self) -> None:
        """Storage is in a file of the state directory, in a named file, or in memory."""
        self.check("url", {"sqlite:": "sqlite:", "sqlite:/var/x.db": "sqlite:/var/x.db", "memory:": "memory:"})

    def test_loopback(self) -> None:
        """Only loopback addresses of either family count as loopback."""
        self.assertEqual(
            [Address(host, 1).loopback for host in ("127.0.0.1", "127.3.2.1", "::1", "0.0.0.0", "::", "10.0.0.1")],
            [True, True, True, False, False, False],
        )


class Refuses(SynchronousTestCase):
    """Texts that are no values, and what they were probably meant to be."""

    def check(self, kind: str, table: dict[str, str | None]) -> None:
        for text, suggestion in table.items():
            with self.assertRaises(BadValue, msg=text) as caught:
                KINDS[kind].parse(text)
            self.assertEqual(caught.exception.suggestion, suggestion, text)

    def test_durations(self) -> None:
        """A duration without a unit, with a foreign one, or out of range is refused."""
        self.check(
            "duration", {"90": "90s", "90sec": "90s", "15M": "15m", "": None, "-1s": None, "9999d": None, "x": None}
        )

    def test_sizes(self) -> None:
        """A size without a unit, with a decimal prefix, of half a byte or out of range is refused."""
        self.check(
            "size", {"64": "64B", "64kb": "64KiB", "64K": "64KiB", "1mib": "1MiB", "0.5B": None, "9999TiB": None}
        )

    def test_numbers(self) -> None:
        """What is no number of the range is refused, in every notation but the plain one."""
        self.check("integer", dict.fromkeys(("6", "-6", "1.0", "", "x", "1_0", "٣", "9" * 5000)))
        self.check("number", dict.fromkeys(("11", "-1", "nan", "inf", "1e3", "", "9" * 5000)))

    def test_words(self) -> None:
        """A misspelt word gets the nearest one."""
        self.check("boolean", {"yess": "yes", "maybe": None, "": None})
        self.check("choice", {"jsn": "json", "xml": None, "": None})
        self.check("levels", {"a=debgu": "a=debug", "a": None, "a=debug,a=info": None, "a b=info": None})
        self.check(
            "url",
            {"sqlit": "sqlite:", "memory": "memory:", "memory:x": "memory:", "mem": "memory:", "redis": None},
        )

    def test_text(self) -> None:
        """A text is one line that is not empty, not too long, and printable."""
        self.check("text", dict.fromkeys(("", "a\nb", "\x1b[0m", "x" * 256)))

    def test_addresses(self) -> None:
        """What is no IP address with a port is refused; what lacks brackets or a host is completed."""
        self.check(
            "listen",
            {
                "5683": "127.0.0.1:5683",
                ":5683": "0.0.0.0:5683",
                "*:5683": "0.0.0.0:5683",
                "::1:5683": "[::1]:5683",
                "[::ffff:127.0.0.1]:1": "127.0.0.1:1",
                "example.org:5683": None,
                "127.0.0.1": None,
                "127.0.0.1:65536": None,
                "127.0.0.1:" + "9" * 5000: None,
                "127.0.0.1:1,127.0.0.1:1": None,
                "[::1]": None,
                "[fe80::1%\x1b]:1": None,
            },
        )


class Properties(SynchronousTestCase):
    """What holds for every text and every value."""

    @settings(deadline=None)
    @given(st.sampled_from(sorted(KINDS)), st.text())
    def test_any_text(self, name: str, text: str) -> None:
        """A text is either a value, which is written as a text of the same value, or a BadValue."""
        self.verify_round_trip(KINDS[name], text)

    @settings(deadline=None)
    @given(st.decimals(0, 10**6, places=6), st.sampled_from(["ms", "s", "m", "h", "d", "B", "KiB", "MiB", "", "x"]))
    def test_any_amount(self, number: object, unit: str) -> None:
        """Durations and sizes are written with a unit and read back exactly."""
        for name in ("duration", "size"):
            self.verify_round_trip(KINDS[name], f"{number}{unit}")

    @settings(deadline=None)
    @given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(0, 65535))
    def test_any_address(self, host: object, port: int) -> None:
        """Addresses are written so that they are read back."""
        self.verify_round_trip(KINDS["listen"], str(Address(str(host), port)))

    def verify_round_trip(self, kind: Kind, text: str) -> None:
        try:
            value = kind.parse(text)
        except BadValue:
            return
        self.assertEqual(kind.parse(kind.show(value)), value)


class Secrets(SynchronousTestCase):
    """Secrets and their sources."""

    kind = values.secret()

    def test_masked(self) -> None:
        """However a secret is printed, it is not shown."""
        secret = Secret("hunter2")
        for shown in (str(secret), repr(secret), f"{secret}", f"{secret!r:>9}", self.kind.show(secret), str([secret])):
            self.assertNotIn("hunter2", shown)
        self.assertEqual(secret.reveal(), "hunter2")

    def test_compares(self) -> None:
        """Secrets are equal when their texts are."""
        self.assertEqual({Secret("a"), Secret("a")}, {Secret("a")})
        self.assertNotEqual(Secret("a"), "a")

    def test_literal_and_empty(self) -> None:
        """A text is itself; nothing is no secret."""
        self.assertEqual(self.kind.parse("hunter2"), Secret("hunter2"))
        self.assertIsNone(self.kind.parse(""))
        self.assertEqual(self.kind.show(None), "")

    def test_file(self) -> None:
        """A file gives its content without the end of its line."""
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write("hunter2\r\n")
        self.assertEqual(self.kind.parse(f"file:{path}"), Secret("hunter2"))

    def test_bad_files(self) -> None:
        """A file that is missing, empty, of several lines or no text is refused, without its content."""
        for content in (None, b"", b"\n", b"hunter2\nhunter3", b"hunter2\xff"):
            path = self.mktemp()
            if content is not None:
                with open(path, "wb") as file:
                    file.write(content)
            with self.assertRaises(BadValue) as caught:
                self.kind.parse(f"file:{path}")
            self.assertNotIn("hunter", caught.exception.expected)

    def test_environment(self) -> None:
        """A variable of the environment gives its value; one that is not set is refused by its name."""
        self.patch(os, "environ", {"LWM2MD_TEST": "hunter2"})
        self.assertEqual(self.kind.parse("env:LWM2MD_TEST"), Secret("hunter2"))
        with self.assertRaises(BadValue) as caught:
            self.kind.parse("env:LWM2MD_OTHER")
        self.assertIn("LWM2MD_OTHER", caught.exception.expected)


class NetworkTests(SynchronousTestCase):
    """Lists of networks, and powers of two."""

    def test_networks(self) -> None:
        """Networks and lone addresses of both families are read; host bits and words are refused."""
        kind = networks()
        self.assertEqual(kind.show(kind.parse("10.0.0.0/8, ::1")), "10.0.0.0/8, ::1/128")
        self.assertEqual(kind.parse(""), ())
        for wrong in ("10.0.0.1/8", "loopback", "10.0.0.0/33"):
            self.assertRaises(BadValue, kind.parse, wrong)

    def test_powers(self) -> None:
        """A power of two within its bounds is read, anything else is refused."""
        kind = power(16, 1024)
        self.assertEqual([kind.parse(text) for text in ("16", "256", "1024")], [16, 256, 1024])
        for wrong in ("8", "2048", "100", "", "1e2"):
            self.assertRaises(BadValue, kind.parse, wrong)
