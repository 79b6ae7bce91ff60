"""The token, the URL, and what goes wrong between lwm2mctl and the API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lwm2md.ctl.client import Answer, Client, Token, find_token, pages, path_of, problem_text
from lwm2md.ctl.errors import FAILED, PENDING, UNREACHABLE, USAGE, CommandError
from tests.ctl.support import Canned, answer, as_json, problem


class Tokens(SynchronousTestCase):
    """`find_token`."""

    def _file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text, encoding="utf-8")
        return str(path)

    def test_order(self) -> None:
        """The file that is given counts, then that of the environment, then the first place that has one."""
        one, two, three = (self._file(f"{name}\n") for name in ("one", "two", "three"))
        environment = {"LWM2MD_TOKEN_FILE": two}
        self.assertEqual(find_token(one, environment, [three]).text, "one")
        self.assertEqual(find_token(None, environment, [three]).text, "two")
        self.assertEqual(find_token(None, {}, [self.mktemp(), three]).text, "three")

    def test_none(self) -> None:
        """Without any file there is no token, but a hint."""
        found = find_token(None, {}, [self.mktemp()])
        self.assertEqual((found.text, "--token-file" in found.missing), (None, True))

    def test_unreadable(self) -> None:
        """A file that was named must be readable; one that was not is told of when the token is missed."""
        directory = str(Path(self.mktemp()))
        Path(directory).mkdir()
        for given, environment in ((directory, {}), (None, {"LWM2MD_TOKEN_FILE": directory}), (self.mktemp(), {})):
            error: Any = self.assertRaises(CommandError, find_token, given, environment, [])
            self.assertEqual(error.status, USAGE)
        self.assertIn(directory, find_token(None, {}, [directory]).missing)

    def test_no_token_in_it(self) -> None:
        """A file that can hold no token is not sent."""
        for text in ("", "two words", "line\nline", "grüß"):
            self.assertRaises(CommandError, find_token, self._file(text), {}, [])


class Requests(SynchronousTestCase):
    """`Client`."""

    def _ask(self, raw: bytes, token: Token = Token("secret")) -> tuple[Answer, bytes]:  # noqa: B008
        server = Canned(self, [raw])
        found = Client(server.url, token).request(
            "POST", path_of("devices", "a/b ü"), {"wait": 1.5, "x": None}, {"a": 1}
        )
        return found, server.requests[0]

    def _fails(self, raw: bytes, token: Token = Token("secret")) -> tuple[str, int]:  # noqa: B008
        error: Any = self.assertRaises(CommandError, self._ask, raw, token)
        return str(error), error.status

    def test_request(self) -> None:
        """Segments are percent-encoded, options that were not given are not sent, the token and the body are."""
        found, sent = self._ask(as_json(b'{"b": 2}', "202 Accepted"))
        self.assertEqual(found, Answer(202, {"b": 2}))
        self.assertTrue(sent.startswith(b"POST /v1/devices/a%2Fb%20%C3%BC?wait=1.5 HTTP/1.1\r\n"), sent)
        self.assertIn(b"\r\nAuthorization: Bearer secret\r\n", sent)
        self.assertTrue(sent.endswith(b'\r\n\r\n{"a":1}'), sent)

    def test_no_body(self) -> None:
        """204 has no document."""
        self.assertEqual(self._ask(b"HTTP/1.1 204 No Content\r\n\r\n")[0], Answer(204, None))

    def test_prefix(self) -> None:
        """A URL may have a path, behind which the API is."""
        server = Canned(self, [as_json(b"1")])
        Client(server.url + "/iot/", Token(None)).get("/v1/status")
        self.assertTrue(server.requests[0].startswith(b"GET /iot/v1/status "))
        self.assertNotIn(b"Authorization", server.requests[0])

    def test_refused(self) -> None:
        """A refusal shows the detail and the code of the problem document, and the fields that are not in it."""
        body = b'{"detail": "op: bad", "code": "bad-body", "errors": [{"field": "op", "message": "bad"}]}'
        self.assertEqual(self._fails(problem("400 Bad Request", body)), ("op: bad (bad-body)", FAILED))

    def test_no_answer_of_the_device(self) -> None:
        """504 is a time-out."""
        body = b'{"detail": "no answer", "code": "no-answer"}'
        self.assertEqual(self._fails(problem("504 Gateway Time-out", body)), ("no answer (no-answer)", PENDING))

    def test_unauthorized(self) -> None:
        """Who has no token is told where it was looked for."""
        body = b'{"detail": "a token", "code": "unauthorized"}'
        text, status = self._fails(problem("401 Unauthorized", body), Token(None, "nowhere"))
        self.assertEqual((text, status), ("a token (unauthorized); nowhere", FAILED))

    def test_somebody_else(self) -> None:
        """Another server at that address is recognised, whatever it answers."""
        for raw in (
            answer("404 Not Found", "text/html", b"<html>"),
            answer("302 Found", "text/html", b""),
            as_json(b"<html>"),
            problem("400 Bad Request", b"{"),
            problem("400 Bad Request", b"[]"),
            problem("400 Bad Request", b'{"detail": "x", "code": "y", "errors": [1]}'),
        ):
            self.assertEqual(self._fails(raw)[1], FAILED)

    def test_broken(self) -> None:
        """A connection that ends early, or speaks no HTTP, is not reachable."""
        for raw in (b"", b"SSH-2.0\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"):
            self.assertEqual(self._fails(raw)[1], UNREACHABLE)

    def test_silence(self) -> None:
        """A daemon that takes the request and does not answer in time leaves the outcome open."""
        server = Canned(self, [])
        error: Any = self.assertRaises(CommandError, Client(server.url, Token(None), timeout=0.02).get, "/v1/status")
        self.assertEqual(error.status, PENDING)

    def test_urls(self) -> None:
        """What is no URL of an API is wrong usage."""
        for url in ("", "x", "ftp://h", "http://", "http://h:x", "http://h/?a", "http://h#f", "http://[::1"):
            error: Any = self.assertRaises(CommandError, Client, url, Token(None))
            self.assertEqual(error.status, USAGE, url)
        error = self.assertRaises(CommandError, Client("http://" + "a" * 70, Token(None)).get, "/")
        self.assertEqual(error.status, UNREACHABLE)


class Lists(SynchronousTestCase):
    """`pages` and `problem_text`."""

    def test_pages(self) -> None:
        """Pages are asked for until there are no more, or enough."""
        first, second = as_json(b'{"items": [1, 2], "next": "k"}'), as_json(b'{"items": [3], "next": null}')
        server = Canned(self, [first, second])
        self.assertEqual(list(pages(Client(server.url, Token(None)), "/v1/x", {"state": None}, None)), [1, 2, 3])
        self.assertIn(b"?limit=1000 ", server.requests[0])
        self.assertIn(b"?limit=1000&after=k ", server.requests[1])

    def test_limit(self) -> None:
        """No more is asked for than is wanted."""
        server = Canned(self, [as_json(b'{"items": [1, 2], "next": "k"}')])
        self.assertEqual(list(pages(Client(server.url, Token(None)), "/v1/x", {}, 2)), [1, 2])
        self.assertIn(b"?limit=2 ", server.requests[0])

    def test_fields(self) -> None:
        """Fields that the detail does not name are appended."""
        text = problem_text(b'{"detail": "d", "code": "c", "errors": [{"field": "f", "message": "m"}]}')
        self.assertEqual(text, "d; f: m (c)")
