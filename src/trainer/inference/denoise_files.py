"""Denoise image files: one file or all images of a folder. Each result has its image's type and format."""

from collections.abc import Callable, Mapping
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
from src.util.overlap import AT_ONCE, Here, overlapped

Show = Callable[[int, np.ndarray, np.ndarray, float], None]
"""Takes the number of a page, its noisy pixels, its denoised pixels and their data range."""


@dataclass(frozen=True)
class FileOptions:
    """Options for denoising files.

    Parameters
    ----------
    format : {"auto", "same", "png"}
        Format of the results, see `Format`.
    overwrite : bool
        Whether to replace existing results.
    max_pixels : int
        Larger images are refused.
    held : int
        Number of a folder's images in memory at once. With 1, reading, denoising and writing do not overlap.
    """

    format: Format = "auto"
    overwrite: bool = False
    max_pixels: int = MAX_PIXELS
    held: int = AT_ONCE


class _Done(NamedTuple):
    """Outcome for one image: what its result lost and how the report shows it, or the error."""

    lost: list[str]
    looks: list[Look]
    error: DataError | None = None


class FileDenoiser:
    """Denoise files with one network, and log each kind of warning once.

    Parameters
    ----------
    trained : Trained
        The network and its configuration.
    options : FileOptions, optional
        Defaults to `FileOptions()`.
    """

    def __init__(self, trained: Trained, options: FileOptions | None = None) -> None:
        self.trained = trained
        self.options = options or FileOptions()
        self._finish = trained.config.test.finish
        self._warned: set[object] = set()

    def file(self, path: Path, out: Path) -> None:
        """Denoise all pages of an image file, one at a time.

        Parameters
        ----------
        path : Path
            An image of any size.
        out : Path
            File to write. Its suffix chooses the format; its folder must exist.

        Raises
        ------
        ConfigError
            If the file exists and `options.overwrite` is not set.
        DataError
            If the image cannot be read, does not suit the network, or does not fit the format.
        """
        if not self.options.overwrite:
            expect_free(out)
        with open_image(path, self.options.max_pixels) as stored, write_atomically(out) as file:
            pages = map(partial(self._page, stored), range(stored.pages))
            lost = stored.write(file, pages, out.suffix.lower())
        self._warn_lost(path, out, lost)

    def folder(self, folder: Path, out: Path) -> int:
        """Denoise each image of a folder and its sub-folders; log an error for a bad image and go on.

        Parameters
        ----------
        folder : Path
            Searched at any depth, except `out`.
        out : Path
            Receives the same sub-folders, and at the end `report.html` and `panel.png`. Existing results are
            kept unless `options.overwrite` is set; the report shows them, too.

        Returns
        -------
        int
            Number of images that failed.
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
                    self._warn_lost(path, result, done.lost)
                    page.take(done.looks)
                else:
                    LOG.error("%s", done.error)
                    failed[path] = done.error
                bar.update()
        page.close([path for path in results if path not in due], self.options.held)
        self._log_totals(len(results), len(results) - len(due), failed, out)
        return len(failed)

    def _attempt(self, page: FolderPage, each: tuple[Path, Path], here: Here) -> _Done:
        path, result = each
        looks: list[Look] = []

        def show(number: int, noisy: np.ndarray, denoised: np.ndarray, data_range: float) -> None:
            looks.append(page.look(path, number, noisy, denoised, data_range))

        try:
            made_folder(result.parent)
            with open_image(path, self.options.max_pixels) as stored, write_atomically(result) as file:
                pages = map(partial(self._page, stored, here=here, show=show), range(stored.pages))
                lost = stored.write(file, pages, result.suffix.lower())
            return _Done(lost, page.marked(path, looks))
        except DataError as error:
            return _Done([], [], error)

    def _page(
        self, stored: StoredImage, number: int, here: Here | None = None, show: Show | None = None
    ) -> Page:
        """Read and denoise a page. `here` runs the network in another thread; None runs it in this one."""
        name = str(stored.path) if stored.pages == 1 else f"{stored.path}, page {number + 1}"
        info, page = stored.info(number), stored.read(number)
        denoise = partial(self._denoised, page, name, info)
        denoised = here(denoise, last=number == stored.pages - 1) if here else denoise()
        if show:
            data_range = data_range_of(page.pixels.dtype, self.trained.config.data_range, info.data_range)
            show(number, page.pixels, denoised, data_range)
        return replace(page, pixels=denoised)

    def _denoised(self, page: Page, name: str, info: ImageInfo) -> np.ndarray:
        config = self.trained.config
        channels = config.model.kwargs["in_channels"]
        data_range = checked_data_range(page.pixels, config.data_range, name, info.data_range, config.nan)
        pixels, holes = without_nan(page.pixels)
        if holes is not None and holes.where.all():
            self._warn_once("nan", f"{name}: {ALL_NAN}")
        page = replace(page, pixels=pixels)
        if EXPANDED in info.change:
            self._warn_once(EXPANDED, f"{name}: {EXPANDED}: the result is RGB")
        self._warn_about_mismatch(page, data_range, channels, name)
        if not (suits(pixels.shape[2], channels) or config.test.each_channel):
            raise DataError(f"{name}: {channels_message(pixels.shape[2], channels, page.alpha is not None)}")
        denoised = denoise_pixels(
            self.trained.whole, pixels, data_range, name, self._finish, config.test.each_channel
        )
        if is_blank(pixels, denoised, data_range):
            self._warn_once("blank", f"{name}: {BLANK}")
        return denoised if holes is None else holes.put_into(denoised)

    def _warn_about_mismatch(self, page: Page, data_range: float, channels: int, name: str) -> None:
        found, trained_data_range = page.pixels.shape[2], self.trained.data_range
        if found != channels and suits(found, channels):
            self._warn_once("grey", f"{name}: grey is denoised as {channels} equal channels")
        if trained_data_range is not None and data_range != trained_data_range:
            self._warn_once(
                ("white", data_range),
                f"{name}: data range {data_range:g} ({page.pixels.dtype}), but {trained_data_range:g} in the"
                " images that the network was trained on, or in most of them",
            )
        if hint := dark_hint(page.pixels, data_range):
            self._warn_once(("dark", hint.number), f"{name}: {hint.line}")

    def _warn_lost(self, path: Path, out: Path, lost: list[str]) -> None:
        if self.options.format == "same" and (found := read_alone(path)):
            lost = [*lost, f"its format ({found} is read alone; it is a PNG)"]
        if lost:
            self._warn_once((out.suffix.lower(), *lost), f"{path}: lost in the result: {', '.join(lost)}")

    def _warn_once(self, key: object, line: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            LOG.warning("%s (reported once)", line)

    def _log_totals(self, count: int, kept: int, failed: Mapping[Path, DataError], out: Path) -> None:
        already = f", {kept} were there already (--overwrite makes them anew)" if kept else ""
        done = count - kept - len(failed)
        LOG.info("%d of %d images denoised%s; results: %s", done, count, already, out)
        if failed:
            ranges = [error.number for error in failed.values() if isinstance(error, RangeError)]
            hint = f"; data_range={max(ranges)} suits the brightest of them" if len(ranges) > 1 else ""
            LOG.error("%d of %d images failed: %s%s", len(failed), count, named([*failed]), hint)
