"""Tests of `lwm2md.ctl.doctoring`: how a device is, in words, and profiles from the command line."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.errors import DONE, USAGE
from tests.ctl.support import Canned, Ran, as_json, run

DEVICE = {
    "endpoint": "pump\x1b",
    "state": "sleeping",
    "state_reason": "drowsed",
    "overdue": False,
    "address": "10.1.2.3:56830",
    "version": "1.1",
    "binding": "U",
    "queue_mode": True,
    "lifetime": 300,
    "registered_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-01T00:01:00Z",
    "expires_at": None,
    "last_seen": "2026-01-01T00:01:00Z",
    "gateway": None,
    "labels": {"farm": "north"},
}
PROFILE = {
    "manufacturer": "Acme",
    "model": None,
    "firmware": "1.2",
    "profiles": ["ours", "zephyr"],
    "retry": "2026-01-08T00:00:00Z",
    "refused_formats": [{"use": "read", "format": "tlv"}, {"use": "read", "format": None}],
    "values": [
        {"name": "awake", "value": 20, "source": "hand", "profile": "ours"},
        {"name": "formats", "value": ["tlv", "text"], "source": "profile", "profile": "theirs"},
        {"name": "fetch", "value": False, "source": "learned", "profile": None},
        {"name": "ack_timeout", "value": 2.0, "source": "settings", "profile": None},
        {"name": "send", "value": None, "source": None, "profile": None},
    ],
}
DEVIATION = {
    "kind": "fetch-unanswered",
    "count": 2,
    "first": "2026-01-01T00:00:00Z",
    "last": "2026-01-01T00:01:00Z",
    "sample": "\x1b[2J",
    "encoding": "text",
    "meaning": "It does not answer FETCH at all.",
    "advice": "Nothing.",
}
WORDS = """\
pump\\x1b is sleeping.
  state_reason   drowsed
  overdue        no
  address        10.1.2.3:56830
  version        1.1
  binding        U
  queue_mode     yes
  lifetime       300
  registered_at  2026-01-01T00:00:00Z
  updated_at     2026-01-01T00:01:00Z
  last_seen      2026-01-01T00:01:00Z
  labels         farm=north
It says it is manufacturer Acme, firmware 1.2.
Profiles for it: ours, zephyr.
  awake 20, by hand (ours)
  formats tlv text, profile (theirs)
It has shown (what it has not is tried again from 2026-01-08T00:00:00Z on):
  fetch no
