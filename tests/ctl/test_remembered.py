"""Tests of `lwm2md.ctl.remembered`: what is asked for, and how it is shown."""

from __future__ import annotations

import time
from urllib.parse import parse_qs

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.errors import DONE, FAILED, USAGE
from lwm2md.timestamps import parse
from tests.ctl.support import Canned, Ran, as_json, run

ROW = b'{"path":"/3/0/9","value":95,"type":"integer","name":"Battery Level","unit":"/100","time":"2026-01-31T12:00:00Z"'
HISTORY = as_json(b'{"items":[' + ROW + b'}],"next":null}')
TWIN = as_json(b'{"values":[' + ROW + b',"source":"send","age":12.5}]}')
EMPTY = as_json(b'{"items":[],"next":null}')


class Case(SynchronousTestCase):
    """A daemon that answers once."""

    def asked(self, answer: bytes, *words: str, terminal: bool = False) -> tuple[Ran, str, dict[str, str]]:
        """What came of a command: itself, the path that was asked for, and the query."""
        server = Canned(self, [answer])
        ran = run(self, "--url", server.url, *words, terminal=terminal)
        target = server.requests[0].split(b" ")[1].decode()
        path, _, query = target.partition("?")
        return ran, path, {name: values[0] for name, values in parse_qs(query).items()}


class TwinTests(Case):
    """``twin``."""

    def test_all(self) -> None:
        """Without a path all of the device is asked for, and shown with source and age."""
        ran, path, query = self.asked(TWIN, "twin", "e/1", terminal=True)
        self.assertEqual((ran.status, path, query), (DONE, "/v1/devices/e%2F1/resources", {"source": "twin"}))
        head, row = ran.out.splitlines()
        self.assertEqual(head.split(), ["PATH", "NAME", "VALUE", "UNIT", "TIME", "SOURCE", "AGE"])
        self.assertIn("12.5", row)

    def test_path(self) -> None:
        """With a path what is below it."""
        self.assertEqual(self.asked(TWIN, "twin", "e", "3/0")[1], "/v1/devices/e/resources/3/0")

    def test_nothing(self) -> None:
        """Where nothing is known it says so, and fails."""
        problem = (
            b'{"type":"x","title":"No value is known yet","status":404,"detail":"no value of /","code":"no-value"}'
        )
        answer = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n\r\n%s"
        ran, _, _ = self.asked(answer % (len(problem), problem), "twin", "e")
        self.assertEqual(ran.status, FAILED)
        self.assertIn("no value of /", ran.err)


class HistoryTests(Case):
    """``history``."""

    def test_shown(self) -> None:
        """Rows are shown by time."""
        ran, path, query = self.asked(HISTORY, "history", "e", "/3/0/9", terminal=True)
        self.assertEqual((ran.status, path, query), (DONE, "/v1/devices/e/history/3/0/9", {"limit": "1000"}))
        self.assertEqual(
            [line.split() for line in ran.out.splitlines()],
            [["TIME", "PATH", "VALUE", "UNIT"], ["2026-01-31T12:00:00Z", "/3/0/9", "95", "/100"]],
        )

    def test_asked(self) -> None:
        """Range, period and limit are asked for as they are given."""
        words = ("--from", "2026-01-31T13:00:00+01:00", "--to", "2026-02-01T00:00:00Z", "--every", "15m")
        _, _, query = self.asked(EMPTY, "history", "e", "/3", *words, "--aggregate", "max", "--limit", "5")
        expected = {"from": "2026-01-31T12:00:00Z", "to": "2026-02-01T00:00:00Z", "every": "15m"}
        self.assertEqual(query, {**expected, "aggregate": "max", "limit": "5"})

    def test_ago(self) -> None:
        """A duration is a time so long ago."""
        _, _, query = self.asked(EMPTY, "history", "e", "/3", "--from", "24h")
        self.assertLess(abs(time.time() - 86400 - parse(query["from"])), 20)

    def test_refused(self) -> None:
        """What is no time, no duration or no such sum is refused before anybody is asked."""
        for words in (
            ("--from", "yesterday"),
            ("--to", "99999999999999d"),
            ("--every", "0s"),
            ("--every", "1.5h"),
            ("--aggregate", "sum"),
        ):
            self.assertEqual(run(self, "history", "e", "/3", *words).status, USAGE, words)
