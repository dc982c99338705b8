"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the run in order, a second one at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias

from ..errors import AnotherLoad, DestinationFailed, ExitCode, Interrupted, RunStopped

_Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How long the main thread may take to end after a signal; a query may hold it in C.
_END_SECONDS = 3.0


class Stopped(RunStopped):
    """A signal while the run waited for the destination, or for another load there."""

    goes_on = True

    def __init__(self, number: signal.Signals, error: RunStopped) -> None:
        super().__init__(f"stopped by {number.name} while waiting for the destination: {error}")
        self.exit_code = ExitCode.of_signal(number)


@contextmanager
def stoppable(end_process: Callable[[Interrupted], None]) -> Iterator[None]:
    """Raise `Interrupted` in the main thread on a signal outside a run; a second one ends the process at once.

    Args:
        end_process: ends the process at once and reports why; called from another thread if the main one does not
            return from C in a few seconds.
    """
    signals = _handled_signals()
    received: list[Interrupted] = []
    is_over = threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        received.append(Interrupted(signal.Signals(number)))
        raise received[0]

    def end_if_stuck(number: int) -> None:
        if not is_over.wait(_END_SECONDS):
            end_process(Interrupted(signal.Signals(number)))

    previous = {number: signal.signal(number, handle) for number in signals}
    _listen(end_if_stuck)
    try:
        yield
    except Exception as error:
        if received:  # DuckDB, for one, turns it into its own error
            raise received[0] from error
        raise
    finally:
        is_over.set()
        if not received:
            for number, handler in previous.items():
                signal.signal(number, handler)


class Interruption:
    """A context manager that notes the first signal and calls what `on_signal` was given.

    A run that fails to load after the signal ends as stopped, not as failed. Outside the main thread Python handles no
    signals, and none is noted.

    Args:
        in_command: whether the process is the command's own, which a second signal ends at once. In another process
            the second signal goes to the handler that was there before.
        end_process: ends the command's process at once and reports why; for a wait that nothing else can end.

    Attributes:
        signal: the first signal, or None.
    """

    def __init__(self, *, in_command: bool = True, end_process: Callable[[Stopped], None] | None = None) -> None:
        self._in_command = in_command
        self._end_process = end_process
        self.signal: signal.Signals | None = None
        self._stop: Callable[[], None] | None = None
        self._previous: dict[signal.Signals, _Handler] = {}

    def on_signal(self, stop: Callable[[], None]) -> None:
        """Call `stop` on the first signal; now, if there was one."""
        self._stop = stop
        if self.signal is not None:
            stop()

    def give_up(self, error: DestinationFailed) -> None:
        """After a signal, end the command's process, since `error` keeps it from ending in order."""
        if self._in_command and self._end_process is not None and self.signal is not None:
            self._end_process(Stopped(self.signal, error))

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in _handled_signals()}
            if self._in_command:
                _listen(self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()
        if self.signal is not None and isinstance(error, (DestinationFailed, AnotherLoad)):
            raise Stopped(self.signal, error) from error

    def _note(self, number: int) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            if self._stop is not None:
                self._stop()

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.signal = signal.Signals(number)
        self._restore()
        if self._in_command:
            for each in self._previous:
                signal.signal(each, signal.SIG_DFL)
        if self._stop is not None:
            self._stop()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not set from Python


def _handled_signals() -> list[signal.Signals]:
    # under nohup a hang-up is ignored, and stays so
    return [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


def _listen(first: Callable[[int], None]) -> None:
    """Call `first` on a signal even while the main thread waits in C, where no handler runs.

    The next signal ends the process at once. A later call of `_listen` replaces this one.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def listen() -> None:
        numbers = (number[0] for number in iter(lambda: os.read(reader, 1), b"") if number[0] in _SIGNALS)
        threading.Thread(target=first, args=(next(numbers),), daemon=True).start()
        os._exit(ExitCode.of_signal(next(numbers)))

    threading.Thread(target=listen, name="signals", daemon=True).start()
