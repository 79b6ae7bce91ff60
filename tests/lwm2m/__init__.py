"""Tests of the LwM2M data model."""
