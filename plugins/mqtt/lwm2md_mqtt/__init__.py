"""lwm2md-mqtt: what happens to the fleet as MQTT messages, and requests to devices by MQTT messages."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
