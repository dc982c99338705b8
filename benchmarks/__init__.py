"""Loads of the same calls side by side: this project, hand-written floors, and what users would pick instead."""
