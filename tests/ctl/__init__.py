"""Tests of lwm2mctl."""
