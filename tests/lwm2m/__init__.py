"""Tests of the LwM2M data model."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no fault of a decoder.
settings.register_profile("lwm2md", deadline=None)
settings.load_profile("lwm2md")
