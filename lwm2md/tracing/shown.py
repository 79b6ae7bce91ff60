"""Datagrams as documents: decoded for people and programs, or with the reason why they can't be."""

from __future__ import annotations

import msgspec

from lwm2md.coap import show
from lwm2md.coap.message import FormatError, Message, decode
from lwm2md.documents import time_text
from lwm2md.net import addresses
from lwm2md.tracing.ring import Seen


class OptionDocument(msgspec.Struct):
    """An option of a message; ``value`` is text, a number as text, the name of a Content-Format, or hex."""

    number: int
    name: str
    value: str


class MessageDocument(msgspec.Struct):
    """A message, ``in`` from its ``peer`` or ``out`` to it; ``line`` is all of it for people.

    ``payload`` is text, or hex where ``payload_encoding`` is ``hex``; null where ``hidden`` says that it is a secret.
    What could not be decoded has an ``error``, and the whole datagram as its payload. What is told of a handshake has
    nothing but its ``line``.
    """

    time: str | None
    direction: str
    peer: str
    line: str
    size: int
    type: str | None = None
    code: str | None = None
    message_id: int | None = None
    token: str | None = None
    options: list[OptionDocument] = []
    payload: str | None = None
    payload_encoding: str | None = None
    hidden: bool = False
    error: str | None = None


def document(seen: Seen) -> MessageDocument:
    """Return the document of a datagram; never raises."""
    if seen.note:
        return _head(seen, seen.note)
    try:
        message = decode(seen.data)
    except FormatError as error:
        return _undecodable(seen, str(error))
    shown = _head(seen, show.line(message, hidden=seen.hidden))
    shown.type = show.TYPES[message.type]
    shown.code = show.code_text(message.code)
    shown.message_id = message.mid
    shown.token = message.token.hex()
    shown.options = [
        OptionDocument(number, show.option_name(number), show.option_value(number, value))
        for number, value in message.options
    ]
    if not seen.hidden:
        shown.payload, shown.payload_encoding = _payload(message)
    return shown


def _payload(message: Message) -> tuple[str | None, str | None]:
    if not message.payload:
        return None, None
    text = show.payload_text(message)
    return (message.payload.hex(), "hex") if text is None else (text, "text")


def _undecodable(seen: Seen, reason: str) -> MessageDocument:
    shown = _head(seen, f"undecodable: {reason}: {show.shortened(seen.data.hex(), len(seen.data))}")
    shown.payload, shown.payload_encoding, shown.error = seen.data.hex(), "hex", reason
    return shown


def _head(seen: Seen, line: str) -> MessageDocument:
    direction = "in" if seen.incoming else "out"
    return MessageDocument(
        time_text(seen.time),
        direction,
        addresses.show(seen.address or seen.peer),
        line,
        len(seen.data),
        hidden=seen.hidden,
    )
