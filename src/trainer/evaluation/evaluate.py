"""Score a network on whole images, against clean images or by the masked loss."""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from src.trainer.evaluation.masked_loss import MaskedLoss
from src.trainer.evaluation.metrics import MeanScore, mean_score, psnr, ssim
from src.trainer.evaluation.no_data import filled_in
from src.trainer.evaluation.sanity import as_array, is_blank
from src.trainer.evaluation.saving import save_images
from src.trainer.finish import NOTHING, Finish
from src.trainer.network.network import Network
from src.trainer.network.whole_image import WholeImage
from src.util.cores import usable_cores
from src.util.images.conversion import span_of
from src.util.images.io import from_float, to_uint8
from src.util.overlap import AT_ONCE, Here, overlapped


class Metric(NamedTuple):
    """A metric's title in a table, where {} is the rounding of its images, and its format in a line."""

    title: str
    brief: str


METRICS = {
    "psnr": Metric("PSNR (dB), {}", "PSNR {:.2f} dB"),
    "ssim": Metric("SSIM, 7x7 uniform window, {}", "SSIM {:.4f}"),
    "loss": Metric("masked loss, mean of hidden values that stay the same", "masked loss {:.6g}"),
}

MOST_AT_ONCE = 8
"""Most images in work at once."""
SMALL_TOGETHER = 24_000_000
"""Most values of more than `AT_ONCE` images in work: eight of 1 MP with 3 channels."""

BETTER = {"psnr": max, "ssim": max, "loss": min}


@dataclass(frozen=True)
class ImageScore:
    """One image's metrics: `psnr` (dB) and `ssim` against the clean image, else `loss`.

    `checksum` is that of the noisy and the clean values. It tells whether two scores are of the same image.
    """

    name: str
    metrics: dict[str, float]
    rounding: str = "rounded to 8 bits"
    checksum: int = 0


@dataclass
class Scores:
    """The metrics of a set of images.

    Parameters
    ----------
    available : int
        Number of images in the dataset; `n_data` may leave some out.
    """

    available: int
    images: list[ImageScore] = field(default_factory=list)

    def means(self) -> dict[str, float]:
        """Return the mean of each metric over the images that have it; see `mean_score`."""
        return {name: score.mean for name, score in self._mean_scores().items() if score.used}

    def _mean_scores(self) -> dict[str, MeanScore]:
        names = dict.fromkeys(name for image in self.images for name in image.metrics)
        found = {n: mean_score(p.metrics.get(n, math.nan) for p in self.images) for n in names}
        return {name: score for name, score in found.items() if score.used or score.identical}

    def rounding(self) -> str:
        """Describe how the images were rounded."""
        return "; ".join(dict.fromkeys(image.rounding for image in self.images))

    def line(self) -> str:
        """Return the means in a line, with the details that matter for a comparison."""
        means = self._mean_scores()
        brief = [METRICS[name].brief.format(score.mean) + score.of for name, score in means.items()]
        figures = ", ".join(brief) or "no score"
        how = "" if "psnr" not in means else f"{self.rounding()}, SSIM of 7x7 uniform windows, "
        return f"{figures} ({how}{count_words(len(self.images), self.available)})"


def count_words(count: int, available: int) -> str:
    """Return the number of scored images in words, in capitals if some are missing."""
    return f"all {available} images" if count == available else f"ONLY {count} OF {available} IMAGES"


@dataclass(frozen=True)
class Evaluated:
    """An image after evaluation: tensors (C, H, W) in [0, 1] on the CPU, and its score.

    NaN marks a missing value; `denoised` has it where `noisy` has.
    """

    index: int
    noisy: Tensor
    denoised: Tensor
    clean: Tensor | None
    score: ImageScore

    @property
    def is_blank(self) -> bool:
        """Whether the result is nearly constant although the image is not."""
        return is_blank(as_array(filled_in(self.noisy)), as_array(filled_in(self.denoised)))

    @property
    def is_all_nan(self) -> bool:
        """Whether all values of the image are missing."""
        return bool(self.noisy.isnan().all())

    def save(self, folder: Path) -> None:
        """Write the images to a folder; see `save_images`."""
        psnr = self.score.metrics.get("psnr")
        save_images(folder, self.index, self.noisy, self.denoised, self.clean, psnr)

    def to_plain(self, shown: bool) -> tuple[Any, ...]:
        """Return plain types and tensors for another process; without the images unless `shown`."""
        none = torch.empty(0)
        images = (self.noisy, self.denoised, self.clean) if shown else (none, none, None)
        score = self.score
        return self.index, *images, score.name, score.metrics, score.rounding, score.checksum

    @classmethod
    def from_plain(cls, plain: tuple[Any, ...]) -> "Evaluated":
        """Restore what `to_plain` returned."""
        index, noisy, denoised, clean, *score = plain
        return cls(index, noisy, denoised, clean, ImageScore(*score))


