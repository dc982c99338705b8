"""What takes rights away from a process of the command, or makes it fail; called in it before it begins.

For that nothing here may import what the tests need and the command does not.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import resource
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

# prctl(2), capset(2) and capabilities(7): what lets root pass over the rights of files
_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2
_VERSION_3 = 0x20080522


def by_rights_of_files() -> None:
    """Make this process obey the permissions of files, even as root."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    header, data = (
        (ctypes.c_uint32 * 2)(_VERSION_3, 0),
        (ctypes.c_uint32 * 6)(),
    )  # effective, permitted, inheritable: twice
    libc.capget(header, data)
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
        for place in range(3):
            data[place] &= ~(1 << capability)
    libc.capset(header, data)


def by_size_of_files(most_bytes: int) -> Callable[[], None]:
    """No file grows beyond so many bytes: a stand-in for a full disk."""
    return functools.partial(_limit, most_bytes)


def _limit(most_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def by_addresses(mib: int) -> None:
    """So many MiB can be mapped, as `ulimit -v` has it."""
    resource.setrlimit(resource.RLIMIT_AS, (mib << 20, mib << 20))


def by_threads(most: int) -> None:
    """No more than so many threads can be started: root ignores `ulimit -u`, so Python's own start refuses."""
    start = threading.Thread.start
    started: list[str] = []

    def bounded(thread: threading.Thread) -> None:
        started.append(thread.name)
        if len(started) > most:
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = bounded  # type: ignore[method-assign, assignment]


def by_memory_to_read(most: int) -> None:
    """So many times something can be read from a socket, then there is no memory for it."""
    receive = socket.socket.recv
    received: list[None] = []

    def bounded(*arguments: Any) -> bytes:
        received.append(None)
        if len(received) > most:
            raise MemoryError
        return receive(*arguments)

    socket.socket.recv = bounded  # type: ignore[method-assign]


def by_an_error(module: str, name: str, error: BaseException) -> Callable[[], None]:
    """A function of a module raises this: an unexpected error."""
    return functools.partial(_replace, module, name, functools.partial(_raise, error))


def _replace(module: str, name: str, value: object) -> None:
    setattr(importlib.import_module(module), name, value)


def _raise(error: BaseException, *_: object, **__: object) -> None:
    raise error


def by_talkative_loggers() -> None:
    """A logger of another library has a level of its own."""
    logging.getLogger("asyncio").setLevel(logging.DEBUG)


PATCHES = (by_threads, by_memory_to_read, _replace, by_talkative_loggers)
"""They change Python objects, so they work in a fork alone; the others are limits, which survive a new program."""


def function_of(bound: Callable[[], object]) -> Callable[..., object]:
    """The function that is called, whatever arguments it has been given."""
    return bound.func if isinstance(bound, functools.partial) else bound
