"""Readers of the paper's benchmarks, in the layouts in which they are downloaded."""