def evaluate(
    network: Network,
    images: Iterable[dict[str, Any]],
    masked_loss: MaskedLoss | None,
    then: Callable[[Evaluated], object] | None = None,
    held: int | None = None,
    finish: Finish = NOTHING,
    whole: WholeImage | None = None,
) -> Iterator[Evaluated | None]:
    """Denoise and score images. Scoring overlaps with denoising the next image.

    Parameters
    ----------
    network : Network
        Called in this thread. Its mode (training or not) is restored.
    images : iterable of dict
        Batches of one image, from `src.data_handlers.loading.sampling.build_loader`.
    masked_loss : MaskedLoss or None
        Scores images without a clean image. None gives them no score.
    then : callable, optional
        Called with each image in another thread before it is yielded, for example to write it.
    held : int, optional
        Images in work at once; more than two only if they are small (`SMALL_TOGETHER`). None means two on a
        CPU, which the network keeps busy, else up to eight: a GPU denoises a small image in less time than a
        core needs for its score.
    finish : Finish
        What to restore from the noisy image after the network.
    whole : WholeImage, optional
        How to denoise whole images; None uses the network. The masked loss always uses the network.

    Yields
    ------
    Evaluated or None
        In the order of the dataset; None for an unreadable image.
    """

    def work(numbered: tuple[int, dict[str, Any]], here: Here) -> Evaluated | None:
        number, batch = numbered
        if "noisy" not in batch:
            return None
        result = _evaluated(network, number, batch, masked_loss, here, finish, whole or network)
        if then is not None:
            then(result)
        return result

    if held is None:
        held = AT_ONCE if network.device.type == "cpu" else max(AT_ONCE, min(MOST_AT_ONCE, usable_cores()))
    was_training = network.module.training
    try:
        yield from overlapped(work, enumerate(images), held, _may_join)
    finally:
        network.module.train(was_training)


def _may_join(held: Sequence[tuple[int, dict[str, Any]]], numbered: tuple[int, dict[str, Any]]) -> bool:
    values = sum(batch["noisy"].numel() for _, batch in (*held, numbered) if "noisy" in batch)
    return len(held) < AT_ONCE or values <= SMALL_TOGETHER


def _evaluated(
    network: Network, number: int, batch: dict[str, Any], masked_loss: MaskedLoss | None, here: Here,
    finish: Finish, whole: WholeImage,
) -> Evaluated:  # fmt: skip
    index = int(batch.get("index", [number])[0])
    noisy, name = batch["noisy"][0], batch["name"][0]
    clean = batch["clean"][0] if "clean" in batch else None
    by_loss = masked_loss if clean is None and masked_loss and masked_loss.suits(noisy, name) else None
    seen = filled_in(noisy)
    denoised = here(lambda: whole.denoise(seen, name), last=by_loss is None and not finish.denoises)
    dtype, data_range = batch.get("dtype", ["uint8"])[0], float(batch.get("data_range", [255])[0])
    if finish.changes:
        step = 0.0 if dtype.startswith("float") else 1 / data_range
        denoised = finish.tensor(seen, denoised, step, lambda image: here(lambda: whole.denoise(image, name)))
    denoised = denoised if seen is noisy else denoised.masked_fill(noisy.isnan(), math.nan)
    metrics: dict[str, float] = {}
    if clean is not None:
        metrics = compare(clean, denoised, dtype, data_range, span_of(seen.numpy(), 1))
    elif by_loss is not None:
        metrics = {"loss": here(lambda: by_loss(network, noisy, index), last=True)}
    checksum = 0
    for values in (noisy, *([] if clean is None else [clean])):
        checksum = zlib.crc32(values.contiguous().numpy().data, checksum)
    score = ImageScore(name, metrics, rounding(dtype, data_range), checksum)
    return Evaluated(index, noisy, denoised, clean, score)


def compare(
    clean: Tensor, other: Tensor, dtype: str = "uint8", data_range: float = 255,
    span: tuple[float, float] = (-math.inf, math.inf),
) -> dict[str, float]:  # fmt: skip
    """Compute PSNR and SSIM of two images as they would be stored.

    Parameters
    ----------
    clean, other : Tensor, shape (C, H, W)
        Data range 1. A value that is NaN in one is not counted.
    dtype, data_range
        Type and data range of the file, see `from_float`. 8-bit values are clipped to [0, 255].
    span : (float, float)
        Limits of `other` in a file of another type, for a data range of 1.

    Returns
    -------
    dict
        `psnr` in dB, and `ssim`. NaN if no value is counted.
    """
    missing = clean.isnan() | other.isnan()
    known = None
    if missing.any():
        clean, other = clean.masked_fill(missing, 0), other.masked_fill(missing, 0)
        known = as_array(~missing)
    if (dtype, data_range) == ("uint8", 255):
        first, second = to_uint8(clean), to_uint8(other)
        return {"psnr": psnr(first, second, known=known), "ssim": ssim(first, second, known=known)}
    first = from_float(clean, dtype, data_range, (-math.inf, math.inf))
    second = from_float(other, dtype, data_range, (span[0] * data_range, span[1] * data_range))
    return {"psnr": psnr(first, second, data_range, known), "ssim": ssim(first, second, data_range, known)}


def rounding(dtype: str, data_range: float) -> str:
    """Describe how `compare` rounds."""
    if (dtype, data_range) == ("uint8", 255):
        return "rounded to 8 bits"
    how = "not rounded" if dtype.startswith("float") else f"rounded to {dtype}"
    return f"{how}, data range {data_range:g}"


def score_all(
    results: Iterable[Evaluated | None], available: int, use: Callable[[Evaluated], None]
) -> Scores:
    """Collect the scores of evaluated images, and call `use` with each image."""
    scores = Scores(available)
    for result in results:
        if result is not None:
            use(result)
            scores.images.append(result.score)
    return scores
