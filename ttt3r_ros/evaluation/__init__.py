"""Metrics, benchmarks and reports: how right the reconstruction is, measured as in the papers."""
