"""Tests of the HTTP API, over real HTTP on loopback with a scripted device behind the real core."""
