"""The API over http.client: one request, or one stream, on a connection of its own; and the token that it needs.

RULES: every failure is a `CommandError` with the exit status of the interface: not reachable, timed out, or refused
with the detail of the problem document (RFC 9457). The token is sent to the given URL only; redirects are not followed.
"""

from __future__ import annotations

import contextlib
import http.client
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from lwm2md.ctl.errors import FAILED, PENDING, UNREACHABLE, USAGE, CommandError

DEFAULT_URL: Final = "http://127.0.0.1:8080"
TOKEN_FILES: Final = ("lwm2md-state/admin.token", "/var/lib/lwm2md/admin.token")
"""Where a token is looked for when nobody says where: below the working directory, then below the system's."""

_CONNECT_SECONDS: Final = 10.0
_MARGIN: Final = 15.0
_PROBLEM: Final = "application/problem+json"
_GATEWAY_TIMEOUT: Final = 504
_UNAUTHORIZED: Final = 401
_UNAVAILABLE: Final = 503
_MOST: Final = 1000
_BLOCK: Final = 1 << 20

Query = Mapping[str, object]
_NOTHING: Final[Query] = MappingProxyType({})


class Answer(msgspec.Struct, frozen=True):
    """What the daemon answered: the HTTP status, and the document, None where there is no body."""

    status: int
    document: Any


class Token(msgspec.Struct, frozen=True):
    """The bearer token, or why there is none."""

    text: str | None
    missing: str = ""


def find_token(given: str | None, environment: Mapping[str, str], places: Sequence[str] = TOKEN_FILES) -> Token:
    """The token of the file that is ``given``, or named by LWM2MD_TOKEN_FILE, or else in one of ``places``.

    Raises CommandError where a file that was named is not readable; one that was not named may be missing.
    """
    named = given or environment.get("LWM2MD_TOKEN_FILE")
    if named:
        try:
            return Token(_read(Path(named)))
        except (OSError, ValueError) as error:
            raise CommandError(f"{named}: {_reason(error)}", USAGE) from None
    reasons = []
    for place in places:
        try:
            return Token(_read(Path(place)))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            reasons.append(f"{place}: {_reason(error)}")
    return Token(None, "; ".join(reasons) or "no token file was found, name it by --token-file")


def _read(path: Path) -> str:
    text = path.read_text("utf-8").strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("there is no token in it")
    return text


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


