"""The crash harness: real processes of the real command, killed, doubled and repeated until something is wrong.

`python -m tests.crash` runs it; README.md tells how.
"""
