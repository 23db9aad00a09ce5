"""The images of a source that are in use, and replacements for those that can no longer be read."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from src.data_handlers.datasets.base import Source, place_of
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.logger import LOG

Lost = dict[int, str]
"""Place of an image in `UsedImages` -> why it cannot be read."""

Result = TypeVar("Result")


class UsedImages:
    """The images that samples show. Sample i shows the image at place i modulo their number.

    Failed reads are not remembered. So the content of a sample depends only on the files, not on the
    process that reads them, and an image is used again once it is readable.

    Parameters
    ----------
    source : Source
        The images.
    count : int
        Number of images to use, the first ones of the source.
    skip : bool
        Whether to leave out an unreadable image instead of raising an error.
    """

    def __init__(self, source: Source, count: int, skip: bool) -> None:
        self.source = source
        self.skip = skip
        self.numbers = list(range(count))
        """Number in the source, by place; -1 for an image that is gone since the run started."""
        self.names: list[str] = []
        """Name by place, after `keep_to`; otherwise empty."""

    def __len__(self) -> int:
        return len(self.numbers)

    def all_names(self) -> list[str]:
        """Return the name of each image, by place."""
        return self.names or [self.source.name(number) for number in self.numbers]

    def keep_to(self, names: Sequence[str]) -> None:
        """Use the images that a resumed run started with, at their places then.

        Parameters
        ----------
        names : sequence of str
            The result of `all_names` at that time.

        Raises
        ------
        DataError
            When images are gone and `skip` is False, one line for each.
        """
        existing = {self.source.name(number): number for number in range(len(self.source))}
        if not self.skip:
            hint = "put it back, or set `unreadable: skip` to continue without it"
            raise_together([f"{self._gone(name)}; {hint}" for name in names if name not in existing])
        if added := len(set(self.all_names()) - set(names)):
            LOG.warning("%s: %d images are new since this run began and not used", self.source.where, added)
        self.numbers, self.names = [existing.get(name, -1) for name in names], list(names)

    def read(self, place: int, read: Callable[[int], Result], others: bool) -> tuple[Result | None, Lost]:
        """Read an image, or the next readable one.

        Parameters
        ----------
        place : int
            Place of the image, modulo the number of images.
        read : callable
            Reads an image of the source by its number.
        others : bool
            Whether another image may replace it.

        Returns
        -------
        (result or None, Lost)
            The result of `read`, or None if nothing may replace the image; and the images that it failed for.

        Raises
        ------
        DataError
            When the image is unreadable and `skip` is False, or when no image is readable.
        """
        lost: Lost = {}
        for offset in range(len(self) if others else 1):
            here = (place + offset) % len(self)
            try:
                number = self._number(here)
                if offset:
                    self.source.inspect(number)  # a replacement must exist on disk, not only in a cache
                return read(number), lost
            except DataError as error:
                if not self.skip:
                    raise DataError(f"{error}; `unreadable: skip` continues without it") from None
                lost[here] = str(error)
        if others:
            none = f"{self.source.where}: none of {len(self)} images can be read any more"
            raise DataError(f"{none}: {next(iter(lost.values()))}")
        return None, lost

    def _number(self, place: int) -> int:
        if self.numbers[place] < 0:
            raise DataError(self._gone(self.names[place]))
        return self.numbers[place]

    def _gone(self, name: str) -> str:
        return f"{place_of(self.source.where, name)}: was removed since this run began"
