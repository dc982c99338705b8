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
# How long what was under way has to end, once a signal has come; a query may hold the main thread in C.
_UNWIND_SECONDS = 3.0


class Stopped(RunStopped):
    """A signal came while the run waited for the destination, or for another load there."""

    goes_on = True

    def __init__(self, number: signal.Signals, error: RunStopped) -> None:
        super().__init__(f"stopped by {number.name} while waiting for the destination: {error}")
        self.exit_code = ExitCode.of_signal(number)


@contextmanager
def stoppable(end_process: Callable[[Interrupted], None]) -> Iterator[None]:
    """Raise `Interrupted` where a signal finds the main thread, outside a run; a second one ends the process at once.

    Args:
        end_process: ends the process at once, saying why; called from another thread where the main one does not
            come back from C in a few seconds.
    """
    signals = _noted_signals()
    came: list[Interrupted] = []
    over = threading.Event()

    def note(number: int, _: FrameType | None) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_DFL)
        came.append(Interrupted(signal.Signals(number)))
        raise came[0]

    def hear(number: int) -> None:
        if not over.wait(_UNWIND_SECONDS):
            end_process(Interrupted(signal.Signals(number)))

    previous = {number: signal.signal(number, note) for number in signals}
    _listen(hear)
    try:
        yield
    except Exception as error:
        if came:  # DuckDB, for one, makes an error of its own of it
            raise came[0] from error
        raise
    finally:
        over.set()
        if not came:
            for number, handler in previous.items():
                signal.signal(number, handler)


class Interruption:
    """Notes the first signal and tells whoever asked to be told; a context manager.

    A run that fails to load after the signal ends as stopped rather than failed. Outside the main thread, where
    Python handles no signal, it notes none.

    Args:
        in_command: whether the process is the command's own, which a second signal ends at once; in another's it goes
            to whom it would have gone before.
        end_process: ends the command's process at once, saying why; for a wait that nothing else can end.

    Attributes:
        signal: the signal that came, or None.
    """

    def __init__(self, *, in_command: bool = True, end_process: Callable[[Stopped], None] | None = None) -> None:
        self._in_command = in_command
        self._end_process = end_process
        self.signal: signal.Signals | None = None
        self._stop: Callable[[], None] | None = None
        self._previous: dict[signal.Signals, _Handler] = {}

    def tell(self, stop: Callable[[], None]) -> None:
        """Call `stop` when a signal comes, or now where one has come."""
        self._stop = stop
        if self.signal is not None:
            stop()

    def give_up(self, error: DestinationFailed) -> None:
        """End the process, where it is the command's, after a signal, since `error` keeps it from ending in order."""
        if self._in_command and self._end_process is not None and self.signal is not None:
            self._end_process(Stopped(self.signal, error))

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in _noted_signals()}
            if self._in_command:
                _listen(self._hear)
        return self

    def _hear(self, number: int) -> None:
        if self.signal is None:
            self.signal = signal.Signals(number)
            if self._stop is not None:
                self._stop()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()
        if self.signal is not None and isinstance(error, (DestinationFailed, AnotherLoad)):
            raise Stopped(self.signal, error) from error

    def _note(self, number: int, _: FrameType | None) -> None:
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


def _noted_signals() -> list[signal.Signals]:
    # under nohup a hang-up is ignored, and stays so
    return [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]


def _listen(first: Callable[[int], None]) -> None:
    """Call `first` with a signal that comes while the main thread waits in C, where no handler runs.

    The next one ends the process at once. Whoever listens later hears in its place.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def hear() -> None:
        numbers = (number[0] for number in iter(lambda: os.read(reader, 1), b"") if number[0] in _SIGNALS)
        threading.Thread(target=first, args=(next(numbers),), daemon=True).start()
        os._exit(ExitCode.of_signal(next(numbers)))

    threading.Thread(target=hear, name="signals", daemon=True).start()
