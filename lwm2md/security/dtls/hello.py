"""(skeleton)"""
from __future__ import annotations
import attrs

@attrs.frozen(slots=True)
class ClientHello:
    record_sequence: int    # of its record (epoch 0), HelloVerifyRequest repeats it
    version: bytes
    random: bytes
    session_id: bytes
    cookie: bytes
    suites: tuple[int, ...]
    parameters: bytes       # everything but the cookie, what the cookie vouches for
    cid: bytes | None       # extension 54: None not offered; b"" offered, wants none
    server_name: str        # SNI, "" none
    extended_master_secret: bool

def client_hello(datagram: bytes) -> ClientHello | None:
    """The ClientHello in the first record of a datagram; None if it is none, is cut in fragments, or malformed. Never raises."""

@attrs.frozen(slots=True)
class ServerHello:
    version: bytes; random: bytes; session_id: bytes; suite: int; cid: bytes | None; extended_master_secret: bool

def server_hello(body: bytes) -> ServerHello | None: """Of the body of a ServerHello (handshake.Reassembly.find(SERVER_HELLO))."""

class Cookies:
    """Stateless cookies by HMAC; the secret is drawn from `random` and renewed, that before stays valid as long again."""
    def __init__(self, random, period: float = 60.0) -> None: ...
    def cookie(self, address: bytes, hello: ClientHello, now: float) -> bytes: ...
    def valid(self, address: bytes, hello: ClientHello, now: float) -> bool: ...
    def challenge(self, address: bytes, hello: ClientHello, now: float) -> bytes: """The HelloVerifyRequest as a datagram."""
# Flow: hello = client_hello(data); not cookies.valid() -> send challenge; else guard -> make SSL, DTLSv1_listen with a verify callback
# that returns 1 (the check was made here), feed the same datagram.
