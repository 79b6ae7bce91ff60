"""Tests of lwm2md.storage."""
