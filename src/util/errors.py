"""The errors a user can meet; each knows the exit code its script ends with."""

from collections.abc import Sequence


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


class NonFiniteError(UserError):
    """A loss, weight or picture became NaN or infinite."""

    exit_code = 6


class DataError(UserError):
    """A picture or dataset that is missing, damaged or of the wrong kind."""

    exit_code = 7
