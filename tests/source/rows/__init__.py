"""Tests of columns and values."""
