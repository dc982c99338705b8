"""Tests of the dlt source, used as a library."""
