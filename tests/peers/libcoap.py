"""libcoap's ``coap-client`` (Debian package libcoap3-bin) as a CoAP client that others wrote."""

from __future__ import annotations

import re
import shutil

import attrs
from twisted.trial.unittest import TestCase

from tests.processes import Process, directory

_NAMES = ("coap-client-notls", "coap-client-openssl", "coap-client-gnutls", "coap-client")
_MESSAGE = re.compile(r"^v:1 t:(?P<type>\w+) c:(?P<code>\d\.\d\d|\w+) i:\w+ \{\w*\} \[ (?P<options>.*?)\]( :: .*)?$")
_REQUESTS = frozenset({"GET", "POST", "PUT", "DELETE", "FETCH", "PATCH", "iPATCH"})


def install() -> list[str]:
    """The path of the client. It comes from apt: raises `FileNotFoundError` that says so."""
    for name in _NAMES:
        if path := shutil.which(name):
            return [path]
    raise FileNotFoundError("coap-client is missing: apt-get install libcoap3-bin")


@attrs.frozen
class Answer:
    """What came back: the code of the last response ("2.05"; None without any), its options by name, the whole body."""

    code: str | None
    options: dict[str, list[str]]
    body: bytes
    responses: int


async def request(  # noqa: PLR0917
    case: TestCase,
    url: str,
    method: str = "get",
    payload: str | None = None,
    content_format: int | None = None,
    accept: int | None = None,
    *options: str,
    patience: int = 10,
) -> Answer:
    """Send one request and wait for the answer at most `patience` seconds.

    `options` are further words of the command line: ``"-N"`` Non-confirmable, ``"-s", "5"`` observe for five seconds.
    """
    body = directory(case) / "body"
    words = [*install(), "-v", "6", "-B", str(patience), "-m", method, "-o", str(body), *options]
    words += ["-e", payload] if payload is not None else []
    words += ["-t", str(content_format)] if content_format is not None else []
    words += ["-A", str(accept)] if accept is not None else []
    process = Process.start(case, [*words, url])
    await process.wait(patience + 20)
    return _answer(process.lines, body.read_bytes() if body.exists() else b"")


def _answer(lines: list[str], body: bytes) -> Answer:
    messages = [match for line in lines if (match := _MESSAGE.match(line))]
    # What we sent ourselves is shown in the same way: requests, and empty messages ("0.00").
    responses = [each for each in messages if each["code"] not in _REQUESTS and not each["code"].startswith("0.")]
    if not responses:
        return Answer(None, {}, body, 0)
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"([A-Z][\w-]*):([^,]*?)(?:, | $|$)", responses[-1]["options"]):
        found.setdefault(name, []).append(value.strip())
    return Answer(responses[-1]["code"], found, body, len(responses))
