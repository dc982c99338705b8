"""Tests of databases: locks, locations, tables."""
