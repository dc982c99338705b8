"""Ctrl-C and SIGTERM: the first one ends the run in order, a second one at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from .outcome import DestinationFailed, ExitCode, RunStopped

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(RunStopped):
    """A signal came while the destination could not be loaded into, so that it was not waited for any longer."""

    def __init__(self, number: signal.Signals, error: DestinationFailed) -> None:
        super().__init__(f"stopped by {number.name} while waiting for the destination: {error}")
        self.exit_code = ExitCode.of_signal(number)


class Interruption:
    """Notes the first signal and tells whoever asked to be told; use as a context manager in the main thread.

    A run that fails to load after the signal ends as stopped rather than failed.

    Attributes:
        signal: the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._stop: Callable[[], None] | None = None

    def tell(self, stop: Callable[[], None]) -> None:
        """Call `stop` when a signal comes, or now where one has come."""
        self._stop = stop
        if self.signal is not None:
            stop()

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        if self.signal is not None and isinstance(error, DestinationFailed):
            raise Stopped(self.signal, error) from error

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if self._stop is not None:
            self._stop()
