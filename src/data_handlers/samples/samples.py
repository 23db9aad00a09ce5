"""The dataset of PyTorch: the images of a source, cropped, augmented and scaled as a `View` says."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from src.data_handlers.datasets.base import Box, CropSource, DrawnSource, Image, Source, place_of
from src.data_handlers.datasets.noise import add_noise
from src.data_handlers.samples.levels import scaled
from src.data_handlers.samples.used import UsedImages
from src.data_handlers.samples.view import View
from src.util.errors import ConfigError, DataError
from src.util.images.formats.holes import without_nan
from src.util.images.io import ImageInfo, as_channels, to_float
from src.util.images.value_range import DataRange, NanRule, data_range_of
from src.util.seed import derive_seed, make_generator, numpy_generator

CACHE_BYTES = 128 * 2**20
"""Bytes of decoded images that each process may keep, so that images of small sets are decoded once."""

LARGE = 32
"""An image with the area of more crops than this is large: decoding dominates the time to load a crop."""

EPOCH_CROPS = 2_880
"""Minimum number of crops in an epoch if `repeat_times` is None."""

Sample = dict[str, Any]


class Samples(Dataset[Sample]):
    """The samples of a dataset. A sample depends only on the images and on (seed, epoch, index).

    Parameters
    ----------
    source : Source
        The images.
    view : View
        Crop, augmentations, noise, and number of images and crops.
    channels : int
        `in_channels` of the network. For 3 channels, a grey image is repeated.
    seed : int
        Seed of the run.
    training : bool
        Random crops, flips and rotations if True; otherwise each image once, the same in each epoch.
    data_range : "auto" or float
        The option `data_range`, see `src.util.images.value_range`.
    nan : "stop" or "keep"
        Whether NaN raises an error, or marks a missing value.

    Attributes
    ----------
    data_range : float
        Data range of most images, after `check_images`.

    Raises
    ------
    DataError
        When the source has no image, or fewer than `n_data`.
    ConfigError
        When generated images have a cache, or camera noise has neither 1 nor 3 channels.

    Examples
    --------
    >>> from src.data_handlers.datasets.demo import Demo
    >>> from src.data_handlers.samples.checks import check_images
    >>> samples = Samples(Demo(), View(crop_size=64), channels=3, seed=0, training=True)
    >>> check_images(samples)
    3
    >>> samples[1, 0]["noisy"].shape  # the first sample of epoch 1
    torch.Size([3, 64, 64])
    """

    def __init__(
        self, source: Source, view: View, *, channels: int, seed: int, training: bool,
        data_range: DataRange = "auto", nan: NanRule = "stop",
    ) -> None:  # fmt: skip
        if not len(source):
            raise DataError(f"{source.where}: no images in it")
        if view.n_data is not None and view.n_data > len(source):
            raise DataError(f"n_data: {view.n_data} images asked for, {source.where} has {len(source)}")
        if view.cache is not None and isinstance(source, DrawnSource):
            raise ConfigError(
                f"cache: {source.where} change with each epoch, `{view.cache}` would keep those of the first;"
                " remove this key"
            )
        if view.noise is not None and view.noise.camera is not None and channels not in (1, 3):
            raise ConfigError(f"add_noise.camera: expected in_channels to be 1 or 3, got {channels}")
        self.view = view
        self.channels = channels
        self.seed = seed
        self.training = training
        self.data_range_option: DataRange = data_range
        self.nan: NanRule = nan
        self.data_range = data_range_of("uint8", data_range)
        self.used = UsedImages(source, view.n_data or len(source), skip=view.unreadable == "skip")
        self.to_tensor: Callable[[np.ndarray], Tensor] = to_float
        self._cache: dict[int, tuple[int, Image]] = {}
        self._cached_bytes = 0
        self._latest: tuple[int, int, Image] | None = None

    @property
    def source(self) -> Source:
        """The source of the images."""
        return self.used.source

    @property
    def images(self) -> int:
        """Number of images in use: those of the source, less those left out by `n_data` and `unreadable`."""
        return len(self.used)

    def __len__(self) -> int:
        if not self.training:
            return self.images
        return self.images * (self.view.repeat_times or math.ceil(EPOCH_CROPS / self.images))

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return a sample.

        Parameters
        ----------
        key : (int, int)
            Epoch and index of the sample. The epoch has no effect in validation and test.

        Returns
        -------
        dict
            - `noisy`, and `clean` if known: Tensor of float32 (C, H, W), data range 1. Simulated noise may
              exceed [0, 1].
            - `index`: int; `name`: str.
            - `dtype`: str and `data_range`: float of the file, in validation and test.
            - `missing`: Tensor of bool (1, H, W), in training with `nan="keep"`. True where a channel was
              NaN; `noisy` is filled in there. In validation and test, `noisy` keeps NaN.
            - `lost`: `Lost`, if an image could not be read. In training, the sample then shows another
              image. In validation and test, it has no `noisy`.

        Raises
        ------
        DataError
            When the image cannot be read and `unreadable` is `stop`, or when no image can be read.
        """
        epoch, index = key
        image, lost = self.used.read(index, lambda n: self._read_crop(n, epoch, index), others=self.training)
        if image is None:
            return {"index": index, "name": self.used.all_names()[index], "lost": lost}
        if self.training:
            image = self.view.augment(image, self.seed, epoch, index)
        missing = None
        if self.training and self.nan == "keep":
            missing = np.isnan(image.noisy).any(axis=2)
            image = replace(image, noisy=without_nan(image.noisy)[0])
        sample: Sample = {"noisy": self.to_tensor(image.noisy), "index": index, "name": image.name}
        sample |= {} if missing is None else {"missing": torch.from_numpy(missing[np.newaxis])}
        sample |= {"lost": lost} if lost else {}
        if not self.training:
            sample |= {"dtype": image.dtype, "data_range": image.data_range}
        if image.clean is not None:
            sample["clean"] = self.to_tensor(image.clean)
        return sample

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}, "_cached_bytes": 0, "_latest": None}

    def _read_crop(self, number: int, epoch: int, index: int) -> Image:
        if isinstance(self.source, CropSource) and self.view.noise is None:
            info = self.source.inspect(number)
            box = self._box(number, (info.height, info.width), epoch, index)
            part = scaled(self.source.read_crop(number, box), self.data_range_option, self.nan)
            return part.map(lambda values: as_channels(values, self.channels))
        image = self._prepared(epoch if self.training else 0, number)
        return image.crop(self._box(number, image.shape, epoch, index))

    def _box(self, number: int, shape: tuple[int, int], epoch: int, index: int) -> Box:
        if line := self.too_small(number, shape):  # the file has changed since `check_images`
            raise DataError(line)
        if self.training:
            return self.view.random_box(shape, self.seed, epoch, index)
        return self.view.central_box(shape)

    def _prepared(self, epoch: int, number: int) -> Image:
        """Return a whole image with noise and the channels of the network, cached while there is space.

        The latest image is always kept, so that consecutive crops of it need one decoding.
        """
        drawn = isinstance(self.source, DrawnSource)
        draw = epoch if drawn or (self.view.noise is not None and not self.view.noise.fixed) else 0
        if self._latest is not None and self._latest[:2] == (number, draw):
            return self._latest[2]
        kept_draw, image = self._cache.get(number, (None, None))
        if image is not None and kept_draw == draw:
            return image
        plain = scaled(self._read(draw, number), self.data_range_option, self.nan)
        prepared = self._with_noise(plain, draw, number)
        prepared = prepared.map(lambda values: as_channels(values, self.channels))
        size = prepared.nbytes - (image.nbytes if image else 0)
        if not drawn and self._cached_bytes + size <= CACHE_BYTES:
            self._cache[number] = (draw, prepared)
            self._cached_bytes += size
        self._latest = number, draw, prepared
        return prepared

    def _read(self, draw: int, number: int) -> Image:
        if isinstance(self.source, DrawnSource):
            seed = derive_seed(self.seed, "picture", draw, number)
            return self.source.draw(number, numpy_generator(seed))
        return self.source.read(number)

    def _with_noise(self, image: Image, draw: int, number: int) -> Image:
        if self.view.noise is None:
            return image
        clean = image.noisy if image.clean is None else image.clean
        generator = make_generator(self.seed, "noise", draw, number)
        filled, holes = without_nan(clean)
        noisy = add_noise(to_float(filled), self.view.noise, generator).permute(1, 2, 0).numpy()
        return replace(image, noisy=noisy if holes is None else holes.put_into(noisy), clean=clean)

    def too_small(self, number: int, shape: tuple[int, int]) -> str | None:
        """Return why an image is too small for a training crop, or None."""
        crop = self.view.crop
        if crop is None or not self.training or (shape[0] >= crop[0] and shape[1] >= crop[1]):
            return None
        size = f"{shape[0]}x{shape[1]}"
        return f"{self.place(number)}: {size} px are less than crop_size {crop[0]}x{crop[1]}"

    def decoding_dominates(self, infos: dict[int, ImageInfo]) -> bool:
        """Return whether most of the time to load a training crop is spent on decoding."""
        crop, view = self.view.crop, self.view
        if crop is None or not self.training or isinstance(self.source, CropSource):
            return False
        if view.crops_at_a_time > 1 or view.cache is not None:
            return False
        pixels = sum(info.height * info.width for info in infos.values())
        fits = pixels * self.channels <= CACHE_BYTES
        return not fits and pixels > LARGE * crop[0] * crop[1] * len(infos)

    def place(self, number: int) -> str:
        """Return the source and name of an image, for messages."""
        return place_of(self.source.where, self.source.name(number))
