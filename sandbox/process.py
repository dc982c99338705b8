"""The sandbox as a child process of a test, a demo or a benchmark."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .client import request
from .settings import Settings


class Sandbox:
    """A sandbox in a process of its own, from `with` (or `start`) to its end; it never outlives its parent.

    Args:
        port: 0 takes a free one.
        settings: any of `Settings`, by name.

    Raises:
        ValueError: no such setting, or a value that can't be; the message names it.
    """

    def __init__(self, *, port: int = 0, **settings: Any) -> None:
        self.settings = self._initial = Settings().changed(settings)
        self.url = ""
        self._port = port
        self._process: subprocess.Popen[str] | None = None

    @property
    def token(self) -> str:
        """The access token it accepts."""
        return self.settings.token

    @property
    def pid(self) -> int:
        assert self._process is not None, "the sandbox is not running"
        return self._process.pid

    def start(self) -> Self:
        """Start the process and wait until it serves; `url` is set from then on.

        Raises:
            RuntimeError: it ended before it served; the cause is on stderr.
        """
        # The parent folder makes the package importable wherever the caller stands.
        command = [sys.executable, "-m", "sandbox", "--port", str(self._port), "--config", "-"]
        folder = Path(__file__).resolve().parent.parent
        self._process = subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(dataclasses.asdict(self.settings)) + "\n")
        self._process.stdin.flush()
        ready = self._process.stdout.readline()
        if not ready:
            raise RuntimeError(f"the sandbox ended with exit code {self._process.wait()} before it served")
        self.url = json.loads(ready)["url"]
        return self

    def stop(self) -> None:
        """End the process; nothing happens when it is not running."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def configure(self, **settings: Any) -> None:
        """Change these settings from the next request on; scripts of faults start anew when faults change."""
        self.settings = self.settings.changed(settings)
        self._ask("POST", "config", settings)

    def reset(self, **settings: Any) -> None:
        """Back to the settings it was made with, but for these, as if nothing had been requested yet."""
        self.settings = self._initial.changed(settings)
        self._ask("POST", "reset", settings)

    def stats(self) -> dict[str, Any]:
        """What was requested since the start or the last reset: `sandbox.stats.Stats`, and the `windows`."""
        stats: dict[str, Any] = self._ask("GET", "stats")
        return stats

    def log(self) -> list[tuple[float, str, int]]:
        """(unix seconds, call id, status) of each answer, in order; the newest 200,000."""
        return [(answered_at, call_id, status) for answered_at, call_id, status in self._ask("GET", "log")]

    def all_requests(self) -> int:
        """How many requests there were, those of `GET /me` included."""
        stats = self.stats()
        return int(stats["requests"] + stats["me_requests"])

    def requests_for(self, call_id: str) -> int:
        """How often this call was asked for."""
        return int(self.stats()["by_id"].get(call_id, 0))

    def _ask(self, method: str, action: str, changes: dict[str, Any] | None = None) -> Any:
        answer = request(method, f"{self.url}/_sandbox/{action}", json_body=changes)
        if answer.status != 200:
            raise ValueError(answer.json["error"])
        return answer.json
