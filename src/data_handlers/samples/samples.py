"""From images to the network's input: a source seen through a view."""

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
from src.data_handlers.samples.first_look import look_at_all
from src.data_handlers.samples.levels import scaled
from src.data_handlers.samples.used import UsedImages
from src.data_handlers.samples.view import View
from src.util.errors import ConfigError, DataError
from src.util.images.formats.holes import without_nan
from src.util.images.io import (
    ImageInfo,
    as_channels,
    to_float,
)
from src.util.images.value_range import DataRange, NanRule, data_range_of
from src.util.seed import derive_seed, make_generator, numpy_generator

CACHE_BYTES = 128 * 2**20
"""Decoded images that each process may keep: small sets are read once, not once for each crop."""

LARGE = 32
"""An image of more crops than that is large: decoding it takes longer than all else for a crop."""

EPOCH_CROPS = 2_880
"""Crops in an epoch, at least, where the number of crops of each image is left open."""

Sample = dict[str, Any]


class Samples(Dataset[Sample]):
    """The samples of a dataset; each is a function of (seed, epoch, index) and nothing else.

    Parameters
    ----------
    source : Source
        The images.
    view : View
        Crop, augmentation, noise, and how many.
    channels : int
        The network's `in_channels`; grey images become three equal channels for a network of three.
    seed : int
        The run's seed.
    training : bool
        Random crops, flips and turns, or each image once and always alike.
    data_range : "auto" or float
        The data range, see `src.util.images.value_range`.
    nan : "stop" or "keep"
        Whether NaN is refused, or a value that there is none of.

    Raises
    ------
    DataError
        When the source has no image, or fewer than `n_data`.
    ConfigError
        When images that are drawn anew are to be cached, or noise of cameras has other channels than they.

    Examples
    --------
    >>> from src.data_handlers.datasets.demo import Demo
    >>> samples = Samples(Demo(), View(crop_size=64), channels=3, seed=0, training=True)
    >>> samples.check()
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
                f"cache: {source.where} are new ones in each epoch, and {view.cache} would keep the first"
                " epoch's; leave it out"
            )
        if view.noise is not None and view.noise.camera is not None and channels not in (1, 3):
            raise ConfigError(f"add_noise.camera: expected in_channels to be 1 or 3, got {channels}")
        self.view = view
        self.channels = channels
        self.seed = seed
        self.training = training
        self.rule: DataRange = data_range
        self.nan: NanRule = nan
        self.data_range = data_range_of(
            "uint8", data_range
        )  # of most images, once `check` has looked at them
        self.used = UsedImages(source, view.n_data or len(source), skip=view.unreadable == "skip")
        self.to_tensor: Callable[[np.ndarray], Tensor] = to_float
        self._cache: dict[int, tuple[int, Image]] = {}
        self._cached_bytes = 0
        self._latest: tuple[int, int, Image] | None = None

    @property
    def source(self) -> Source:
        """Where the images come from."""
        return self.used.source

    @property
    def images(self) -> int:
        """How many images are used; of those of the source `n_data` and `unreadable` may leave some out."""
        return len(self.used)

    def __len__(self) -> int:
        if not self.training:
            return self.images
        return self.images * (self.view.repeat_times or math.ceil(EPOCH_CROPS / self.images))

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """One sample.

        Parameters
        ----------
        key : (int, int)
            Epoch, and index of the sample; the epoch changes nothing in validation and test.

        Returns
        -------
        dict
            `noisy` and, where it is known, `clean`: Tensors of float32 (C, H, W), data range 1 (simulated
            noise may leave [0, 1]); `index`: int; `name`: str; in validation and test `dtype`: str and
            `data_range`: float, of the image's file. Where NaN is kept, training has `missing`, a Tensor of
            bool (1, H, W): any channel was NaN there, and `noisy` is filled in; validation and test have NaN.
            `lost`, if any: see `UsedImages.read`; another image is shown then, in validation and test
            none: there is no `noisy`.

        Raises
        ------
        DataError
            When the image cannot be read and `unreadable` is `stop`; when no other can either.
        """
        epoch, index = key
        image, lost = self.used.read(index, lambda n: self._cut_out(n, epoch, index), others=self.training)
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

    def _cut_out(self, number: int, epoch: int, index: int) -> Image:
        """What of an image the sample shows."""
        if isinstance(self.source, CropSource) and self.view.noise is None:
            info = self.source.inspect(number)
            box = self._box(number, (info.height, info.width), epoch, index)
            part = scaled(self.source.read_crop(number, box), self.rule, self.nan)
            return part.map(lambda values: as_channels(values, self.channels))
        image = self._prepared(epoch if self.training else 0, number)
        return image.crop(self._box(number, image.shape, epoch, index))

    def _box(self, number: int, shape: tuple[int, int], epoch: int, index: int) -> Box:
        if line := self.too_small(number, shape):  # replaced since `check`
            raise DataError(line)
        if self.training:
            return self.view.random_box(shape, self.seed, epoch, index)
        return self.view.central_box(shape)

    def _prepared(self, epoch: int, number: int) -> Image:
        """A whole image with its noise and the network's channels; kept while there is room.

        The latest is kept in any case, so that crops that follow each other cost one decoding.
        """
        drawn = isinstance(self.source, DrawnSource)
        draw = epoch if drawn or (self.view.noise is not None and not self.view.noise.fixed) else 0
        if self._latest is not None and self._latest[:2] == (number, draw):
            return self._latest[2]
        kept_draw, image = self._cache.get(number, (None, None))
        if image is not None and kept_draw == draw:
            return image
        known = scaled(self._read(draw, number), self.rule, self.nan)
        fresh = self._with_noise(known, draw, number)
        fresh = fresh.map(lambda values: as_channels(values, self.channels))
        size = fresh.nbytes - (image.nbytes if image else 0)
        if not drawn and self._cached_bytes + size <= CACHE_BYTES:
            self._cache[number] = (draw, fresh)
            self._cached_bytes += size
        self._latest = number, draw, fresh
        return fresh

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
        whole, holes = without_nan(clean)
        noisy = add_noise(to_float(whole), self.view.noise, generator).permute(1, 2, 0).numpy()
        return replace(image, noisy=noisy if holes is None else holes.put_into(noisy), clean=clean)

    def check(self, batch_size: int = 1) -> int:
        """Look at every image's header before the first step, and tell what will be adapted.

        Parameters
        ----------
        batch_size : int
            Images that are stacked, and so must come out in one size.

        Returns
        -------
        int
            Channels of the images themselves: 3 if any is in colour, otherwise 1.

        Raises
        ------
        DataError
            One line for every image that is damaged, of the wrong kind, or smaller than the crop.
        """
        return look_at_all(self, batch_size)

    def too_small(self, number: int, shape: tuple[int, int]) -> str | None:
        """Why an image gives no training crop, or None."""
        crop = self.view.crop
        if crop is None or not self.training or (shape[0] >= crop[0] and shape[1] >= crop[1]):
            return None
        size = f"{shape[0]}x{shape[1]}"
        return f"{self.place(number)}: {size} px are less than crop_size {crop[0]}x{crop[1]}"

    def decodes_much(self, infos: dict[int, ImageInfo]) -> bool:
        """Whether decoding, not cutting and turning, is what loading a training crop costs."""
        crop, view = self.view.crop, self.view
        if (
            crop is None
            or not self.training
            or isinstance(self.source, CropSource)
            or view.crops_at_a_time > 1
            or view.cache is not None
        ):
            return False
        pixels = sum(info.height * info.width for info in infos.values())
        fits = pixels * self.channels <= CACHE_BYTES
        return not fits and pixels > LARGE * crop[0] * crop[1] * len(infos)

    def place(self, number: int) -> str:
        """Where an image of the source is, for messages."""
        return place_of(self.source.where, self.source.name(number))
