"""Training data that adapts a network to some images: their targets, and clean images with their noise.

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
from src.util.images.shrink import half_size

LIST = "targets.json"
_STRENGTH_SPREAD = 0.15
_SHARPER = 0.5
"""Share of the targets' crops at half their size: denoised images are less sharp than clean ones."""


class Target(NamedTuple):
    """An image, or a part of it, and the output that the network must learn for it.

    Attributes
    ----------
    name : str
        Name of the image.
    noisy : ndarray of float32 or uint8, shape (H, W, C)
        Data range 1 or 255, memory-mapped.
    target : ndarray of float32, shape (H, W, C)
        Data range 1, memory-mapped.
    """

    name: str
    noisy: np.ndarray
    target: np.ndarray

    @property
    def removed(self) -> float:
        """Standard deviation of noisy image less target, data range 1."""
        return float(np.std(_as_float(self.noisy) - self.target))


@dataclass(frozen=True)
class Targets:
    """Content of a folder of targets.

    Attributes
    ----------
    images : list of Target
        At least one.
    noises : list of MeasuredNoise or None
        The noise of each image; None if it could not be measured.
    noise_ratio : float or None
        Variance of the noise in flat places over that of what the network removed; None if it could not be
        measured.
    """

    images: list[Target]
    noises: list[MeasuredNoise] | None
    noise_ratio: float | None = None


def target_files(number: int) -> tuple[str, str]:
    """Return the file names of a noisy image and of its target."""
    return f"{number:05d}_noisy.npy", f"{number:05d}_target.npy"


def noise_file(number: int) -> str:
    """Return the file name of the measured noise of an image."""
    return f"{number:05d}_noise.npz"


def open_targets(folder: Path) -> Targets:
    """Open a folder of targets.

    Raises
    ------
    DataError
        When a file is missing or damaged.
    """
    listed = json.loads((folder / LIST).read_text(encoding="utf-8"))
    for name, sha256 in listed["files"].items():
        try:
            intact = hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        except OSError:
            intact = False
        if not intact:
            raise DataError(f"{folder / name}: missing or damaged; -r makes the targets again")
    images = [
        Target(name, *(np.load(folder / file, mmap_mode="r") for file in target_files(number)))
        for number, name in enumerate(listed["images"])
    ]
    noises = None
    if listed["measured"]:
        noises = [_load_noise(folder / noise_file(number)) for number in range(len(images))]
    return Targets(images, noises, listed["noise_ratio"])


def _load_noise(path: Path) -> MeasuredNoise:
    with open(path, "rb") as file:
        return load_measured_noise(file)


class Shares(NamedTuple):
    """Share of each kind of crop. The rest, up to 1, are generated images with measured noise.

    `half` is the largest share of all kinds at half the size of the images. With noise of standard deviation
    s at that size (data range 1) it is `half` * s^2 / (s^2 + `coarse`^2), as the finish weighs smaller sizes.
    """

    real: float
    own: float
    half: float = 0.0
    coarse: float = 0.0


class Adapted(DrawnSource):
    """Crops with real noise, with measured noise on the targets, and with measured noise on generated images.

    Parameters
    ----------
    targets : Targets
        Targets of the images that the network is adapted to.
    count : int
        Crops in an epoch; each epoch has new ones.
    size : int
        Edge of a crop in px, at most that of the smallest image.
    shares : Shares
        Shares of the kinds of crops.

    Notes
    -----
    A crop of an image with neither 1 nor 3 channels has one channel, because such images are denoised
    channel by channel. Images smaller than two crops are not drawn at half the size.
    """

    def __init__(self, targets: Targets, count: int, size: int, shares: Shares) -> None:
        self.where = "adaptation"
        self._targets = targets
        self._count = count
        self._size = size
        self._shares = shares

    def __len__(self) -> int:
        return self._count

    def name(self, number: int) -> str:
        """Return a name with the number, such as `crop 12`."""
        return f"crop {number}"

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels without drawing the crop."""
        channels = self._targets.images[0].noisy.shape[2]
        return ImageInfo(self._size, self._size, channels if channels in (1, 3) else 1, dtype="float32")

    def draw(self, number: int, rng: np.random.Generator) -> Image:
        """Draw a noisy crop and its target."""
        kind = rng.random()
        which = int(rng.integers(len(self._targets.images)))
        image = self._targets.images[which]
        count = image.noisy.shape[2]
        channels = list(range(count)) if count in (1, 3) else [int(rng.integers(count))]
        noise = None if self._targets.noises is None else self._targets.noises[which]
        half = noise is not None and self._is_at_half(image, channels, noise.gamma, rng)
        size = 2 * self._size if half else self._size
        if noise is None or kind < self._shares.real:
            noisy, clean = self._crop(image, channels, size, rng)
        else:
            if kind < self._shares.real + self._shares.own:
                clean = self._own(image, channels, noise.gamma, size, rng)
            else:
                clean = self._generate(len(channels), size, rng)
            strength = float(np.exp(rng.normal(0, _STRENGTH_SPREAD)))
            noisy = noise.of_channels(channels).added_to(clean, strength, rng)
        if noise is not None and half:
            noisy, clean = (half_size(values, noise.gamma) for values in (noisy, clean))
        return Image(self.name(number), noisy, clean, dtype="float32")

    def _own(
        self, image: Target, channels: list[int], gamma: float, size: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Draw a crop of a target, or of the target at half its size, which is sharper."""
        sharper = rng.random() < _SHARPER and min(image.noisy.shape[:2]) >= 2 * size
        _, clean = self._crop(image, channels, 2 * size if sharper else size, rng)
        clean = clean.clip(0, 1)
        return half_size(clean, gamma) if sharper else clean

    def _is_at_half(self, image: Target, channels: list[int], gamma: float, rng: np.random.Generator) -> bool:
        """Draw whether a crop is at half the size, from the noise of a part of the image at that size."""
        if rng.random() >= self._shares.half or min(image.noisy.shape[:2]) < 2 * self._size:
            return False
        crop = self._crop(image, channels, 2 * self._size, rng)
        noisy, clean = (half_size(values, gamma) for values in crop)
        variance = float(((noisy - clean) ** 2).mean())
        return rng.random() * (variance + self._shares.coarse**2) < variance

    def _crop(
        self, image: Target, channels: list[int], size: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        top, left = (int(rng.integers(length - size + 1)) for length in image.noisy.shape[:2])
        place = slice(top, top + size), slice(left, left + size), channels
        return _as_float(image.noisy[place]), np.asarray(image.target[place])

    def _generate(self, channels: int, size: int, rng: np.random.Generator) -> np.ndarray:
        image = Generated(count=1, size=size).draw(0, rng).noisy.astype(np.float32) / 255
        return image if channels == 3 else image.mean(axis=2, keepdims=True)


def _as_float(noisy: np.ndarray) -> np.ndarray:
    """Return values of data range 1; uint8 has 255."""
    values = np.asarray(noisy)
    return values.astype(np.float32) / np.float32(255) if values.dtype == np.uint8 else values
