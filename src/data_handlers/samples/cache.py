"""Images decoded once, for all crops and workers: in memory, or on a disk for all runs."""

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

OF_FREE_DISK, OF_FREE_MEMORY = 0.9, 0.5
"""What a cache may take of the space that is free."""
READING = 3
"""Counts the ways in which this program has read images: a cache made in another way is made anew."""


def cached(source: Source, numbers: Sequence[int], view: View, jobs: int) -> Source:
    """The same images, decoded beforehand.

    Parameters
    ----------
    source : Source
        The images.
    numbers : sequence of int
        Those that are used.
    view : View
        Says where by `cache` and `cache_folder`.
    jobs : int
        Threads that decode, at least one.

    Returns
    -------
    Source
        Also a `CropSource`; the source itself, with a warning, where there is no room for all images or the
        folder cannot be written to.

    Raises
    ------
    DataError
        One line for every image that cannot be decoded. With `unreadable: skip` these are left to `source`.
    ConfigError
        When `cache_folder` is inside the images' own.
    """
    if isinstance(source, Cached) or view.cache is None:
        return source
    make = _in_memory if view.cache == "ram" else _on_disk
    try:
        pack = make(_Contents(source, numbers, view, max(1, jobs)))
    except (
        PackError,
        StorageError,
        OSError,
        NotImplementedError,
    ) as error:  # the last of a disk without locks
        LOG.warning("cache: %s is not used, images are decoded for each crop: %s", view.cache, error)
        return source
    return Cached(source, pack)


class Cached(CropSource):
    """A source of which decoded images are at hand.

    Parameters
    ----------
    source : Source
        Of all images; asked for those that are not in the pack.
    pack : Pack
        Decoded ones.
    """

    def __init__(self, source: Source, pack: Pack) -> None:
        self.where = source.where
        self._source = source
        self._pack = pack

    def __len__(self) -> int:
        return len(self._source)

    def name(self, number: int) -> str:
        """As in the source."""
        return self._source.name(number)

    def origin(self, number: int) -> tuple[str, ...]:
        """As in the source."""
        return self._source.origin(number)

    def inspect(self, number: int) -> ImageInfo:
        """Size and channels; see `Source`."""
        if number not in self._pack:
            return self._source.inspect(number)
        noisy, _ = self._pack.read(number)
        height, width, channels = noisy.shape
        data_range, _ = self._pack.data_ranges(number)
        return ImageInfo(height, width, channels, dtype=noisy.dtype.name, data_range=data_range)

    def read(self, number: int) -> Image:
        """The whole image, mapped."""
        if number not in self._pack:
            return self._source.read(number)
        data_range, clean_data_range = self._pack.data_ranges(number)
        return Image(
            self.name(number),
            *self._pack.read(number),
            data_range=data_range,
            clean_data_range=clean_data_range,
        )

    def read_crop(self, number: int, box: Box) -> Image:
        """A part of the image, mapped; nothing else is read."""
        return self.read(number).crop(box)


class _Contents:
    """What a cache is to hold; see `cached`."""

    def __init__(self, source: Source, numbers: Sequence[int], view: View, jobs: int) -> None:
        self.source = source
        self.numbers = numbers
        self.view = view
        self.jobs = jobs
        origins = [source.origin(number) for number in numbers]
        # Another OpenCV may decode a JPEG otherwise.
        self.key = _digest(READING, cv2.__version__, len(source), *zip(numbers, origins, strict=True))
        # The same when images change: then the new cache takes the place of the old one.
        place = os.path.abspath(source.where)
        kind = _digest(place, view.n_data, len(origins[0]))
        self.name = re.sub(r"[^a-zA-Z0-9_.-]", "_", Path(place).name)[:80] + f"-{kind.hex()}.pictures"
        self._partners = len(origins[0])

    def nbytes(self) -> int:
        """What all of it takes, decoded."""
        infos = map(self.source.inspect, self.numbers)
        return self._partners * sum(
            i.height * i.width * i.channels * np.dtype(i.dtype).itemsize for i in infos
        )

    def write(self, file: BinaryIO) -> None:
        """Decode all images into a file."""
        writer = PackWriter(file, len(self.source))
        problems = []
        with progress_bar(len(self.numbers), "image") as bar, warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)  # `Samples.check` has told all of it
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
        """The images in their order; no more are in memory than threads can work on."""
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

    def problem_of(self, pack: Pack) -> str:
        """Why a pack does not hold all of this, or nothing; every byte of it is looked at."""
        if pack.key != self.key:
            return "is of other images, or these have changed since"
        with progress_bar(len(self.numbers), "image") as bar, ThreadPoolExecutor(self.jobs) as pool:
            for number, sound in zip(self.numbers, pool.map(pack.is_sound, self.numbers), strict=True):
                bar.update()
                if not sound:
                    pool.shutdown(cancel_futures=True)
                    return f"is damaged: {self.source.name(number)}"
        return ""


