"""What all scripts share: errors as one line and an exit code, and how they are told to end."""

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

INTERRUPTED = 130  # what a shell expects of a program stopped by Ctrl-C


def run(script: Callable[[], int]) -> int:
    """Run a script's main function; a user's mistake ends in its line and exit code, without a traceback."""
    start_console()
    threading.excepthook = _say_thread
    try:
        with _told_to_end():
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
def _told_to_end() -> Iterator[None]:
    """SIGTERM ends a program so that no temporary file is left; SIGUSR1 is a cluster's other word for it."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    handlers: dict[str, Any] = {"SIGUSR1": lambda *_: signal.raise_signal(signal.SIGTERM)}
    # One of several processes may wait for another that is gone; torchrun's word must end it at once.
    if os.environ.get("WORLD_SIZE", "1") == "1":
        handlers["SIGTERM"] = end
    known = {getattr(signal, name): do for name, do in handlers.items() if hasattr(signal, name)}
    before = {number: signal.signal(number, do) for number, do in known.items()}
    try:
        yield
    finally:
        for number, do in before.items():
            signal.signal(number, do or signal.SIG_DFL)


def _say_thread(failure: threading.ExceptHookArgs) -> None:
    """A full or lost disk met by a thread of TensorBoard's is an error of the training, which says it."""
    gone = LOST | {errno.ENOENT, errno.ENOTDIR}  # a mount's folder without the mount
    if not (isinstance(failure.exc_value, OSError) and failure.exc_value.errno in gone):
        threading.__excepthook__(failure)
