"""Tests of lwm2md.coap."""
