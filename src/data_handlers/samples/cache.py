"""A cache of decoded images, shared by all workers: in memory, or on disk for all runs."""

import hashlib
import os
import re
import shutil
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import cv2
import filelock
import numpy as np

from src.data_handlers.datasets.base import Box, CropSource, Image, Source
from src.data_handlers.samples.packed import KEY_BYTES, ForeignFileError, Pack, PackError, PackWriter
from src.data_handlers.samples.view import View
from src.util.atomic_file import write_atomically
from src.util.errors import ConfigError, DataError, StorageError
from src.util.images.folder import raise_together
from src.util.images.io import ImageInfo, ImageWarning
from src.util.logger import LOG, progress_bar
from src.util.memory import available_memory

DISK_SHARE, MEMORY_SHARE = 0.9, 0.5
"""Share of the free disk space and of the free memory that a cache may use."""
DECODER_VERSION = 3
"""Increase it when the decoded values of an image change: it invalidates existing caches."""


def cached(source: Source, numbers: Sequence[int], view: View, jobs: int) -> Source:
    """Decode images in advance.

    Parameters
    ----------
    source : Source
        The images.
    numbers : sequence of int
        The images to decode.
    view : View
        Its `cache` and `cache_folder` choose the place.
    jobs : int
        Number of decoding threads, at least 1.

    Returns
    -------
    Source
        A `CropSource` of the same images; or `source` itself, with a warning, if there is too little space
        or the folder cannot be written.

    Raises
    ------
    DataError
        When images cannot be decoded, one line for each. With `unreadable: skip` they are left to `source`.
    ConfigError
        When `cache_folder` is inside the folder of the images.
    """
    if isinstance(source, Cached) or view.cache is None:
        return source
    build = _in_memory if view.cache == "ram" else _on_disk
    try:
        pack = build(_Contents(source, numbers, view, max(1, jobs)))
    # A disk without file locks raises NotImplementedError.
    except (PackError, StorageError, OSError, NotImplementedError) as error:
        LOG.warning("cache: %s is not used, images are decoded for each crop: %s", view.cache, error)
        return source
    return Cached(source, pack)


