"""Progress of a training: bar, log, TensorBoard, table of scores, and images."""

import csv
import time
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any

from src.trainer.evaluation.evaluate import Evaluated, Scores
from src.trainer.training.board import Board
from src.trainer.training.stage import Stage
from src.trainer.training.stopwatch import Stopwatch
from src.util.atomic_file import write_atomically
from src.util.errors import StorageError
from src.util.file_manager import FileManager
from src.util.logger import LOG, PROGRESS_LOG, progress_bar

BOARD_IMAGES = 4


class Reporter:
    """Reports the progress of a training while the `with` block runs.

    Parameters
    ----------
    files : FileManager
        The run's folder, open for writing.
    stopwatch : Stopwatch
        Times the parts of each step.
    first_step, total_steps : int
        Step at which this process starts, and the training's last one.
    stage : Stage or None
        None = this is the only training.
    """

    def __init__(
        self, files: FileManager, stopwatch: Stopwatch, first_step: int, total_steps: int,
        stage: Stage | None = None,
    ) -> None:  # fmt: skip
        self.files = files
        self.stopwatch = stopwatch
        self.total_steps = total_steps
        self.board = Board(files.tensorboard, first_step)
        self.stage = stage
        self.bar = progress_bar(total_steps, "step", first_step)
        if stage is not None:
            self.bar.set_description(f"stage {stage.name}")
        self._last_step = first_step
        self._images = 0  # since the last report
        self._last_time = time.perf_counter()

    def __enter__(self) -> "Reporter":
        self._last_time = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        try:
            self.board.close()
        except StorageError:
            if error is None:  # an earlier error says more
                raise

    def step(self, images: int) -> None:
        """Count a step with a batch of `images` images."""
        self.bar.update()
        self._images += images

    def training(self, where: str, step: int, losses: Mapping[str, float], learning_rate: float) -> None:
        """Report the running means of the losses (`total` and each term) and the speed."""
        steps, seconds = step - self._last_step, time.perf_counter() - self._last_time
        speed = self._images / seconds
        self._last_step, self._last_time, self._images = step, time.perf_counter(), 0
        left = _duration(seconds / steps * (self.total_steps - step))
        if self.stage is not None:
            rest = self.total_steps * (1 + self.stage.later) - step
            left += f" of this stage, about {_duration(seconds / steps * rest)}"
            where = f"stage {self.stage.name}: {where}"
        self.bar.set_postfix(
            loss=f"{losses['total']:.3e}", lr=f"{learning_rate:.2e}", images_s=f"{speed:.1f}"
        )
        terms = ", ".join(f"{name} {value:.4e}" for name, value in losses.items() if name != "total")
        PROGRESS_LOG.info(
            "%s: loss %.4e (%s), learning rate %.3e, %.1f images/s, %s left",
            where, losses["total"], terms, learning_rate, speed, left,
        )  # fmt: skip
        parts = {f"seconds_per_step/{name}": s / steps for name, s in self.stopwatch.report().items()}
        curves = {f"loss/{name}": value for name, value in losses.items()}
        self.board.curves(
            {**curves, "learning_rate": learning_rate, "images_per_second": speed, **parts}, step
        )

    def image(self, result: Evaluated, step: int, folder: Path | None) -> None:
        """Save a validation image if `folder` is given, and show the first few in TensorBoard."""
        if folder is not None:
            result.save(folder)
        if result.index < BOARD_IMAGES:
            clean = "" if result.clean is None else ", clean"
            title = f"{result.index:04d} {result.score.name}: noisy, denoised, residual x4{clean}"
            self.board.image(title, result.noisy, result.denoised, result.clean, step)

    def validation(self, epoch: int, step: int, scores: Scores, began: float) -> None:
        """Report a validation that began at `time.perf_counter() == began`; the speed excludes its time."""
        LOG.info("validation after epoch %d: %s", epoch, scores.line())
        means = scores.means()
        count, total = len(scores.images), scores.available
        group = "validation" if count == total else f"validation_ONLY_{count}_OF_{total}"
        self.board.curves({f"{group}/{name}": value for name, value in means.items()}, step)
        self.board.flush()
        values = [means.get(name, "") for name in ("psnr", "ssim", "loss")]
        self._add_row([epoch, step, *values, count, total])
        self._last_time += time.perf_counter() - began

    def _add_row(self, row: list[Any]) -> None:
        """Add an epoch to the table of scores; replace its row if the run was killed after writing one."""
        path = self.files.scores_file
        rows = [["epoch", "step", "psnr_db", "ssim", "masked_loss", "pictures", "of"]]
        if path.exists():
            lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            rows = [known for known in csv.reader(lines) if known[:1] != [str(row[0])]]
        table = StringIO(newline="")
        csv.writer(table).writerows([*rows, row])
        text = table.getvalue().encode("utf-8", errors="surrogateescape")
        with write_atomically(path) as file:
            file.write(text)


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
