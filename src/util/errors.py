"""Errors that are reported to the user, with the exit codes of the scripts."""

import errno
import signal
from collections.abc import Sequence
from pathlib import Path


class UserError(Exception):
    """An error the user can fix; scripts print its message and exit with `exit_code`."""

    exit_code = 1


class ConfigError(UserError):
    """A configuration or command line that cannot be run.

    Parameters
    ----------
    problems : str or sequence of str
        Each problem on one line: what, where, what was expected, how to fix it.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class RunExistsError(UserError):
    """The run's folder exists already, or another process is writing to it."""

    exit_code = 3


class CheckpointError(UserError):
    """No usable checkpoint: missing, damaged, or made for another network."""

    exit_code = 4


class StorageError(UserError):
    """The output cannot be written: disk full, no permission, or the disk is gone."""

    exit_code = 5


FULL = {errno.ENOSPC, errno.EDQUOT}
"""Error numbers of a full disk."""
LOST = FULL | {
    errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENODEV, errno.ESTALE,
    errno.ENOTCONN, errno.ETIMEDOUT,
}  # fmt: skip
"""Error numbers of a disk that cannot be written. Any other OSError is a bug of this program."""


class Stopped(Exception):  # noqa: N818
    """Training was stopped by a signal, after its state was saved to `checkpoint`."""

    def __init__(self, number: signal.Signals, checkpoint: Path) -> None:
        super().__init__(f"stopped by {number.name}; saved {checkpoint}; -r continues from there")
        # The convention of shells: 128 plus the signal's number.
        self.exit_code = 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived outside a training step; handled by the same clean-up as Ctrl-C."""

    exit_code = 128 + signal.SIGTERM


class NonFiniteError(UserError):
    """A loss, weight or image became NaN or infinite."""

    exit_code = 6


class DataError(UserError):
    """An image or dataset is missing, damaged or of the wrong kind."""

    exit_code = 7


class OutOfMemoryError(UserError):
    """The machine or a GPU has too little memory."""

    exit_code = 8
