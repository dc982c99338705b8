"""Tests of requests: retry, budget, headers."""