It has refused the formats tlv (read), none (read).
It departs from the specifications:
  fetch-unanswered, 2 times, last 2026-01-01T00:01:00Z
    It does not answer FETCH at all.
    To do: Nothing.
    Sample: \\x1b[2J
"""


def page(*items: Any) -> bytes:
    """The answer with a list."""
    return as_json(json.dumps({"items": items, "next": None}).encode())


def document(found: object) -> bytes:
    """The answer with a document."""
    return as_json(json.dumps(found).encode())


class DoctorTests(SynchronousTestCase):
    """What is said, of what the API answers."""

    def ran(self, *words: str, answers: list[bytes], terminal: bool = True) -> tuple[Ran, list[bytes]]:
        """Run a command against these answers; and what was asked."""
        server = Canned(self, answers)
        ran = run(self, "--url", server.url, *words, terminal=terminal)
        self.assertEqual((ran.status, ran.err), (DONE, ""))
        return ran, server.requests

    def test_words(self) -> None:
        """A device is described in words, and nothing that it says moves the cursor."""
        ran, _ = self.ran("doctor", "p", answers=[document(PROFILE), document(DEVICE), page(DEVIATION)])
        self.assertEqual(ran.out, WORDS)

    def test_healthy(self) -> None:
        """Of a device of which nothing is known that is said."""
        profile = {**PROFILE, "profiles": [], "values": [], "refused_formats": [], "manufacturer": "", "firmware": None}
        ran, _ = self.ran("doctor", "p", answers=[document(profile), document(DEVICE), page()])
        self.assertEqual(
            ran.out.splitlines()[-3:],
            [
                "What it is has not been read: /3/0/0, /3/0/1, /3/0/3.",
                "No profile is for it.",
                "It is not known to depart from the specifications.",
            ],
        )

    def test_json(self) -> None:
        """In JSON it is one document of all three."""
        answers = [document(PROFILE), document(DEVICE), page(DEVIATION)]
        ran, _ = self.ran("doctor", "p", answers=answers, terminal=False)
        self.assertEqual(json.loads(ran.out), {"device": DEVICE, "profile": PROFILE, "deviations": [DEVIATION]})

    def test_fleet(self) -> None:
        """Without a device the fleet is described, what most devices do first."""
        status = {"counts": {"devices": 4, "states": {"online": 3, "sleeping": 1}}}
        few = {"kind": "odd-boolean", "devices": 1, "count": 9, "meaning": "m", "advice": "a"}
        many = {"kind": "white-space", "devices": 3, "count": 3, "meaning": "w", "advice": "a"}
        ran, _ = self.ran("doctor", answers=[document(status), page(few, many)])
        lines = ran.out.splitlines()
        self.assertEqual(lines[0], "devices: online=3 sleeping=1")
        self.assertEqual(
            [line.split()[:3] for line in lines[3:]], [["white-space", "3", "3"], ["odd-boolean", "1", "9"]]
        )
        ran, _ = self.ran("doctor", answers=[document(status), page()])
        self.assertIn("None of them", ran.out)

    def test_profile(self) -> None:
        """A profile is put with typed values, shown without options, and taken back."""
        answers = [document({"name": "p"})]
        options = (
            "--match",
            "manufacturer=Acme*",
            "--match",
            "labels=a=b,c!=d",
            "--set",
            "awake=20",
            "--set",
            "fetch=no",
        )
        more = ("--set", "formats=tlv,text", "--set", "send=refuse", "--priority", "-3", "--note", "why")
        _, asked = self.ran("profile", "p/1", *options, *more, answers=answers)
        self.assertTrue(asked[0].startswith(b"PUT /v1/profiles/p%2F1 "))
        self.assertEqual(
            json.loads(asked[0].partition(b"\r\n\r\n")[2]),
            {
                "match": {"manufacturer": "Acme*", "labels": "a=b,c!=d"},
                "set": {"awake": 20, "fetch": False, "formats": ["tlv", "text"], "send": "refuse"},
                "priority": -3,
                "note": "why",
            },
        )
        _, asked = self.ran("profile", "p", answers=answers)
        self.assertTrue(asked[0].startswith(b"GET /v1/profiles/p "))
        ran, asked = self.ran("profile", "p", "--remove", answers=answers)
        self.assertTrue(asked[0].startswith(b"DELETE /v1/profiles/p "))
        self.assertEqual(ran.out, "p is taken back\n")
        wrong = run(self, "profile", "p", "--match", "vendor=x")
        self.assertEqual(wrong.status, USAGE)
        self.assertIn("manufacturer", wrong.err)

    def test_by_hand(self) -> None:
        """A device is given a profile, or it is taken away, before the device is shown."""
        answers = [document(DEVICE)] * 2
        for words, profile in ((("--profile", "nb-iot"), "nb-iot"), (("--no-profile",), None)):
            _, asked = self.ran("device", "d", *words, answers=answers)
            self.assertTrue(asked[0].startswith(b"PATCH /v1/devices/d "))
            self.assertEqual(json.loads(asked[0].partition(b"\r\n\r\n")[2]), {"profile": profile})
            self.assertTrue(asked[1].startswith(b"GET /v1/devices/d "))

    def test_deviations(self) -> None:
        """Deviations are listed of a device, of the fleet, or the devices that have one kind."""
        for words, path in (
            (("d",), b"/v1/devices/d/deviations"),
            ((), b"/v1/deviations"),
            (("--kind", "odd-boolean"), b"/v1/deviations/odd-boolean"),
        ):
            _, asked = self.ran("deviations", *words, answers=[page()])
            self.assertEqual(asked[0].split()[1].partition(b"?")[0], path)
