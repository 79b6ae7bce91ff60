"""Mutated datagrams against a running daemon: ``python -m tests.fuzz --count N --seed S``."""
