"""Ctrl-C, SIGTERM and SIGHUP: the first one ends the run in order, a second one at once."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self, TypeAlias

from .outcome import AnotherLoad, DestinationFailed, ExitCode, RunStopped

_Handler: TypeAlias = Callable[[int, FrameType | None], Any] | int | None
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(RunStopped):
    """A signal came while the run waited for the destination, or for another load there."""

    def __init__(self, number: signal.Signals, error: RunStopped) -> None:
        super().__init__(f"stopped by {number.name} while waiting for the destination: {error}")
        self.exit_code = ExitCode.of_signal(number)


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
            # under nohup a hang-up is ignored, and stays so
            noted = [number for number in _SIGNALS if number != signal.SIGHUP or not _ignored(number)]
            self._previous = {number: signal.signal(number, self._note) for number in noted}
            if self._in_command:
                self._listen()
        return self

    def _listen(self) -> None:
        """Hear signals while the main thread waits in a driver's C, where no handler runs."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._hear, args=(reader,), name="signals", daemon=True).start()

    def _hear(self, reader: int) -> None:
        heard = 0
        for number in iter(lambda: os.read(reader, 1), b""):
            if number[0] not in _SIGNALS:
                continue
            heard += 1
            if heard > 1:
                os._exit(ExitCode.of_signal(signal.Signals(number[0])))
            if self.signal is None:
                self.signal = signal.Signals(number[0])
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


def _ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN
