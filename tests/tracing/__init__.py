"""Tests of lwm2md.tracing."""
