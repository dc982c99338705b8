"""Tests of lists of ids."""
