"""Kills and power cuts under load, and a model of what was acknowledged: ``python -m tests.torture --kills N``."""
