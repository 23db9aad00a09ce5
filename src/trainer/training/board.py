"""TensorBoard: the run's curves and a few images, in `tboard`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from src.trainer.evaluation.no_data import blackened
from src.trainer.report.residual import RESIDUAL_GAIN
from src.util.atomic_file import refused
from src.util.images.io import middle, shown

# Of a photograph, whole, four would add some 300 MB and a minute to each validation.
IMAGE_EDGE = 512


class Board:
    """Writes the event files of a run.

    Parameters
    ----------
    folder : Path
        One folder a run; a resumed run adds a file to it.
    first_step : int
        Steps done before. Points of an earlier process after it are hidden: they are about to be drawn again.

    Raises
    ------
    StorageError
        In any of its methods, when the disk does not take what was drawn before.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter  # half a second, which nothing but a run needs

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
            (C, H, W) in [0, 1]; of more than three channels the first three are shown, of two the first, and
            of a large image the middle `IMAGE_EDGE` px. NaN is black.
        step : int
            Where on the time axis.
        """
        given = [noisy, denoised] + ([] if clean is None else [clean])
        seen, result, *truth = (shown(middle(image, IMAGE_EDGE)) for image in given)
        images = [seen, result, 0.5 + RESIDUAL_GAIN * (seen - result), *truth]
        tag = name.encode(errors="backslashreplace").decode()  # a file's name need not be text
        with self._refusals():
            self.writer.add_image(tag, blackened(torch.cat(images, dim=2)).clamp(0, 1), step)

    def flush(self) -> None:
        """Put everything on disk."""
        with self._refusals():
            self.writer.flush()

    def close(self) -> None:
        """Write what is left and end the file."""
        with self._refusals():
            self.writer.close()

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """A disk that takes nothing is heard of late: a thread of TensorBoard's own writes."""
        try:
            yield
        except OSError as error:
            raise refused(self.folder, error) from None
