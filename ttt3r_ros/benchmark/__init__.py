"""Measurement of speed and memory: `make bench`, and docs/performance.md."""
