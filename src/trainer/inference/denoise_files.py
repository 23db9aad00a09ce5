"""A trained network on image files: one, or all of a folder; what comes out is of the kind that went in."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from src.trainer.evaluation.sanity import BLANK, is_blank
from src.trainer.inference.finish_of_folder import with_common_light
from src.trainer.inference.folder_page import FolderPage
from src.trainer.inference.pixels import denoise_pixels
from src.trainer.inference.result_files import Format, find_results, named, read_alone
from src.trainer.inference.trained import Trained
from src.trainer.report import Look
from src.util.atomic_file import write_atomically
from src.util.errors import DataError
from src.util.file_manager import expect_free, made_folder
from src.util.images.formats.base import EXPANDED, ImageInfo, Page, StoredImage
from src.util.images.formats.holes import without_nan
from src.util.images.formats.known import MAX_PIXELS
from src.util.images.formats.stored import open_image
from src.util.images.io import channels_message, suits
from src.util.images.value_range import ALL_NAN, RangeError, checked_data_range, dark_hint, data_range_of
from src.util.logger import LOG, progress_bar
from src.util.overlap import AT_ONCE, Here, at_once, overlapped

Show = Callable[[int, np.ndarray, np.ndarray, float], None]
"""Is shown the number of a page, its noisy and its denoised pixels, and the data range in them."""


@dataclass(frozen=True)
class FileOptions:
    """How files are denoised.

    Parameters
    ----------
    format : {"auto", "same", "png"}
        Of the results, see `Format`.
    overwrite : bool
        Whether results that are there are made anew.
    max_pixels : int
        Larger images are refused.
    held : int
        Images of a folder that are in memory at once; 1 reads, denoises and writes one after the other.
    """

    format: Format = "auto"
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    held: int = AT_ONCE


class _Done(NamedTuple):
    """What became of an image: what its result lost and how it looks, or what went wrong."""

    lost: list[str]
    looks: list[Look]
    error: DataError | None = None


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
        self._finish = trained.config.test.finish
        self._said: set[object] = set()

    def file(self, path: Path, out: Path) -> None:
        """Denoise all pages of an image file, one at a time.

        Parameters
        ----------
        path : Path
            An image of any size.
        out : Path
            File to write; its ending chooses the format, its folder exists.

        Raises
        ------
        ConfigError
            When there is a file already, and it is not to be replaced.
        DataError
            When the image cannot be read, does not suit the network, or does not fit the format.
        """
        if not self.options.overwrite:
            expect_free(out)
        self._say_lost(path, out, self._convert(path, out, at_once, lambda *_: None))

    def folder(self, folder: Path, out: Path) -> int:
        """Denoise each image of a folder and its sub-folders; a bad one is named and the others go on.

        Parameters
        ----------
        folder : Path
            Looked through at any depth, but for `out`.
        out : Path
            Gets the same sub-folders, and `report.html` and `panel.png` at the end. Results that are there
            are kept unless `options.overwrite`; they are on the page, too.

        Returns
        -------
        int
            How many images failed.
        """
        results = find_results(folder, out, self.options.format)
        due = {p: r for p, r in results.items() if self.options.overwrite or not r.exists()}
        if due:
            self._finish = with_common_light(self.trained, list(results), self.options.max_pixels)
        page = FolderPage(self.trained, folder, out, results, self.options.max_pixels)
        failed: dict[Path, DataError] = {}
        with (
            progress_bar(len(results), "image", len(results) - len(due)) as bar,
            closing(overlapped(partial(self._attempt, page), due.items(), self.options.held)) as outcomes,
        ):
            for (path, result), done in zip(due.items(), outcomes, strict=True):
                if done.error is None:
                    self._say_lost(path, result, done.lost)
                    page.take(done.looks)
                else:
                    LOG.error("%s", done.error)
                    failed[path] = done.error
                bar.update()
        page.close([path for path in results if path not in due], self.options.held)
        self._sum_up(len(results), len(results) - len(due), failed, out)
        return len(failed)

    def _attempt(self, page: FolderPage, each: tuple[Path, Path], here: Here) -> _Done:
        path, result = each
        looks: list[Look] = []

        def show(number: int, noisy: np.ndarray, denoised: np.ndarray, data_range: float) -> None:
            looks.append(page.look(path, number, noisy, denoised, data_range))

        try:
            made_folder(result.parent)
            lost = self._convert(path, result, here, show)
            return _Done(lost, page.marked(path, looks))
        except DataError as error:
            return _Done([], [], error)

    def _convert(self, path: Path, out: Path, here: Here, show: Show) -> list[str]:
        """Read, denoise, show and write; what is lost on the way."""
        with open_image(path, self.options.max_pixels) as stored, write_atomically(out) as file:
            return stored.write(file, self._pages(stored, here, show), out.suffix.lower())

    def _pages(self, stored: StoredImage, here: Here, show: Show) -> Iterator[Page]:
        for number in range(stored.pages):
            yield self._page(stored, number, here, show)

    def _page(self, stored: StoredImage, number: int, here: Here, show: Show) -> Page:
        name = str(stored.path) if stored.pages == 1 else f"{stored.path}, page {number + 1}"
        info, page = stored.info(number), stored.read(number)
        denoised = here(partial(self._denoised, page, name, info), last=number == stored.pages - 1)
        data_range = data_range_of(page.pixels.dtype, self.trained.config.data_range, info.data_range)
        show(number, page.pixels, denoised, data_range)
        return replace(page, pixels=denoised)

    def _denoised(self, page: Page, name: str, info: ImageInfo) -> np.ndarray:
        config = self.trained.config
        channels = config.model.kwargs["in_channels"]
        data_range = checked_data_range(page.pixels, config.data_range, name, info.data_range, config.nan)
        pixels, holes = without_nan(page.pixels)
        if holes is not None and holes.where.all():
            self._say_once("nan", f"{name}: {ALL_NAN}")
        page = replace(page, pixels=pixels)
        if EXPANDED in info.change:
            self._say_once(EXPANDED, f"{name}: {EXPANDED}: the result is RGB")
        self._say_what_differs(page, data_range, channels, name)
        if not (suits(pixels.shape[2], channels) or config.test.each_channel):
            raise DataError(f"{name}: {channels_message(pixels.shape[2], channels, page.alpha is not None)}")
        denoised = denoise_pixels(
            self.trained.whole, pixels, data_range, name, self._finish, config.test.each_channel
        )
        if is_blank(pixels, denoised, data_range):
            self._say_once("blank", f"{name}: {BLANK}")
        return denoised if holes is None else holes.put_into(denoised)

    def _say_what_differs(self, page: Page, data_range: float, channels: int, name: str) -> None:
        found, trained_data_range = page.pixels.shape[2], self.trained.data_range
        if found != channels and suits(found, channels):
            self._say_once("grey", f"{name}: grey is denoised as {channels} equal channels")
        if trained_data_range is not None and data_range != trained_data_range:
            self._say_once(
                ("white", data_range),
                f"{name}: white is {data_range:g} ({page.pixels.dtype}), but {trained_data_range:g} in the"
                " images that the network was trained on, or in most of them",
            )
        if hint := dark_hint(page.pixels, data_range):
            self._say_once(("dark", hint.number), f"{name}: {hint.line}")

    def _say_lost(self, path: Path, out: Path, lost: list[str]) -> None:
        if self.options.format == "same" and (found := read_alone(path)):
            lost = [*lost, f"its format ({found} is read alone; it is a PNG)"]
        if lost:
            self._say_once((out.suffix.lower(), *lost), f"{path}: lost in the result: {', '.join(lost)}")

    def _say_once(self, key: object, line: str) -> None:
        if key not in self._said:
            self._said.add(key)
            LOG.warning("%s (said once)", line)

    def _sum_up(self, count: int, kept: int, failed: Mapping[Path, DataError], out: Path) -> None:
        there = f", {kept} were there already (--overwrite makes them anew)" if kept else ""
        done = count - kept - len(failed)
        LOG.info("%d of %d images denoised%s; results: %s", done, count, there, out)
        if failed:
            data_ranges = [error.number for error in failed.values() if isinstance(error, RangeError)]
            range_ = (
                f"; data_range={max(data_ranges)} suits the brightest of them" if len(data_ranges) > 1 else ""
            )
            LOG.error("%d of %d images failed: %s%s", len(failed), count, named([*failed]), range_)
