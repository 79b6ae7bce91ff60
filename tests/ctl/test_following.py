"""Reading server-sent events, and coming back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.client import Client, Token
from lwm2md.ctl.errors import FAILED, UNREACHABLE, CommandError
from lwm2md.ctl.following import Followed, Stream, follow
from tests.ctl.support import Canned, answer, problem

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def _read(stream: Stream, text: bytes) -> list[Followed]:
    return list(stream.read(text.splitlines(keepends=True)))


class Reading(SynchronousTestCase):
    """`Stream`."""

    def test_events(self) -> None:
        """An event has its id, its type and its document; comments and unknown fields are nothing."""
        stream = Stream()
        events = _read(stream, b'retry: 500\n\n:\n\nid: 7\nevent: device.value\nfoo: 1\ndata: {"a":\ndata: 1}\n\n')
        self.assertEqual(events, [Followed("7", "device.value", {"a": 1})])
        self.assertEqual((stream.last, stream.retry), ("7", 0.5))

    def test_line_ends(self) -> None:
        """Lines may end in CR LF, and the blank behind the colon may be missing."""
        self.assertEqual(_read(Stream(), b"id:1\r\ndata:2\r\n\r\n"), [Followed("1", "message", 2)])

    def test_unfinished(self) -> None:
        """An event without its empty line is dropped, and its id counts as read only with it."""
        stream = Stream("3")
        self.assertEqual(_read(stream, b"id: 4\ndata: 1\n"), [])
        self.assertEqual(stream.last, "3")

    def test_no_json(self) -> None:
        """Data that is no JSON ends the stream by name."""
        self.assertRaises(CommandError, _read, Stream(), b"data: {\n\n")

    @given(st.binary())
    def test_anything(self, data: bytes) -> None:
        """Whatever comes is events or a CommandError."""
        try:
            _read(Stream(), data)
        except CommandError:
            return


class Following(SynchronousTestCase):
    """`follow`."""

    def _follow(
        self, server: Canned, count: int, after: str | None = None
    ) -> tuple[list[Followed], list[float], list[str]]:
        slept: list[float] = []
        notes: list[str] = []
        events = follow(Client(server.url, Token("t")), {"types": "a"}, after, sleep=slept.append, note=notes.append)
        return [next(events) for _ in range(count)], slept, notes

    def test_comes_back(self) -> None:
        """A stream that ends is opened again behind the last event, after as long as the daemon asked for."""
        server = Canned(self, [HEAD + b"retry: 250\n\nid: 1\ndata: 1\n\n", HEAD + b"id: 2\ndata: 2\n\n"])
        events, slept, notes = self._follow(server, 2)
        self.assertEqual([event.document for event in events], [1, 2])
        self.assertEqual((slept, len(notes)), ([0.25], 1))
        self.assertNotIn(b"Last-Event-ID", server.requests[0])
        self.assertIn(b"Last-Event-ID: 1\r\n", server.requests[1])

    def test_after(self) -> None:
        """The first request already says after which event to go on."""
        server = Canned(self, [HEAD + b"data: 1\n\n"])
        self._follow(server, 1, after="0042")
        self.assertIn(b"GET /v1/events?types=a HTTP/1.1\r\n", server.requests[0])
        self.assertIn(b"Last-Event-ID: 0042\r\n", server.requests[0])

    def test_refused(self) -> None:
        """A refusal is final, at first and later."""
        refusal = problem("401 Unauthorized", b'{"detail": "no", "code": "unauthorized"}')
        for answers in ([refusal], [HEAD + b"data: 1\n\n", refusal]):
            error: Any = self.assertRaises(CommandError, self._follow, Canned(self, answers), 2)
            self.assertEqual(error.status, FAILED)

    def test_not_there(self) -> None:
        """A daemon that is not there at first ends it."""
        server = Canned(self, [])
        server._close()
        error: Any = self.assertRaises(CommandError, self._follow, server, 1)
        self.assertEqual(error.status, UNREACHABLE)

    def test_goes_away_for_a_while(self) -> None:
        """A daemon that goes away later is tried until it is back."""
        server = Canned(self, [HEAD + b"data: 1\n\n", b"", b"", HEAD + b"data: 2\n\n"])
        events, slept, _ = self._follow(server, 2)
        self.assertEqual(([event.document for event in events], len(slept)), ([1, 2], 3))

    def test_opened(self) -> None:
        """Who waits for the stream is told once."""
        opened: list[bool] = []
        server = Canned(self, [HEAD + b"data: 1\n\n", HEAD + b"data: 2\n\n"])
        events = follow(
            Client(server.url, Token("t")),
            {},
            None,
            sleep=lambda _: None,
            note=lambda _: None,
            opened=lambda: opened.append(True),
        )
        self.assertEqual([next(events).document, next(events).document, opened], [1, 2, [True]])

    def test_not_a_stream(self) -> None:
        """An answer that is not the API's is refused."""
        server = Canned(self, [answer("404 Not Found", "text/html", b"<html>")])
        self.assertRaises(CommandError, self._follow, server, 1)