class Client:
    """The API at ``url``; ``timeout`` is how long an answer may take, in seconds, ``wait`` of a request included."""

    def __init__(self, url: str, token: Token, timeout: float = _MARGIN) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise CommandError(f"--url: {url!r} is no URL: {error}", USAGE) from None
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise CommandError(f"--url: {url!r} is not of the form http://HOST:PORT", USAGE)
        self.url = url
        self._where = host, port
        self._prefix = parts.path.rstrip("/")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._token = token
        self._timeout = timeout

    def get(self, path: str, query: Query = _NOTHING) -> Any:
        """The document at ``path``."""
        return self.request("GET", path, query).document

    def request(
        self, method: str, path: str, query: Query = _NOTHING, body: object = None, wait: float = 0.0
    ) -> Answer:
        """One request, with JSON or the bytes of XML; ``wait`` seconds are granted on top.

        Raises CommandError for all but 2xx.
        """
        headers: dict[str, str] = {}
        data = None
        if isinstance(body, bytes):
            data = body
            headers["Content-Type"] = "application/xml"
        elif body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        connection, response = self._send(method, self._target(path, query), data, headers, self._timeout + wait)
        try:
            said = response.read()
        except TimeoutError:
            raise self._late() from None
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"{self.url}: the answer broke off: {error!r}", UNREACHABLE) from None
        finally:
            connection.close()
        if response.status >= 300:
            raise self._refusal(response, said)
        try:
            return Answer(response.status, msgspec.json.decode(said) if said else None)
        except msgspec.DecodeError:
            raise CommandError(f"{self.url} does not answer as lwm2md does") from None

    def text(self, path: str) -> tuple[int, str]:
        """The status and the text at ``path``; 503 is an answer, too. Raises CommandError for other refusals."""
        connection, response = self._send("GET", self._prefix + path, None, {}, self._timeout)
        try:
            said = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"{self.url}: the answer broke off: {error!r}", UNREACHABLE) from None
        finally:
            connection.close()
        if response.status >= 300 and response.status != _UNAVAILABLE:
            raise self._refusal(response, said)
        return response.status, said.decode("utf-8", "replace")

    def stream(self, path: str, query: Query, headers: Mapping[str, str], silence: float) -> http.client.HTTPResponse:
        """Open a stream that may be silent for ``silence`` seconds; closing the response closes the connection."""
        connection, response = self._send("GET", self._target(path, query), None, headers, silence)
        if response.status >= 300:
            try:
                raise self._refusal(response, response.read())
            finally:
                connection.close()
        return response

    def download(self, path: str) -> bytes:
        """The body of what is at ``path``, as it is."""
        with self.stream(path, _NOTHING, {}, self._timeout) as response:
            try:
                return response.read()
            except (OSError, http.client.HTTPException) as error:
                raise CommandError(f"{self.url}: the answer broke off: {error!r}", UNREACHABLE) from None

    def save(self, method: str, path: str, file: BinaryIO, silence: float) -> int:
        """Write the body of an answer to a file, which may be silent for so long; its size. Raises OSError, too."""
        connection, response = self._send(method, self._target(path, _NOTHING), None, {}, silence)
        with contextlib.closing(connection):
            if response.status >= 300:
                raise self._refusal(response, response.read())
            wanted, size = response.length, 0
            while part := self._part(response):
                file.write(part)
                size += len(part)
        if size != wanted:
            raise CommandError(f"{self.url}: the answer broke off after {size} of {wanted} bytes", UNREACHABLE)
        return size

    def _part(self, response: http.client.HTTPResponse) -> bytes:
        try:
            return response.read(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"{self.url}: the answer broke off: {error!r}", UNREACHABLE) from None

    def send(self, method: str, path: str, file: BinaryIO, silence: float) -> Any:
        """Send a file as it is, and return the document of the answer, which may take so long."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(os.fstat(file.fileno()).st_size)}
        connection, response = self._send(method, self._target(path, _NOTHING), file, headers, silence)
        with contextlib.closing(connection):
            said = self._part(response)
        if response.status >= 300:
            raise self._refusal(response, said)
        return msgspec.json.decode(said)

    def _target(self, path: str, query: Query) -> str:
        given = {name: value for name, value in query.items() if value is not None}
        return self._prefix + path + (f"?{urlencode(given, quote_via=quote)}" if given else "")

    def _send(
        self, method: str, target: str, data: bytes | BinaryIO | None, headers: Mapping[str, str], timeout: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = self._kind(*self._where, timeout=_CONNECT_SECONDS)
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            raise CommandError(f"{self.url} is not reachable: {_reason(error)}", UNREACHABLE) from None
        sent = {"Accept": "*/*", "Connection": "close", **headers}
        if self._token.text is not None:
            sent["Authorization"] = f"Bearer {self._token.text}"
        try:
            connection.sock.settimeout(timeout)
            connection.request(method, target, data, sent)
            return connection, connection.getresponse()
        except TimeoutError:
            connection.close()
            raise self._late() from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise CommandError(f"{self.url} did not answer: {_reason(error)}", UNREACHABLE) from None

    def _late(self) -> CommandError:
        return CommandError(f"{self.url} did not answer in time", PENDING)

    def _refusal(self, response: http.client.HTTPResponse, data: bytes) -> CommandError:
        status = PENDING if response.status == _GATEWAY_TIMEOUT else FAILED
        if response.headers.get_content_type() != _PROBLEM:
            return CommandError(f"{self.url} answered {response.status}, not as lwm2md does", status)
        text = problem_text(data)
        if response.status == _UNAUTHORIZED and self._token.text is None:
            text += f"; {self._token.missing}"
        return CommandError(text, status)


def problem_text(data: bytes) -> str:
    """One line out of a problem document: its detail, the fields that are wrong, its code."""
    try:
        document = msgspec.json.decode(data)
        detail, code = str(document["detail"]), str(document["code"])
        fields = [f"{each['field']}: {each['message']}" for each in document.get("errors", ())]
    except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
        return "refused, with a problem document that is none"
    more = "".join(f"; {field}" for field in fields if field not in detail and not _told(field, detail))
    return f"{detail}{more} ({code})"


def _told(field: str, detail: str) -> bool:
    return field.partition(": ")[2] in detail


def path_of(*segments: str) -> str:
    """The path below ``/v1`` with each segment percent-encoded."""
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def pages(client: Client, path: str, query: Query, limit: int | None) -> Iterable[Any]:
    """The items of a list, page by page, at most ``limit`` of them."""
    after = None
    left = limit
    while left is None or left > 0:
        size = _MOST if left is None else min(left, _MOST)
        document = client.get(path, {**query, "limit": size, "after": after})
        yield from document["items"]
        after = document["next"]
        if after is None:
            return
        left = None if left is None else left - len(document["items"])
