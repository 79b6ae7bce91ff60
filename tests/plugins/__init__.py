"""Tests of plugins: the contract, the examples, and what broken ones may not do."""
