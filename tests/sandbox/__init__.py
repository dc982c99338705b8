"""Tests of the stand-in of the API."""
