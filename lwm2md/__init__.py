"""lwm2md: a LwM2M device-management daemon on Twisted."""

from __future__ import annotations

__version__ = "0.1.0"
