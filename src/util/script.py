"""What all scripts share: flags with one meaning, and errors as one line and an exit code."""

import argparse
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


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Ctrl-C while a script's imports run, which take seconds, ends in one line, too."""
    try:
        yield
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _say_thread(failure: threading.ExceptHookArgs) -> None:
    """A full or lost disk met by a thread of TensorBoard's is an error of the training, which says it."""
    gone = LOST | {errno.ENOENT, errno.ENOTDIR}  # a mount's folder without the mount
    if not (isinstance(failure.exc_value, OSError) and failure.exc_value.errno in gone):
        threading.__excepthook__(failure)


def common_flags(description: str) -> argparse.ArgumentParser:
    """The flags that `main.py` and `test.py` share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "-c", "--config", action="append",
        help="a name in configs/, with or without .yaml, or a path; a second one is laid over the first",
    )  # fmt: skip
    parser.add_argument("-s", "--session", metavar="RUN", help="name of the run, a folder of output_folder")
    parser.add_argument("-g", "--gpu", help="a GPU's number, cpu, mps or auto (the default: a GPU if any)")
    parser.add_argument("--thread", type=_count, default=4, help="workers that load pictures (default: 4)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="override a key of the configuration, for example training.batch_size=4; may be repeated",
    )  # fmt: skip
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of workers, 0 or more, got '{text}'")
    return int(text)
