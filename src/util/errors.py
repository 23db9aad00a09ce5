"""The errors a user can meet; each knows the exit code its script ends with."""

import errno
import signal
from collections.abc import Sequence
from pathlib import Path


class UserError(Exception):
    """Something the user can mend; scripts print its one line and exit with `exit_code`."""

    exit_code = 1


class ConfigError(UserError):
    """A configuration or command line that cannot be run.

    Parameters
    ----------
    problems : str or sequence of str
        Each problem on one line: what, where, what was expected, how to mend it.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class RunExistsError(UserError):
    """The run's folder is there already, or another process is writing to it."""

    exit_code = 3


class CheckpointError(UserError):
    """No usable checkpoint: missing, damaged, or made for another network."""

    exit_code = 4


class StorageError(UserError):
    """The output cannot be written: no room, no permission, a lost mount."""

    exit_code = 5


FULL = {errno.ENOSPC, errno.EDQUOT}
"""Numbers of an OSError that mean: no room."""
LOST = FULL | {
    errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENODEV, errno.ESTALE,
    errno.ENOTCONN, errno.ETIMEDOUT,
}  # fmt: skip
"""Numbers that mean that a disk cannot be written; any other is a mistake of ours."""


class Stopped(Exception):  # noqa: N818
    """A signal ended a training, after its state was saved.

    Parameters
    ----------
    number : signal.Signals
        The signal.
    checkpoint : Path
        Where the state is.
    """

    def __init__(self, number: signal.Signals, checkpoint: Path) -> None:
        super().__init__(f"stopped by {number.name}; saved {checkpoint}; -r goes on from there")
        # What a shell expects after Ctrl-C, and of anything that was told to end.
        self.exit_code = 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM outside of a training's steps; what cleans up after Ctrl-C does so after it, too."""

    exit_code = 128 + signal.SIGTERM


class NonFiniteError(UserError):
    """A loss, weight or image became NaN or infinite."""

    exit_code = 6


class DataError(UserError):
    """An image or dataset that is missing, damaged or of the wrong kind."""

    exit_code = 7


class OutOfMemoryError(UserError):
    """The memory of the machine or of a GPU does not suffice."""

    exit_code = 8