class Cached(CropSource):
    """A source with decoded images.

    Parameters
    ----------
    source : Source
        All images; it reads those that are not in the pack.
    pack : Pack
        Decoded images.
    """

    def __init__(self, source: Source, pack: Pack) -> None:
        self.where = source.where
        self._source = source
        self._pack = pack

    def __len__(self) -> int:
        return len(self._source)

    def name(self, number: int) -> str:
        """Return the name of the image."""
        return self._source.name(number)

    def origin(self, number: int) -> tuple[str, ...]:
        """Return the origin of the image; see `Source`."""
        return self._source.origin(number)

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels."""
        if number not in self._pack:
            return self._source.inspect(number)
        noisy, _ = self._pack.read(number)
        height, width, channels = noisy.shape
        data_range, _ = self._pack.data_ranges(number)
        return ImageInfo(height, width, channels, dtype=noisy.dtype.name, data_range=data_range)

    def read(self, number: int) -> Image:
        """Return the whole image, memory-mapped."""
        if number not in self._pack:
            return self._source.read(number)
        data_range, clean_data_range = self._pack.data_ranges(number)
        return Image(
            self.name(number), *self._pack.read(number),
            data_range=data_range, clean_data_range=clean_data_range,
        )  # fmt: skip

    def read_crop(self, number: int, box: Box) -> Image:
        """Return a part of the image, memory-mapped."""
        return self.read(number).crop(box)


class _Contents:
    """The images that a cache must hold; see `cached`."""

    def __init__(self, source: Source, numbers: Sequence[int], view: View, jobs: int) -> None:
        self.source = source
        self.numbers = numbers
        self.view = view
        self.jobs = jobs
        origins = [source.origin(number) for number in numbers]
        # Another version of OpenCV may decode a JPEG differently.
        self.key = _digest(DECODER_VERSION, cv2.__version__, len(source), *zip(numbers, origins, strict=True))
        # The name does not depend on the content, so that a new cache replaces an outdated one.
        place = os.path.abspath(source.where)
        suffix = _digest(place, view.n_data, len(origins[0])).hex()
        self.name = re.sub(r"[^a-zA-Z0-9_.-]", "_", Path(place).name)[:80] + f"-{suffix}.pictures"
        self._arrays_per_image = len(origins[0])

    def nbytes(self) -> int:
        """Return the size of all decoded images."""
        infos = map(self.source.inspect, self.numbers)
        return self._arrays_per_image * sum(
            i.height * i.width * i.channels * np.dtype(i.dtype).itemsize for i in infos
        )

    def write(self, file: BinaryIO) -> None:
        """Decode all images into a file, as `PackWriter`."""
        writer = PackWriter(file, len(self.source))
        problems = []
        with progress_bar(len(self.numbers), "image") as bar, warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)  # `check_images` has reported them
            for number, image in zip(self.numbers, self._decoded(), strict=True):
                if isinstance(image, DataError):
                    problems.append(str(image))
                else:
                    data_ranges = image.data_range, image.clean_data_range
                    writer.add(number, image.noisy, image.clean, data_ranges)
                bar.update()
        if self.view.unreadable == "stop":
            raise_together(problems)
        writer.finish(self.key)

    def _decoded(self) -> Iterator[Image | DataError]:
        """Decode the images in order, with about one image per thread in memory."""
        with ThreadPoolExecutor(self.jobs) as pool:
            ahead: deque[Future[Image | DataError]] = deque()
            for number in self.numbers:
                ahead.append(pool.submit(self._decode, number))
                if len(ahead) > self.jobs:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _decode(self, number: int) -> Image | DataError:
        try:
            return self.source.read(number)
        except DataError as error:
            return error

    def problem(self, pack: Pack) -> str:
        """Return why a pack is not a valid cache of these images, or "". It verifies all checksums."""
        if pack.key != self.key:
            return "holds other images, or they have changed since"
        with progress_bar(len(self.numbers), "image") as bar, ThreadPoolExecutor(self.jobs) as pool:
            for number, intact in zip(self.numbers, pool.map(pack.is_intact, self.numbers), strict=True):
                bar.update()
                if not intact:
                    pool.shutdown(cancel_futures=True)
                    return f"is damaged: {self.source.name(number)}"
        return ""


def _in_memory(contents: _Contents) -> Pack:
    if not hasattr(os, "memfd_create"):
        raise PackError("this system has no anonymous shared memory; set `cache: disk`")
    _require_space(contents, available_memory() * MEMORY_SHARE, "memory")
    with open(os.memfd_create("pictures"), "w+b") as file:
        contents.write(file)
        pack = Pack(Path(f"/proc/self/fd/{file.fileno()}"))
    LOG.info("cache: %d images, %s in memory", len(contents.numbers), _size(pack.nbytes))
    return pack


def _on_disk(contents: _Contents) -> Pack:
    path = _folder_of(contents) / contents.name
    pack, _ = _open_valid(path, contents)
    if pack is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            pack, problem = _open_valid(path, contents)  # another run may have written it in the meantime
            if problem:
                LOG.warning("cache: %s %s; it is built again", path, problem)
            pack = pack or _build(path, contents)
    LOG.info("cache: %d images, %s in %s", len(contents.numbers), _size(pack.nbytes), path)
    return pack


def _folder_of(contents: _Contents) -> Path:
    if contents.view.cache_folder is None:
        try:
            return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nl-n2v"
        except RuntimeError:
            raise PackError("this user has no home folder; set cache_folder") from None
    folder = Path(contents.view.cache_folder)
    images = Path(contents.source.where).resolve()
    if images in (folder.resolve(), *folder.resolve().parents):
        raise ConfigError(f"cache_folder: {folder} is inside the folder of the images; set another one")
    return folder


def _open_valid(path: Path, contents: _Contents) -> tuple[Pack | None, str]:
    """Return the pack of an earlier run, if it exists and is valid, or the reason why it is not valid."""
    try:
        pack = Pack(path)
    except FileNotFoundError:
        return None, ""
    except ForeignFileError as error:
        raise PackError(f"{path} {error}; move it elsewhere") from None
    except PackError as error:
        return None, str(error)
    problem = contents.problem(pack)
    return (None, problem) if problem else (pack, "")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Make other runs wait while this run builds the pack."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        LOG.info("cache: waiting for another run that is building %s", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(path: Path, contents: _Contents) -> Pack:
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # of a killed run
        leftover.unlink(missing_ok=True)
    needed = _require_space(contents, shutil.disk_usage(path.parent).free * DISK_SHARE, f"disk of {path}")
    LOG.info("cache: decoding %d images into %s", len(contents.numbers), path)
    # It need not survive a power cut: the next run verifies the file.
    with write_atomically(path, durable=False, size=needed) as file:
        contents.write(file)
    return Pack(path)


def _require_space(contents: _Contents, allowed: float, where: str) -> int:
    needed = contents.nbytes()
    if needed > allowed:
        raise PackError(f"it needs {_size(needed)}, but may use only {_size(allowed)} of the {where}")
    return needed


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _digest(*parts: object) -> bytes:
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:
        digest.update(f"{part!r}\n".encode())
    return digest.digest()
