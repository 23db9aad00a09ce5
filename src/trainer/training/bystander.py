"""Reporter and checkpoint store of all processes but the first, which do nothing."""

from pathlib import Path
from typing import Any

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.training.reporter import Reporter
from src.util.file_manager import FileManager


class NoReporter(Reporter):
    """Reports nothing."""

    def __init__(self) -> None:
        pass

    def _ignore(self, *_: Any, **__: Any) -> None:
        pass

    __exit__ = step = training = image = validation = _ignore


class NoStore(CheckpointStore):
    """Returns the paths of the checkpoints that the first process writes, without reading or writing any.

    Parameters
    ----------
    files : FileManager
        Paths of the run, which may be on another machine.
    """

    def __init__(self, files: FileManager) -> None:
        self.files = files

    def save_last(self, content: dict[str, Any], epoch: int, keep_all: bool) -> Path:
        """Return the path."""
        return self.files.checkpoint_file(epoch)

    def save_interim(self, content: dict[str, Any], epoch: int, step: int) -> Path:
        """Return the path."""
        return self.files.interim_file(epoch, step)

    def release_best(self, metric: str, epoch: int) -> None:
        """Do nothing."""

    def save_best(self, content: dict[str, Any], epoch: int, metric: str, value: float) -> Path:
        """Return the path."""
        return self.files.best_file(epoch, metric, value)
