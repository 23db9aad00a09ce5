"""Image files in folders, with or without clean images."""

import os
from collections import defaultdict
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from src.data_handlers.datasets.base import Image, Source, stamp
from src.util.errors import DataError
from src.util.images.folder import list_images, raise_together
from src.util.images.io import ImageInfo, count_pages, inspect_image, read_described


class ImageFiles(Source):
    """A list of image files, with or without clean images. Each page of a TIFF is an image.

    Parameters
    ----------
    folder : Path
        A common parent of the noisy files. Image names are paths relative to it.
    noisy : list of Path
        Noisy files.
    clean : list of Path, optional
        The clean file of each noisy one.
    where : str, optional
        Name of the whole set for messages; None = the folder.
    """

    def __init__(
        self, folder: Path, noisy: list[Path], clean: list[Path] | None = None, where: str | None = None
    ) -> None:
        self.where = where or str(folder)
        self._folder = folder
        self._noisy = noisy
        self._clean = clean
        self._missing_as_nan = False
        self._pages = [(file, page) for file, path in enumerate(noisy) for page in range(count_pages(path))]

    def __len__(self) -> int:
        return len(self._pages)

    def name(self, number: int) -> str:
        """Return the path relative to the folder, such as `holiday/beach.png`, and the page of a TIFF."""
        file, page = self._pages[number]
        name = self._noisy[file].relative_to(self._folder).as_posix()
        single_page = page == 0 and (file, 1) != self._pages[min(number + 1, len(self) - 1)]
        return name if single_page else f"{name}, page {page + 1}"

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels; DataError when those of the clean image differ."""
        file, page = self._pages[number]
        info = inspect_image(self._noisy[file], page)
        if self._clean is not None:
            clean = inspect_image(self._clean[file], page)
            if (clean.height, clean.width, clean.channels) != (info.height, info.width, info.channels):
                raise DataError(
                    f"{self._clean[file]}: {clean.size} px and {clean.channels} channel(s), but"
                    f" {self._noisy[file]} has {info.size} px and {info.channels}"
                )
        return info

    def read(self, number: int) -> Image:
        """Read the image and its clean image, if any."""
        file, page = self._pages[number]
        info, noisy = read_described(self._noisy[file], page, self._missing_as_nan)
        image = Image(self.name(number), noisy, data_range=info.data_range)
        if self._clean is None:
            return image
        info, clean = read_described(self._clean[file], page, self._missing_as_nan)
        return replace(image, clean=clean, clean_data_range=info.data_range)

    def without_clean(self) -> "ImageFiles":
        """Return the same images without their clean images, whose files are never opened."""
        other = copy(self)
        other._clean = None
        return other

    def with_missing_as_nan(self) -> "ImageFiles":
        """Return the same images, with NaN for floating-point values that a GeoTIFF marks as missing."""
        other = copy(self)
        other._missing_as_nan = True
        return other

    def origin(self, number: int) -> tuple[str, ...]:
        """Return the noisy file and the clean file, if any; see `Source`."""
        file, page = self._pages[number]
        paths = [self._noisy[file]] if self._clean is None else [self._noisy[file], self._clean[file]]
        return tuple(stamp(path, page, *["NaN"][: self._missing_as_nan]) for path in paths)


class Folder(ImageFiles):
    """The user's images: folders, single images, or both. One image is enough for training.

    Raises
    ------
    DataError
        When a path does not exist, a folder has no images, or a clean image is missing.
    """

    def __init__(
        self,
        data_dir: Annotated[
            str | list[str],
            Field(description="noisy images: a folder of them, one image, or a list of such paths"),
        ],
        clean_folder: Annotated[
            str | None,
            Field(
                description="folder of clean images with the same names (endings may differ), for PSNR and"
                " SSIM; for a single noisy image also the path of its clean image; None = unknown"
            ),
        ] = None,
        recursive: Annotated[bool, Field(description="whether to search subfolders")] = True,
    ) -> None:
        paths = [Path(path) for path in (data_dir if isinstance(data_dir, list) else [data_dir])]
        if not paths:
            raise DataError("data_dir: expected at least one path, got none")
        clean_at = None if clean_folder is None else Path(clean_folder)
        found: dict[Path, Path] = {}  # image -> folder from which its clean image is searched
        for path in paths:
            images = _without_clean(_images(path, recursive), path, clean_at)
            found |= {image: path.parent if path.is_file() else path for image in images}
        clean = None if clean_at is None else _clean_images(found, clean_at, recursive)
        if len(paths) == 1:
            super().__init__(next(iter(found.values())), list(found), clean, str(paths[0]))
        else:
            where = f"{paths[0]} and {len(paths) - 1} more"
            super().__init__(_common_folder(list(found)), list(found), clean, where)


def _images(path: Path, recursive: bool) -> list[Path]:
    try:
        path.stat()
    except PermissionError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except (OSError, ValueError):  # ValueError: not a valid file name
        raise DataError(
            f"{path}: no such folder or image; put noisy images there, or set `data_dir`"
            " (--set training.dataset_args.data_dir=PATH)"
        ) from None
    return [path] if path.is_file() else list_images(path, recursive)


def _common_folder(images: list[Path]) -> Path:
    """Return the common parent of all images, which makes relative paths unique."""
    try:
        return Path(os.path.commonpath([path.parent for path in images]) or ".")
    except ValueError:  # absolute and relative paths, or several drives
        raise DataError(
            f"data_dir: expected only absolute or only relative paths, on one drive; got {images[0]}, ..."
        ) from None


def _without_clean(images: list[Path], path: Path, clean_folder: Path | None) -> list[Path]:
    """Return the noisy images: those outside the clean folder, which may be a subfolder of `path`."""
    if clean_folder is None:
        return images
    inner = clean_folder.resolve()
    if inner == path.resolve():
        raise DataError(f"clean_folder: expected another path than `data_dir`, got {clean_folder} for both")
    if path.resolve() not in inner.parents:
        return images
    outside = [image for image in images if inner not in image.resolve().parents]
    if not outside:
        raise DataError(f"{path}: no images in it except those of clean_folder")
    return outside


def _clean_images(noisy: dict[Path, Path], clean_folder: Path, recursive: bool) -> list[Path]:
    """Return the clean image of each noisy one: the same relative path, preferably with the same ending."""
    if clean_folder.is_file() and len(noisy) == 1:
        return [clean_folder]
    by_stem: dict[Path, list[Path]] = defaultdict(list)
    for path in list_images(clean_folder, recursive):
        by_stem[path.relative_to(clean_folder).with_suffix("")].append(path)
    clean, problems = [], []
    for path, folder in noisy.items():
        name = path.relative_to(folder)
        found = by_stem[name.with_suffix("")]
        found = [clean_folder / name] if clean_folder / name in found else found
        if len(found) == 1:
            clean += found
        else:
            count = "no" if not found else "more than one"
            problems.append(f"{path}: {count} clean image {name.with_suffix('')}.* in {clean_folder}")
    raise_together(problems)
    return clean
