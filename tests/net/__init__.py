"""Tests of lwm2md.net."""
