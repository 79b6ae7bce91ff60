"""HTTP requests that were right, and what becomes of them: cut, doubled, spliced, with words in wrong places."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

REQUESTS: Final = (
    b"GET /v1/status HTTP/1.1\r\nHost: x\r\nAUTH\r\n\r\n",
    b"GET /v1/devices?limit=5&selector=a%3Db HTTP/1.1\r\nHost: x\r\nAUTH\r\n\r\n",
    b'POST /v1/devices/a/operations?wait=0 HTTP/1.1\r\nAUTH\r\nContent-Length: 28\r\n\r\n{"op":"read","path":"/3/0"} ',
    b"PUT /v1/devices/a%2Fb/resources/3/0/14 HTTP/1.1\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'd\r\n{"value":"x"}\r\n0\r\n\r\n',
    b"HEAD /metrics HTTP/1.1\r\nAUTH\r\nExpect: 100-continue\r\n\r\n",
    b"GET /v1/events?types=device.* HTTP/1.1\r\nAUTH\r\nLast-Event-ID: 0000000000000001\r\n\r\n",
    b"DELETE /v1/observations/0123 HTTP/1.0\r\nConnection: keep-alive\r\nAUTH\r\n\r\n",
    b"GET http://x/health/live HTTP/1.1\r\nCookie: a=b\r\nContent-Type: application/json\r\n\r\n",
)
_WORDS: Final = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b":",
    b"%",
    b"%ff",
    b"%00",
    b"//",
    b"?",
    b"#",
    b"\xff\xfe",
    b"\xc3",
    b"Content-Length: 0\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity, chunked\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: websocket\r\n",
    b"HTTP/2.0",
    b"HTTP/1.1",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"Authorization: Bearer \r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffffff\r\n",
    b"1;x=y\r\n",
    b"{" * 500,
    b"X: y\r\n" * 120,
    b"a" * 17_000,
)


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One request, or two in a row, with one to four mutations."""
    data = bytearray(random.choice(seeds))
    if random.random() < 0.3:
        data += random.choice(seeds)
    for _ in range(random.randint(1, 4)):
        _mutate(random, data, seeds)
    return bytes(data)


def _mutate(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    start = random.randrange(len(data) + 1)
    end = min(len(data), start + random.choice((1, 1, 2, 8, 40)))
    kind = random.randrange(6)
    if kind == 0:
        data[start:end] = random.randbytes(end - start)
    elif kind == 1:
        del data[start:end]
    elif kind == 2:
        data[start:start] = data[start:end] * random.choice((1, 2, 50))
    elif kind == 3:
        data[start:start] = random.choice(_WORDS)
    elif kind == 4:
        other = random.choice(seeds)
        data[start:] = other[random.randrange(len(other)) :]
    else:
        data[start:] = b""
