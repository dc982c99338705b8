"""Tests of what breaks: network, disk, server, clock, kills; and of secrets."""
