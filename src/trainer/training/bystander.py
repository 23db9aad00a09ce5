"""Reporter and checkpoints of all processes of a training but the first, which alone writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.trainer.evaluation.evaluate import Evaluated, Scores
from src.trainer.training.reporter import Reporter
from src.util.file_manager import FileManager


class NoReporter(Reporter):
    """Says nothing."""

    def __init__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, images: int) -> None:
        """Nothing."""

    def training(self, where: str, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """Nothing."""

    def image(self, result: Evaluated, step: int, folder: Path | None) -> None:
        """Nothing."""

    def validation(self, epoch: int, step: int, scores: Scores, began: float) -> None:
        """Nothing."""


class NoStore(CheckpointStore):
    """Names the checkpoints that the first process writes, and neither reads nor writes any.

    Parameters
    ----------
    files : FileManager
        The run's paths, which need not be on this machine.
    """

    def __init__(self, files: FileManager) -> None:
        self.files = files

    def save_last(self, content: dict[str, Any], epoch: int, keep_all: bool) -> Path:
        """Only the path."""
        return self.files.checkpoint_file(epoch)

    def save_interim(self, content: dict[str, Any], epoch: int, step: int) -> Path:
        """Only the path."""
        return self.files.interim_file(epoch, step)

    def release_best(self, metric: str, epoch: int) -> None:
        """Nothing."""

    def save_best(self, content: dict[str, Any], epoch: int, metric: str, value: float) -> Path:
        """Only the path."""
        return self.files.best_file(epoch, metric, value)
