"""What can go wrong inside the device: a request that is refused, and a move that the state machine does not know."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818
    """A request that is answered with an error: ``code`` is the CoAP code, ``reason`` the short diagnostic payload."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class IllegalMove(RuntimeError):  # noqa: N818
    """A state machine was told something that cannot happen in its state: a mistake of ours, never of a peer."""
