"""Signals that ask a training to stop: remembered when they come, obeyed after the step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# A cluster announces the end of a job's time by SIGTERM or, if asked to, by SIGUSR1.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")


class StopRequest:
    """Whether a signal has asked to stop, while the `with` block runs.

    Attributes
    ----------
    signal : signal.Signals or None
        The last one of SIGINT, SIGTERM, SIGUSR1 that came. None of them interrupts what is being done.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            wanted = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
            self._before = {number: signal.signal(number, self._remember) for number in wanted}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)
