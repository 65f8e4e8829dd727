"""Timings against peers: ``pytest benchmarks --benchmark-only --benchmark-json=FILE``."""
