"""TensorBoard: curves and a few images of a run."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from src.trainer.evaluation.no_data import blackened
from src.trainer.report.residual import RESIDUAL_GAIN
from src.util.atomic_file import refused
from src.util.images.io import middle, shown

# Four whole photographs would add some 300 MB and a minute to each validation.
IMAGE_EDGE = 512


class Board:
    """Writes the event files of a run.

    Parameters
    ----------
    folder : Path
        The run's folder of event files; a resumed run adds a file.
    first_step : int
        Steps done before. Later points of an earlier process are hidden, since they will be drawn again.

    Raises
    ------
    StorageError
        In any method, when the disk refuses earlier data.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # takes half a second

        self.folder = folder
        with self._refusals():
            self.writer = SummaryWriter(str(folder), purge_step=first_step + 1, flush_secs=30)

    def curves(self, values: Mapping[str, float], step: int) -> None:
        """Add one point to each named curve."""
        with self._refusals():
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def image(self, name: str, noisy: Tensor, denoised: Tensor, clean: Tensor | None, step: int) -> None:
        """Add noisy, denoised, residual (noisy - denoised, amplified) and, where known, clean side by side.

        Parameters
        ----------
        name : str
            The image's name.
        noisy, denoised, clean : Tensor
            (C, H, W) in [0, 1]; NaN is black. Shows the first three of more channels, the first of two, and
            the middle `IMAGE_EDGE` px of a large image.
        step : int
            Position on the time axis.
        """
        given = [noisy, denoised] + ([] if clean is None else [clean])
        seen, result, *truth = (shown(middle(image, IMAGE_EDGE)) for image in given)
        images = [seen, result, 0.5 + RESIDUAL_GAIN * (seen - result), *truth]
        tag = name.encode(errors="backslashreplace").decode()  # file names may be invalid Unicode
        with self._refusals():
            self.writer.add_image(tag, blackened(torch.cat(images, dim=2)).clamp(0, 1), step)

    def flush(self) -> None:
        """Write everything to disk."""
        with self._refusals():
            self.writer.flush()

    def close(self) -> None:
        """Write the rest and close the file."""
        with self._refusals():
            self.writer.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Translate disk errors, which arrive late because a thread of TensorBoard writes."""
        try:
            yield
        except OSError as error:
            raise refused(self.folder, error) from None
