"""Learn from noisy images alone: predict hidden pixels."""

from typing import ClassVar

import torch

from src.masker import Masker
from src.trainer.objective.base import Images, Objective, Task
from src.util.images.conversion import as_float
from src.util.share import Share


class Hide(Objective):
    """Noise2Void's task with any masker: the target is the noisy image itself, at blind spots.

    References
    ----------
    .. [1] A. Krull, T.-O. Buchholz and F. Jug, "Noise2Void - Learning Denoising from Single Noisy Images",
       CVPR 2019. :DOI:`10.1109/CVPR.2019.00223`
    """

    images: ClassVar[tuple[str, ...]] = ("noisy",)
    terms: ClassVar[str] = "self_"
    hides: ClassVar[bool] = True

    def __init__(self, masker: Masker) -> None:
        self._masker = masker

    def task(self, images: Images, generator: torch.Generator, share: Share) -> Task:
        """Hide pixels; see `Objective`."""
        noisy = images["noisy"]
        # Not converted to float: the dtype tells the masker that uint8 images are 8-bit.
        masked = self._masker.mask_share(noisy, generator, share)
        return Task(masked.image, as_float(noisy), masked.mask)
