"""The UDP port that moves up to 64 datagrams with one system call.

RULES: the same as those of `port`. Importing this module fails where the extension could not be compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lwm2md.net import _batch
from lwm2md.net.port import BATCH, Batch, Port

_AT_ONCE: Final = 64


class BatchedPort(Port):
    """A port on recvmmsg and sendmmsg."""

    batched = True

    def _receive_all(self, batch: Batch) -> None:
        number = self._socket.fileno()
        while len(batch) < BATCH:
            arrived = _batch.receive(number, self.prefix, _AT_ONCE)
            batch += arrived
            if len(arrived) < _AT_ONCE:
                return

    def _send_all(self, datagrams: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            sent, dropped, failed, waiting = _batch.send(self._socket.fileno(), self.prefix, datagrams)
        except OSError:
            self.counters["send_errors"] += len(datagrams)
            return
        counters = self.counters
        counters["sent"] += sent
        counters["dropped"] += dropped
        counters["send_errors"] += failed
        self._errors_wait |= waiting

    def _errors(self) -> list[tuple[bytes, int]]:
        return _batch.errors(self._socket.fileno(), self.prefix)
