"""Scores of a network on whole images: against the clean ones, or without them by the masked loss."""

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
    """How a metric is called in a table, where {} is the rounding of its images, and in a line."""

    title: str
    brief: str


METRICS = {
    "psnr": Metric("PSNR (dB), {}", "PSNR {:.2f} dB"),
    "ssim": Metric("SSIM, 7x7 uniform window, {}", "SSIM {:.4f}"),
    "loss": Metric("masked loss, mean of hidden values that stay the same", "masked loss {:.6g}"),
}
"""Name in the code and in tables -> the metric."""

MOST_AT_ONCE = 8
SMALL_TOGETHER = 24_000_000
"""Values of the images in work where more than `AT_ONCE` are: eight of 1 MP with 3 channels."""

BETTER = {"psnr": max, "ssim": max, "loss": min}


@dataclass(frozen=True)
class ImageScore:
    """One image's metrics: `psnr` (dB) and `ssim` against the clean image, else `loss`.

    `checksum` is of the values of the noisy and the clean image: whether two scores are of the same.
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
        Images the dataset holds, of which `n_data` may have left some out.
    """

    available: int
    images: list[ImageScore] = field(default_factory=list)

    def means(self) -> dict[str, float]:
        """Mean of each metric over the images that have it (see `mean_score` for what is left out)."""
        return {name: score.mean for name, score in self._mean_scores().items() if score.used}

    def _mean_scores(self) -> dict[str, MeanScore]:
        names = dict.fromkeys(name for image in self.images for name in image.metrics)
        found = {n: mean_score(p.metrics.get(n, math.nan) for p in self.images) for n in names}
        return {name: score for name, score in found.items() if score.used or score.identical}

    def rounding(self) -> str:
        """How the images were rounded, in words."""
        return "; ".join(dict.fromkeys(image.rounding for image in self.images))

    def line(self) -> str:
        """The means, with what a reader must know to compare them."""
        means = self._mean_scores()
        brief = [METRICS[name].brief.format(score.mean) + score.of for name, score in means.items()]
        figures = ", ".join(brief) or "no score"
        how = "" if "psnr" not in means else f"{self.rounding()}, SSIM of 7x7 uniform windows, "
        return f"{figures} ({how}{count_words(len(self.images), self.available)})"


def count_words(count: int, available: int) -> str:
    """Of how many images a score is; loud if not of all."""
    return f"all {available} images" if count == available else f"ONLY {count} OF {available} IMAGES"


@dataclass(frozen=True)
class Evaluated:
    """An image after evaluation: tensors (C, H, W) in [0, 1] on the CPU, and its score.

    NaN is a value that there is none of; `denoised` has it where `noisy` has.
    """

    index: int
    noisy: Tensor
    denoised: Tensor
    clean: Tensor | None
    score: ImageScore

    @property
    def is_blank(self) -> bool:
        """Whether the result is nearly constant, but not the image."""
        return is_blank(as_array(filled_in(self.noisy)), as_array(filled_in(self.denoised)))

    @property
    def is_all_nan(self) -> bool:
        """Whether there is nothing to be denoised."""
        return bool(self.noisy.isnan().all())

    def save(self, folder: Path) -> None:
        """Write its images into the folder of a validation or a test; see `save_images`."""
        psnr = self.score.metrics.get("psnr")
        save_images(folder, self.index, self.noisy, self.denoised, self.clean, psnr)

    def to_plain(self, shown: bool) -> tuple[Any, ...]:
        """As plain types and tensors, for another process; the images only if they are to be shown."""
        none = torch.empty(0)
        images = (self.noisy, self.denoised, self.clean) if shown else (none, none, None)
        score = self.score
        return self.index, *images, score.name, score.metrics, score.rounding, score.checksum

    @classmethod
    def from_plain(cls, plain: tuple[Any, ...]) -> "Evaluated":
        """From another process."""
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
    """Denoise and score images; some are scored while the next one is denoised.

    Parameters
    ----------
    network : Network
        Left in the mode (training or not) it was in; called in this thread.
    images : iterable of dict
        Batches of one, of `src.data_handlers.loading.sampling.build_loader`.
    masked_loss : MaskedLoss or None
        Scores an image without a clean one; None leaves it without a score.
    then : callable, optional
        Called with each image before it is yielded, in other threads: writes it, for example.
    held : int, optional
        Images that are in work at once; more than two only where they are small (`SMALL_TOGETHER`).
        None = two on a CPU, which the network has busy, else up to eight: a GPU denoises a small image in
        less time than one core takes for its score.
    finish : Finish
        What is given back after the network.
    whole : WholeImage, optional
        How the network is used on an image; None = as it is. The masked loss is the network's always.

    Yields
    ------
    Evaluated or None
        In the order of the dataset; None for an image that was lost.
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
    denoised = here(lambda: whole.denoise(seen, name), last=by_loss is None)
    dtype, data_range = batch.get("dtype", ["uint8"])[0], float(batch.get("data_range", [255])[0])
    if finish.changes:
        denoised = finish.tensor(seen, denoised, 0.0 if dtype.startswith("float") else 1 / data_range)
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
    """PSNR and SSIM of two images, both as they would be stored.

    Parameters
    ----------
    clean, other : Tensor
        (C, H, W), data range 1; where one is NaN, neither is counted.
    dtype, white
        Of the file, see `from_float`; 8 bits are clipped to [0, 255].
    span : (float, float)
        What `other` is clipped to in a file of another type, of data range 1.

    Returns
    -------
    dict
        `psnr` in dB, `ssim`; NaN where nothing is counted.
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
    """How `compare` rounds, in words."""
    if (dtype, data_range) == ("uint8", 255):
        return "rounded to 8 bits"
    return (
        f"{'not rounded' if dtype.startswith('float') else f'rounded to {dtype}'}, data range {data_range:g}"
    )


def score_all(
    results: Iterable[Evaluated | None], available: int, use: Callable[[Evaluated], None]
) -> Scores:
    """Collect the scores of evaluated images, handing each to `use` on the way."""
    scores = Scores(available)
    for result in results:
        if result is not None:
            use(result)
            scores.images.append(result.score)
    return scores
