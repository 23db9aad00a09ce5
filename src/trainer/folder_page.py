"""The page of a folder's pictures and their results, also of those that an earlier call made."""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np

from src.trainer.build import to_yaml
from src.trainer.evaluate import count_words
from src.trainer.report import Look, Report
from src.trainer.trained import Trained
from src.util.errors import DataError, NonFiniteError
from src.util.file_manager import made_folder
from src.util.image_io import count_pages
from src.util.logger import LOG, progress_bar
from src.util.overlap import Here, overlapped
from src.util.own_results import PAGE, PANEL, has_report
from src.util.pictures.stored import open_picture
from src.util.value_range import white_of


class FolderPage:
    """`report.html` and `panel.png` of a folder of results, written at the end.

    Parameters
    ----------
    trained : Trained
        What denoises.
    folder, out : Path
        The pictures' and the results'.
    results : mapping of Path to Path
        Picture to result, in the order in which they are shown.
    max_pixels : int
        Larger pictures are not read.
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
        self._first: dict[Path, int] = {}  # place of a file's first page among all pages
        self._count = 0
        for path in results:
            self._first[path] = self._count
            self._count += count_pages(path)
        self._report = Report(out, "", to_yaml(trained.config), str(trained.path), self._count)
        self._shown = 0

    def look(self, path: Path, number: int, noisy: np.ndarray, denoised: np.ndarray) -> Look:
        """How a picture looks on the page; in any thread.

        Parameters
        ----------
        path : Path
            Of its file.
        number : int
            Of the page in the file, from 0.
        noisy, denoised : ndarray, shape (H, W, C)
            As they are stored.
        """
        name = path.relative_to(self.folder).as_posix() + (f", page {number + 1}" if number else "")
        white = white_of(noisy.dtype, self.trained.config.data_range)
        return self._report.look(self._first[path] + number, name, noisy, denoised, white=white)

    def take(self, looks: Sequence[Look]) -> None:
        """Put a file's pictures on the page; without any it is not shown."""
        for look in looks:
            self._report.take(look)
            self._shown += 1

    def close(self, kept: Sequence[Path], held: int) -> None:
        """Write the page, if it would say something new.

        Parameters
        ----------
        kept : sequence of Path
            Pictures whose results were there already: they are read again.
        held : int
            So many of them at once.
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
        with (
            progress_bar(len(kept), "picture") as bar,
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

    def _compared(self, path: Path, here: Here) -> list[Look]:
        """A picture beside a result that was there already; nothing if that is none of it."""
        looks = []
        try:
            with (
                open_picture(path, self.max_pixels) as source,
                open_picture(self.results[path], self.max_pixels) as result,
            ):
                if source.pages != result.pages:
                    return []
                for number in range(source.pages):
                    noisy, denoised = (file.read(number, alpha=False).pixels for file in (source, result))
                    if noisy.shape != denoised.shape:
                        return []
                    looks.append(self.look(path, number, noisy, denoised))
        except (DataError, NonFiniteError):
            return []  # the page says of how many it is
        return looks
