"""Tests of what a load writes."""