def _in_memory(contents: _Contents) -> Pack:
    if not hasattr(os, "memfd_create"):
        raise PackError("this system has no shared memory without a name; take disk")
    _refuse_full(contents, available_memory() * OF_FREE_MEMORY, "memory")
    with open(os.memfd_create("pictures"), "w+b") as file:
        contents.write(file)
        pack = Pack(Path(f"/proc/self/fd/{file.fileno()}"))
    LOG.info("cache: %d images, %s in memory", len(contents.numbers), _size(pack.nbytes))
    return pack


def _on_disk(contents: _Contents) -> Pack:
    path = _folder_of(contents) / contents.name
    pack, _ = _kept(path, contents)
    if pack is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            pack, problem = _kept(path, contents)  # another run may have made it in the meantime
            if problem:
                LOG.warning("cache: %s %s; it is made anew", path, problem)
            pack = pack or _made(path, contents)
    LOG.info("cache: %d images, %s in %s", len(contents.numbers), _size(pack.nbytes), path)
    return pack


def _folder_of(contents: _Contents) -> Path:
    if contents.view.cache_folder is None:
        try:
            return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nl-n2v"
        except RuntimeError:
            raise PackError("this user has no home; say by cache_folder where it is to be") from None
    folder = Path(contents.view.cache_folder)
    images = Path(contents.source.where).resolve()
    if images in (folder.resolve(), *folder.resolve().parents):
        raise ConfigError(f"cache_folder: {folder} lies in the images' own folder; name another")
    return folder


def _kept(path: Path, contents: _Contents) -> tuple[Pack | None, str]:
    """The pack of an earlier run, or what is wrong with it."""
    try:
        pack = Pack(path)
    except FileNotFoundError:
        return None, ""
    except ForeignFileError as error:
        raise PackError(f"{path} {error}; move it elsewhere") from None
    except PackError as error:
        return None, str(error)
    problem = contents.problem_of(pack)
    return (None, problem) if problem else (pack, "")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """While this run makes the pack, others wait."""
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        LOG.info("cache: waiting for another run that is making %s", path)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _made(path: Path, contents: _Contents) -> Pack:
    for leftover in path.parent.glob(f".{path.name}.*.tmp"):  # of a run that was killed here
        leftover.unlink(missing_ok=True)
    needed = _refuse_full(contents, shutil.disk_usage(path.parent).free * OF_FREE_DISK, f"disk of {path}")
    LOG.info("cache: %d images are decoded into %s", len(contents.numbers), path)
    # Without waiting for the disk: a file that a power cut left is looked through like any other.
    with write_atomically(path, durable=False, size=needed) as file:
        contents.write(file)
    return Pack(path)


def _refuse_full(contents: _Contents, room: float, where: str) -> int:
    needed = contents.nbytes()
    if needed > room:
        raise PackError(f"{_size(needed)} are needed, a cache may take {_size(room)} of the {where}")
    return needed


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def _digest(*parts: object) -> bytes:
    digest = hashlib.blake2b(digest_size=KEY_BYTES)
    for part in parts:
        digest.update(f"{part!r}\n".encode())
    return digest.digest()
