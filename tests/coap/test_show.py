"""Tests of lwm2md.coap.show: every kind of message in one line."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lwm2md.coap import numbers as n
from lwm2md.coap import show
from lwm2md.coap.message import FormatError, Message, decode, options

_REGISTER = options(path=("rd",), query=("ep=a", "lt=60"), content_format=n.LINK_FORMAT)
_BLOCK = ((n.BLOCK1, b"\x1e"), (n.SIZE1, b"\x10\x00"))
_ODD = ((65000, b"\x01"), (n.IF_NONE_MATCH, b""))
_OBSERVE = options(path=("3", "0"), accept=n.TLV, observe=0)
LINES = (
    (
        Message(n.CON, n.POST, 4711, b"\x0a", _REGISTER, b"</1/0>"),
        "CON POST /rd?ep=a&lt=60 #4711 token=0a [link-format] </1/0>",
    ),
    (
        Message(n.ACK, n.CREATED, 4711, b"\x0a", options(location=("rd", "x7"))),
        "ACK 2.01 Created #4711 token=0a Location=/rd/x7",
    ),
    (
        Message(n.NON, n.GET, 1, b"", options(path=("3", "0"), accept=n.TLV, observe=0)),
        "NON GET /3/0 #1 Observe=0 Accept=tlv",
    ),
    (Message(n.CON, n.GET, 1), "CON GET / #1"),
    (Message(n.ACK, n.CONTENT, 2, b"", options(content_format=n.TEXT), b"21.5"), "ACK 2.05 Content #2 [text] 21.5"),
    (
        Message(n.CON, n.CONTENT, 3, b"\x01\x02", options(observe=70000, content_format=n.TLV), b"\xc8\x00"),
        "CON 2.05 Content #3 token=0102 Observe=70000 [tlv] c800",
    ),
    (Message(n.CON, n.EMPTY, 9), "CON Empty #9"),
    (Message(n.ACK, n.EMPTY, 9), "ACK Empty #9"),
    (Message(n.RST, n.EMPTY, 9), "RST Empty #9"),
    (Message(n.ACK, n.NOT_FOUND, 5, b"", (), b"no such\nthing"), "ACK 4.04 Not Found #5 no such\\nthing"),
    (
        Message(
            n.CON,
            n.PUT,
            6,
            b"",
            options(path=("5", "0", "0"), extra=_BLOCK),
            b"\xff",
        ),
        "CON PUT /5/0/0 #6 Block1=1/m/1024 Size1=4096 ff",
    ),
    (
        Message(n.NON, n.FETCH, 7, b"", options(path=("a/b", "\x07"), extra=_ODD)),
        "NON FETCH /a%2Fb/\\x07 #7 If-None-Match Option-65000=01",
    ),
    (Message(n.NON, 0x1F, 7), "NON 0.31 Unknown / #7"),
    (Message(n.ACK, 0x5E, 7), "ACK 2.30 Success #7"),
    (Message(n.ACK, n.CONTENT, 7, b"", options(content_format=9999), b"x"), "ACK 2.05 Content #7 [9999] x"),
    (Message(n.ACK, n.VALID, 7, b"", ((n.ETAG, b"\xab"), (n.MAX_AGE, b""))), "ACK 2.03 Valid #7 ETag=ab Max-Age=0"),
    (Message(n.ACK, n.CONTENT, 7, b"", ((n.URI_PATH, b"odd"),)), "ACK 2.05 Content #7 Uri-Path=odd"),
    (Message(n.CON, n.GET, 7, b"", ((n.OBSERVE, bytes(9)),)), "CON GET / #7 Observe=" + "00" * 9),
)


class LineTests(SynchronousTestCase):
    """Messages as people read them."""

    def test_lines(self) -> None:
        """Requests, responses, notifications, empty messages, blocks and what is unknown are shown as they are."""
        for message, line in LINES:
            self.assertEqual(show.line(message), line)

    def test_hidden(self) -> None:
        """A payload that is a secret is counted only."""
        message = Message(n.CON, n.PUT, 6, b"", options(path=("0", "1", "5")), b"key")
        self.assertEqual(show.line(message, hidden=True), "CON PUT /0/1/5 #6 (3 bytes, not shown)")

    def test_long_payload(self) -> None:
        """A long payload is cut, and its size told."""
        line = show.line(Message(n.ACK, n.CONTENT, 1, b"", (), b"a" * 5000))
        self.assertTrue(line.endswith("a... (5000 bytes)"))
        self.assertLess(len(line), 600)

    def test_binary_formats(self) -> None:
        """A payload whose Content-Format is binary is no text, though it may look like it."""
        for content_format in (n.OPAQUE, n.TLV, n.CBOR, n.SENML_CBOR):
            given_ = options(content_format=content_format)
            self.assertIsNone(show.payload_text(Message(n.ACK, n.CONTENT, 1, b"", given_, b"abc")))
        self.assertIsNone(show.payload_text(Message(n.ACK, n.CONTENT, 1, b"", (), b"a\x00")))
        self.assertEqual(show.payload_text(Message(n.ACK, n.CONTENT, 1, b"", (), b"a\tb\n")), "a\tb\n")

    @given(st.binary(max_size=80))
    def test_anything(self, rest: bytes) -> None:
        """Whatever decodes is shown in one printable line."""
        for head in (b"\x40\x01", b"\x40\x45", b"\x61\x02"):
            try:
                message = decode(head + rest)
            except FormatError:
                continue
            self.assertTrue(show.line(message).isprintable())
