"""Signals that stop a training after the current step."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

# Clusters announce the end of a job with SIGTERM or SIGUSR1.
_NAMES = ("SIGINT", "SIGTERM", "SIGUSR1")


class StopRequest:
    """Records signals while the `with` block runs, instead of being interrupted by them.

    Attributes
    ----------
    signal : signal.Signals or None
        The latest SIGINT, SIGTERM or SIGUSR1; None = none has arrived.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():  # other threads cannot set handlers
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
