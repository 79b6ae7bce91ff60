"""Handshake messages read beside OpenSSL: RFC 5246 section 7.4, RFC 6347 section 4.2. (skeleton)"""
from __future__ import annotations
from typing import NamedTuple

CLIENT_HELLO, SERVER_HELLO, HELLO_VERIFY_REQUEST, CLIENT_KEY_EXCHANGE, FINISHED = 1, 2, 3, 16, 20

class Fragment(NamedTuple):
    kind: int; length: int; sequence: int; offset: int; body: bytes

def fragments(record: bytes) -> list[Fragment] | None:
    """The handshake fragments in an unprotected record of type 22 and epoch 0; None if malformed."""

class Reassembly:
    """Bounded: messages of one direction out of fragments; `add(datagram)` then `messages` / `find(kind)`."""
    def add(self, datagram: bytes) -> None: """Look at every epoch 0 handshake record of a datagram, in or out of order, duplicates too."""
    def find(self, kind: int) -> bytes | None: """The body of the first complete message of that type."""

class Transcript:
    """Both directions. received(datagram), sent(datagram); messages_to_key_exchange() -> bytes | None for EMS/Finished."""

def psk_identity(body: bytes) -> bytes | None:
    """The identity in the body of a ClientKeyExchange of PSK and ECDHE-PSK; None if malformed."""
