"""What a network is adapted to images by: they and their targets, and clean images under their noise.

Shape letters: H rows, W columns, C channels.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.data_handlers.datasets.base import DrawnSource, Image
from src.data_handlers.datasets.generated import Generated
from src.data_handlers.datasets.measured_noise import MeasuredNoise, load_measured_noise
from src.util.errors import DataError
from src.util.images.io import ImageInfo

LIST = "targets.json"
NOISE = "noise.npz"
_VARIED = 0.15


class Target(NamedTuple):
    """An image, or a part of it, and what a network shall make of it.

    Attributes
    ----------
    name : str
        The image's.
    noisy : ndarray of float32 or uint8, shape (H, W, C)
        data range 1, or 255. Mapped from its file, as the target.
    target : ndarray of float32, shape (H, W, C)
        data range 1.
    """

    name: str
    noisy: np.ndarray
    target: np.ndarray


@dataclass(frozen=True)
class Targets:
    """All that a folder of targets holds.

    Attributes
    ----------
    images : list of Target
        At least one.
    noise : MeasuredNoise or None
        Of these images, a strength for each; None where it could not be measured.
    """

    images: list[Target]
    noise: MeasuredNoise | None


def target_files(number: int) -> tuple[str, str]:
    """Names of the files of a noisy image and of its target."""
    return f"{number:05d}_noisy.npy", f"{number:05d}_target.npy"


def open_targets(folder: Path) -> Targets:
    """Open a folder of targets that is complete and undamaged.

    Raises
    ------
    DataError
        When it is neither.
    """
    listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
    for name, sha256 in listed["files"].items():
        try:
            whole = hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        except OSError:
            whole = False
        if not whole:
            raise DataError(f"{folder / name}: missing or damaged; -r makes the targets anew")
    images = [
        Target(name, *(np.load(folder / file, mmap_mode="r") for file in target_files(number)))
        for number, name in enumerate(listed["images"])
    ]
    noise = None
    if NOISE in listed["files"]:
        with open(folder / NOISE, "rb") as file:
            noise = load_measured_noise(file)
    return Targets(images, noise)


class Shares(NamedTuple):
    """How much of each kind is trained on; what is left of 1 are generated images under measured noise."""

    real: float
    own: float


class Adapted(DrawnSource):
    """Crops of three kinds: real noise, measured noise on the images' own targets, and on generated images.

    Parameters
    ----------
    targets : Targets
        Of the images that a network is adapted to.
    count : int
        Crops in an epoch, new ones in each.
    size : int
        Their edge, px, at most that of the smallest image.
    shares : Shares
        Of real and of own crops.

    Notes
    -----
    Images of other than 1 or 3 channels are seen channel by channel, as they will be denoised.
    """

    def __init__(self, targets: Targets, count: int, size: int, shares: Shares) -> None:
        self.where = "adaptation"
        self._targets = targets
        self._count = count
        self._size = size
        self._shares = shares
        self._generated = Generated(count=1, size=size)

    def __len__(self) -> int:
        return self._count

    def name(self, number: int) -> str:
        """Its number, such as `crop 12`."""
        return f"crop {number}"

    def inspect(self, number: int) -> ImageInfo:
        """Known without drawing it; see `Source`."""
        channels = self._targets.images[0].noisy.shape[2]
        return ImageInfo(self._size, self._size, channels if channels in (1, 3) else 1, dtype="float32")

    def draw(self, number: int, rng: np.random.Generator) -> Image:
        """A noisy crop and what is to be made of it; see `DrawnSource`."""
        noise, kind = self._targets.noise, rng.random()
        which = int(rng.integers(len(self._targets.images)))
        image = self._targets.images[which]
        channels = self._seen(image.noisy.shape[2], rng)
        noisy, clean = self._crop(image, channels, rng)
        if noise is None or kind < self._shares.real:
            return Image(self.name(number), noisy, clean, dtype="float32")
        if kind >= self._shares.real + self._shares.own:
            clean = self._made_up(len(channels), rng)
        strength = float(noise.strengths[which] * np.exp(rng.normal(0, _VARIED)))
        noisy = noise.of_channels(channels).added_to(clean.clip(0, 1), strength, rng)
        return Image(self.name(number), noisy, clean, dtype="float32")

    def _seen(self, channels: int, rng: np.random.Generator) -> list[int]:
        return list(range(channels)) if channels in (1, 3) else [int(rng.integers(channels))]

    def _crop(
        self, image: Target, channels: list[int], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        top, left = (int(rng.integers(length - self._size + 1)) for length in image.noisy.shape[:2])
        place = slice(top, top + self._size), slice(left, left + self._size), channels
        noisy = np.asarray(image.noisy[place])
        if noisy.dtype == np.uint8:
            noisy = noisy.astype(np.float32) / np.float32(255)
        return noisy, np.asarray(image.target[place])

    def _made_up(self, channels: int, rng: np.random.Generator) -> np.ndarray:
        image = self._generated.draw(0, rng).noisy.astype(np.float32) / 255
        return image if channels == 3 else image.mean(axis=2, keepdims=True)
