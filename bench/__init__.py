"""Benchmarks: rates as ratios of a baseline of the same run, so that they mean something on any machine."""
