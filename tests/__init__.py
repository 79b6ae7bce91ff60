"""The tests of lwm2md, laid out as the package is."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine is no fault of what is tested, nor of how its input is made: nothing here fails for being slow.
settings.register_profile("lwm2md", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("lwm2md")
