"""A bundled stand-in of Intercom's Calls API: a real HTTP server on 127.0.0.1 in a process of its own.

For the demo, the tests and the benchmarks. `python -m sandbox` runs it; `Sandbox` is its handle in Python.
"""

from .process import Sandbox
from .settings import Settings

__all__ = ["Sandbox", "Settings"]
