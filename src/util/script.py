"""Run a script: errors end in one line and an exit code, signals in a clean stop."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from src.util.errors import LOST, Stopped, StorageError, Terminated, UserError
from src.util.logger import start_console

INTERRUPTED = 130  # exit code of a program stopped by Ctrl-C


def run(script: Callable[[], int]) -> int:
    """Run a script's main function; a user error prints its message without a traceback.

    Parameters
    ----------
    script : callable
        Returns an exit code.

    Returns
    -------
    int
        The exit code, of the script or of its error.
    """
    start_console()
    threading.excepthook = _report_thread
    try:
        with _handled_signals():
            return script()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except Terminated as end:
        print("stopped by SIGTERM", file=sys.stderr)
        return end.exit_code
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno not in LOST:
            raise
        print(f"error: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return StorageError.exit_code


@contextmanager
def _handled_signals() -> Iterator[None]:
    """Let SIGTERM, and SIGUSR1 as clusters send it, end the program without leaving temporary files."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    handlers: dict[str, Any] = {"SIGUSR1": lambda *_: signal.raise_signal(signal.SIGTERM)}
    # A process of several may wait for one that is gone, so SIGTERM of torchrun must end it at once.
    if os.environ.get("WORLD_SIZE", "1") == "1":
        handlers["SIGTERM"] = end
    known = {getattr(signal, name): do for name, do in handlers.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, do) for number, do in known.items()}
    try:
        yield
    finally:
        for number, do in before.items():
            signal.signal(number, do or signal.SIG_DFL)


def _report_thread(failure: threading.ExceptHookArgs) -> None:
    """Report a thread's error, unless TensorBoard met a full or lost disk: training reports that itself."""
    gone = LOST | {errno.ENOENT, errno.ENOTDIR}  # an unmounted disk
    if not (isinstance(failure.exc_value, OSError) and failure.exc_value.errno in gone):
        threading.__excepthook__(failure)
