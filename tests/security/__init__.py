"""Tests of lwm2md.security."""
