"""Tests of lwm2md.server."""
