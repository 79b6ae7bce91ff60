"""Tests of ``lwm2md.config``."""
