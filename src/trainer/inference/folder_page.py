"""Write the report of a folder's images and results, including results of earlier calls."""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from src.trainer.config.reading import to_yaml
from src.trainer.evaluation.evaluate import count_words
from src.trainer.inference.trained import Trained
from src.trainer.report import Kept, Look, Report, kept_images, key_of
from src.util.errors import DataError, NonFiniteError
from src.util.file_manager import made_folder
from src.util.images.formats.base import StoredImage
from src.util.images.formats.stored import open_image
from src.util.images.io import count_pages
from src.util.images.own_results import PAGE, PANEL, has_report
from src.util.images.value_range import data_range_of
from src.util.logger import LOG, progress_bar
from src.util.overlap import Here, overlapped


class FolderPage:
    """`report.html` and `panel.png` of a folder of results, written at the end.

    Parameters
    ----------
    trained : Trained
        The network.
    folder, out : Path
        Folder of the images, and of the results.
    results : mapping of Path to Path
        Image to result, in the order of the report.
    max_pixels : int
        Larger images are not read.
    """

    def __init__(
        self, trained: Trained, folder: Path, out: Path, results: Mapping[Path, Path], max_pixels: int
    ) -> None:
        self.trained = trained
        self.folder = folder
        self.out = out
        self.results = results
        self.max_pixels = max_pixels
        self._foreign = not has_report(out) and [n for n in (PAGE, PANEL) if os.path.lexists(out / n)]
        self._first: dict[Path, int] = {}  # number of pages before each file
        self._pages = {path: count_pages(path) for path in results}
        self._count = 0
        for path, pages in self._pages.items():
            self._first[path] = self._count
            self._count += pages
        self._report = Report(out, "", to_yaml(trained.config), str(trained.path), self._count)
        self._shown = 0
        self._earlier: dict[str, Kept] = {}

    def look(
        self, path: Path, number: int, noisy: np.ndarray, denoised: np.ndarray, data_range: float
    ) -> Look:
        """Make the views of page `number`, from 0, of an image file; see `Report.look`."""
        place, name = self._place(path, number)
        return self._report.look(place, name, noisy, denoised, data_range=data_range)

    def marked(self, path: Path, looks: Sequence[Look], key: str | None = None) -> list[Look]:
        """Add keys by which a later call finds the views of a file. Its result must be written already."""
        key = self._key(path) if key is None else key
        return [
            look._replace(entry=look.entry._replace(key=key and _page_key(key, number)))
            for number, look in enumerate(looks)
        ]

    def take(self, looks: Sequence[Look]) -> None:
        """Put images on the page."""
        for look in looks:
            self._report.take(look)
            self._shown += 1

    def close(self, kept: Sequence[Path], held: int) -> None:
        """Write the page, if it would differ from the existing one.

        Parameters
        ----------
        kept : sequence of Path
            Images with results of earlier calls. Those that have changed, or that the existing page does not
            show, are read again.
        held : int
            How many of them are read at once.
        """
        if self._foreign:
            LOG.warning(
                "%s is not of this program's making, so no page is written; move it, or choose another --out",
                self.out / self._foreign[0],
            )
            return
        if not self._shown and has_report(self.out):
            return
        before = self._shown
        self._earlier = kept_images(self.out / PAGE)
        with (
            progress_bar(len(kept), "image") as bar,
            closing(overlapped(self._compared, kept, held)) as compared,
        ):
            for looks in compared:
                self.take(looks)
                bar.update()
        if not self._shown:
            return
        earlier = self._shown - before
        self._report.title = ", ".join([
            os.path.basename(os.path.abspath(self.folder)),
            f"epoch {self.trained.epoch}",
            count_words(self._shown, self._count),
            *([f"{earlier} of them denoised by an earlier call"] if earlier else []),
        ])  # fmt: skip
        made_folder(self.out)
        self._report.close()
        LOG.info("to look at: %s", self.out / PAGE)

    def _place(self, path: Path, number: int) -> tuple[int, str]:
        """Return the index of a file's page among all pages, and its name."""
        name = path.relative_to(self.folder).as_posix() + (f", page {number + 1}" if number else "")
        return self._first[path] + number, name

    def _key(self, path: Path) -> str:
        return key_of((path, self.results[path]), self.trained.config.data_range)

    def _compared(self, path: Path, here: Here) -> list[Look]:
        """Return the views of an image and its earlier result; an empty list if they do not match."""
        key = self._key(path)
        again: list[Look | None] = []
        for number in range(self._pages[path]):
            kept = self._earlier.get(_page_key(key, number))
            again.append(self._report.again(*self._place(path, number), kept) if kept else None)
        looks = [look for look in again if look is not None]
        if len(looks) < len(again):
            try:
                looks = self._read(path, again)
            except (DataError, NonFiniteError):
                return []  # the page's title counts the images that are shown
        return self.marked(path, looks, key)

    def _read(self, path: Path, again: Sequence[Look | None]) -> list[Look]:
        """Return the views of a file's pages. Decode only those that are not in `again`."""
        looks: list[Look] = []
        with (
            open_image(path, self.max_pixels) as source,
            open_image(self.results[path], self.max_pixels) as result,
        ):
            if source.pages != result.pages or source.pages != len(again):
                return []
            for number, look in enumerate(again):
                shapes = [(i.height, i.width, i.channels) for i in (source.info(number), result.info(number))]
                if shapes[0] != shapes[1]:
                    return []
                if look is None and not self._report.wants(self._first[path] + number):
                    look = self._report.named_alone(*self._place(path, number), shapes[0][:2])
                looks.append(look or self._decoded(path, number, source, result))
        return looks

    def _decoded(self, path: Path, number: int, source: StoredImage, result: StoredImage) -> Look:
        noisy, denoised = (file.read(number, alpha=False).pixels for file in (source, result))
        data_range = data_range_of(
            noisy.dtype, self.trained.config.data_range, source.info(number).data_range
        )
        return self.look(path, number, noisy, denoised, data_range)


def _page_key(key: str, number: int) -> str:
    return f"{key}p{number}"
