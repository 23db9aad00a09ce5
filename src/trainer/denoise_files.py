"""A trained network on picture files: one, or all of a folder; what comes out is of the kind that went in."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from src.trainer.inference import denoise_pixels
from src.trainer.trained import Trained
from src.util.atomic_file import write_atomically
from src.util.errors import DataError
from src.util.file_manager import made_folder
from src.util.image_io import ENDINGS, suits
from src.util.logger import LOG, progress_bar
from src.util.picture_folder import list_files
from src.util.pictures.base import EXPANDED, MAX_PIXELS, Page, StoredPicture
from src.util.pictures.raster import JPEG_ENDINGS
from src.util.pictures.stored import open_picture
from src.util.value_range import checked_white, dark_hint

_SHOWN = 5  # names in a line that sums up

Format = Literal["auto", "same", "png"]


@dataclass(frozen=True)
class FileOptions:
    """How files are denoised.

    Parameters
    ----------
    format : {"auto", "same", "png"}
        `auto`: as the picture, but PNG for JPEG, which would lose twice; `same`: JPEG, too; `png`: always.
    overwrite : bool
        Whether a folder's results that are there are made anew.
    max_pixels : int
        Larger pictures are refused.
    """

    format: Format = "auto"
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS


class FileDenoiser:
    """Denoises files with one network, and says once what it adapts.

    Parameters
    ----------
    trained : Trained
        The network.
    options : FileOptions
        How.
    """

    def __init__(self, trained: Trained, options: FileOptions | None = None) -> None:
        self.trained = trained
        self.options = options or FileOptions()
        self._said: set[object] = set()

    def file(self, path: Path, out: Path) -> None:
        """Denoise all pages of a picture file, one at a time.

        Parameters
        ----------
        path : Path
            A picture of any size.
        out : Path
            File to write; its ending chooses the format, its folder exists.

        Raises
        ------
        DataError
            When the picture cannot be read, does not suit the network, or does not fit the format.
        """
        lost: list[str] = []
        with open_picture(path, self.options.max_pixels) as stored:
            ending = out.suffix.lower()
            write_atomically(out, lambda file: lost.extend(stored.write(file, self._pages(stored), ending)))
        if lost:
            self._say_once((ending, *lost), f"{path}: lost in the result: {', '.join(lost)}")

    def folder(self, folder: Path, out: Path) -> int:
        """Denoise each picture of a folder and its sub-folders; a bad one is named and the others go on.

        Parameters
        ----------
        folder : Path
            Looked through at any depth, but for `out`.
        out : Path
            Gets the same sub-folders. Results that are there are kept unless `options.overwrite`.

        Returns
        -------
        int
            How many pictures failed.
        """
        results = _results(folder, out, self.options.format)
        failed: list[Path] = []
        kept = 0
        with progress_bar(len(results), "picture") as bar:
            for path, result in results.items():
                if result.exists() and not self.options.overwrite:
                    kept += 1
                elif not self._attempt(path, result):
                    failed.append(path)
                bar.update()
        self._sum_up(len(results), kept, failed, out)
        return len(failed)

    def _attempt(self, path: Path, result: Path) -> bool:
        try:
            made_folder(result.parent)
            self.file(path, result)
        except DataError as error:
            LOG.error("%s", error)
            return False
        return True

    def _sum_up(self, count: int, kept: int, failed: list[Path], out: Path) -> None:
        there = f", {kept} were there already (--overwrite makes them anew)" if kept else ""
        done = count - kept - len(failed)
        LOG.info("%d of %d pictures denoised%s; results: %s", done, count, there, out)
        if failed:
            LOG.error("%d of %d pictures failed: %s", len(failed), count, _named(failed))

    def _pages(self, stored: StoredPicture) -> Iterator[Page]:
        for number in range(stored.pages):
            name = str(stored.path) if stored.pages == 1 else f"{stored.path}, page {number + 1}"
            if stored.info(number).change == EXPANDED:
                self._say_once(EXPANDED, f"{name}: {EXPANDED}: the result is RGB")
            page = stored.read(number)
            yield replace(page, pixels=self._denoised(page, name))

    def _denoised(self, page: Page, name: str) -> np.ndarray:
        config, pixels = self.trained.config, page.pixels
        channels = config.model.kwargs["in_channels"]
        white = checked_white(pixels, config.data_range, name)
        self._say_what_differs(page, white, channels, name)
        return denoise_pixels(self.trained.network, pixels, white, name)

    def _say_what_differs(self, page: Page, white: float, channels: int, name: str) -> None:
        found, trained_white = page.pixels.shape[2], self.trained.white
        if found != channels and suits(found, channels):
            self._say_once("grey", f"{name}: grey is denoised as {channels} equal channels")
        if trained_white is not None and white != trained_white:
            self._say_once(
                ("white", white),
                f"{name}: white is {white:g} ({page.pixels.dtype}), but {trained_white:g} in the pictures"
                " that the network was trained on",
            )
        if hint := dark_hint(page.pixels, white):
            self._say_once("dark", f"{name}: {hint}")

    def _say_once(self, key: object, line: str) -> None:
        if key not in self._said:
            self._said.add(key)
            LOG.warning("%s (said once)", line)


def result_names(pictures: Sequence[Path], kind: Format = "auto") -> dict[Path, str]:
    """`NAME_DN.EXT` for each picture of a folder; where two would share it, `NAME.jpg_DN.EXT`.

    Parameters
    ----------
    pictures : sequence of Path
        Of one folder.
    kind : {"auto", "same", "png"}
        See `FileOptions`.

    Returns
    -------
    dict
        Names that differ even where `A` and `a` are one name, as on some file systems.
    """
    endings = {path: _ending(path, kind) for path in pictures}
    names = {path: f"{path.stem}_DN{ending}" for path, ending in endings.items()}
    long = {path: f"{path.name}_DN{ending}" for path, ending in endings.items()}
    while True:
        counts = Counter(name.casefold() for name in names.values())
        shared = [path for path, name in names.items() if counts[name.casefold()] > 1]
        clashing = [path for path in shared if names[path] != long[path]]
        if not clashing:
            return names
        names |= {path: long[path] for path in clashing}


def _ending(path: Path, kind: Format) -> str:
    ending = path.suffix.lower()
    if kind == "png" or ending not in ENDINGS or (kind == "auto" and ending in JPEG_ENDINGS):
        return ".png"
    return path.suffix


def _results(folder: Path, out: Path, kind: Format) -> dict[Path, Path]:
    """What is to be denoised, and where to; files that are no pictures by their names are passed over."""
    files = list_files(folder)
    if _absolute(out) != _absolute(folder):
        files = [path for path in files if _absolute(out) not in _absolute(path).parents]
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        if path.suffix.lower() in ENDINGS:
            by_folder[path.parent].append(path)
    others = [path for path in files if path.suffix.lower() not in ENDINGS]
    if others:
        LOG.info("passed over, no picture by its name: %s", _named(others))
    if not by_folder:
        raise DataError(f"{folder}: no pictures in it (endings {', '.join(ENDINGS)})")
    results: dict[Path, Path] = {}
    for parent, pictures in by_folder.items():
        place = out / parent.relative_to(folder)
        results |= {path: place / name for path, name in result_names(pictures, kind).items()}
    made = {_absolute(result) for result in results.values()}  # of an earlier call, where `out` is the folder
    return {path: result for path, result in results.items() if _absolute(path) not in made}


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))


def _named(paths: Sequence[Path]) -> str:
    shown = [str(path) for path in paths[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
