"""Run a command to its end and write what it took as JSON: `python timed.py RESULT_FILE COMMAND…`.

A process of its own: what a process is charged as peak memory begins with its parent's, so the parent is small.
"""

from __future__ import annotations

import json
import os
import sys
import time

if __name__ == "__main__":
    result_file, *command = sys.argv[1:]
    started_at = time.time()
    started = time.monotonic()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    taken = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "started_at": started_at,
        "wall_seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        # kilobytes on Linux, bytes on macOS
        "peak_mb": usage.ru_maxrss / (1_000_000 if sys.platform == "darwin" else 1_000),
    }
    with open(result_file, "w") as file:
        json.dump(taken, file)
