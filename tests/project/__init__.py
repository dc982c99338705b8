"""Tests of the repository: docs, set-up, benchmarks."""
