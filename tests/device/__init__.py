"""Tests of ``lwm2md.device``."""
