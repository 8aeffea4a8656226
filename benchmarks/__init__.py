"""Benchmarks: every number in README and results/ comes from a command here."""
