"""Sockets and timers around the pure engine: `addresses`, `udp`, and the `driver` that joins them."""

from __future__ import annotations
