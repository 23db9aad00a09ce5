"""Messages on the terminal and in a run's log file, and the progress bar."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from tqdm import tqdm

from src.util.atomic_file import refused
from src.util.errors import StorageError

LOG = logging.getLogger("nl_n2v")
# Lines with the figures of the progress bar: for the log file and pipes, not for a terminal.
PROGRESS_LOG = LOG.getChild("progress")


class _ConsoleHandler(logging.Handler):
    """Prints above the progress bar; warnings go to a separate stream."""

    def __init__(self, stream: TextIO, warnings_stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self.warnings_stream = warnings_stream
        if stream.isatty():
            self.addFilter(lambda record: record.name != PROGRESS_LOG.name)

    def emit(self, record: logging.LogRecord) -> None:
        warns = record.levelno >= logging.WARNING
        stream = self.warnings_stream if warns else self.stream
        try:
            tqdm.write((f"{record.levelname.lower()}: " if warns else "") + record.getMessage(), file=stream)
            stream.flush()
        except BrokenPipeError:  # the reader is gone, as with `| head`; training goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def start_console() -> None:
    """Send messages to standard output and all warnings, also of libraries, to standard error."""
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    for handler in [h for h in LOG.handlers if isinstance(h, _ConsoleHandler)]:
        LOG.removeHandler(handler)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as with `>&-`
            setattr(sys, name, open(os.devnull, "w"))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name need not be valid text
    LOG.addHandler(_ConsoleHandler(sys.stdout, sys.stderr))
    warnings.showwarning = lambda message, *_: LOG.warning("%s", message)


@contextmanager
def without_repeats() -> Iterator[None]:
    """Log each message only once while the `with` block runs."""
    logged: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        count = len(logged)
        logged.add(record.getMessage())
        return len(logged) > count

    LOG.addFilter(is_new)
    try:
        yield
    finally:
        LOG.removeFilter(is_new)


class _FileHandler(logging.FileHandler):
    """Raises an error when writing fails; `logging` would print a traceback and go on."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise refused(Path(self.baseFilename), error) from None
        super().handleError(record)

    def close(self) -> None:
        with suppress(OSError):  # the failure was reported when the line was logged
            super().close()


@contextmanager
def log_file(path: Path) -> Iterator[logging.FileHandler]:
    """Append dated messages to a UTF-8 file while the `with` block runs, and the error that ends it."""
    if path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n"):
        with open(path, "ab") as file:  # cut off by a full disk or a killed process
            file.write(b"\n")
    handler = _FileHandler(path, mode="a", encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    LOG.addHandler(handler)
    try:
        yield handler
    except BaseException as error:
        # Only to the file: the script prints the error on the terminal.
        reason = str(error) or type(error).__name__
        record = LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "stopped: %s", (reason,), None)
        with suppress(StorageError):  # it would hide the error that is being handled
            handler.handle(record)
        raise
    finally:
        LOG.removeHandler(handler)
        handler.close()


def progress_bar(total: int, unit: str, initial: int = 0) -> "tqdm[Any]":
    """Return a progress bar, shown only on a terminal and in a process that logs."""
    return tqdm(
        total=total, initial=initial, unit=unit, dynamic_ncols=True,
        disable=not (sys.stderr.isatty() and LOG.isEnabledFor(logging.WARNING)), leave=False, smoothing=0.05,
    )  # fmt: skip
