"""Messages to the terminal and to a run's log file, and the one progress bar."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from tqdm import tqdm

from src.util.atomic_file import refused
from src.util.errors import StorageError

LOG = logging.getLogger("nl_n2v")
# On a terminal the bar shows the same figures; the file and a pipe get them as lines.
PROGRESS_LOG = LOG.getChild("progress")


class _ConsoleHandler(logging.Handler):
    """Prints above the bar, so that neither garbles the other; warnings to a stream of their own."""

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
        except BrokenPipeError:  # nobody reads on, as behind `| head`: no reason to end a training
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def start_console() -> None:
    """Send messages to standard output, and warnings, those of libraries too, to standard error."""
    LOG.setLevel(logging.INFO)
    LOG.propagate = False
    for handler in [h for h in LOG.handlers if isinstance(h, _ConsoleHandler)]:
        LOG.removeHandler(handler)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who called, as by `>&-`
            setattr(sys, name, open(os.devnull, "w"))
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be text
    LOG.addHandler(_ConsoleHandler(sys.stdout, sys.stderr))
    warnings.showwarning = lambda message, *_: LOG.warning("%s", message)


@contextmanager
def said_once() -> Iterator[None]:
    """While the `with` block runs, a message that comes again is not said again."""
    said: set[str] = set()

    def is_new(record: logging.LogRecord) -> bool:
        count = len(said)
        said.add(record.getMessage())
        return len(said) > count

    LOG.addFilter(is_new)
    try:
        yield
    finally:
        LOG.removeFilter(is_new)


class _FileHandler(logging.FileHandler):
    """Says that the disk refuses, where `logging` would print a traceback and go on without a log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            raise refused(Path(self.baseFilename), error) from None
        super().handleError(record)

    def close(self) -> None:
        # What could not be written has been said when it was logged.
        with suppress(OSError):
            super().close()


class LogFile:
    """Appends dated lines to a file while the `with` block runs.

    Parameters
    ----------
    path : Path
        UTF-8 text, appended to: a resumed run goes on in the same file.
    """

    def __init__(self, path: Path) -> None:
        if path.is_file() and path.read_bytes()[-1:] not in (b"", b"\n"):
            with open(path, "ab") as file:  # torn when the disk was full, or the process killed
                file.write(b"\n")
        self.handler = _FileHandler(path, mode="a", encoding="utf-8", errors="backslashreplace")
        self.handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
        )

    def __enter__(self) -> "LogFile":
        LOG.addHandler(self.handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            # Only to the file: the script says it on the terminal, once.
            reason = str(error) or type(error).__name__
            record = LOG.makeRecord(LOG.name, logging.ERROR, "", 0, "stopped: %s", (reason,), None)
            with suppress(StorageError):  # the error in flight says more
                self.handler.handle(record)
        LOG.removeHandler(self.handler)
        self.handler.close()


def progress_bar(total: int, unit: str, initial: int = 0) -> "tqdm[Any]":
    """A bar with an ETA on a terminal, nothing elsewhere, nor in a process that says nothing."""
    return tqdm(
        total=total, initial=initial, unit=unit, dynamic_ncols=True,
        disable=not (sys.stderr.isatty() and LOG.isEnabledFor(logging.WARNING)), leave=False, smoothing=0.05,
    )  # fmt: skip
