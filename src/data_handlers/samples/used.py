"""Which images of a source are used, and what takes the place of one that can no longer be read."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from src.data_handlers.datasets.base import Source, place_of
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.logger import LOG

Lost = dict[int, str]
"""Place of an image among those used -> why it cannot be read."""

Result = TypeVar("Result")


class UsedImages:
    """The images that samples show, by their place: sample i shows image i modulo their number.

    Nothing is remembered of what was lost: what is shown depends on the files alone, not on who reads them,
    and an image that comes back is used again.

    Parameters
    ----------
    source : Source
        The images.
    count : int
        The first so many are used.
    skip : bool
        Whether one that is lost is left out, or stops whoever asks for it.
    """

    def __init__(self, source: Source, count: int, skip: bool) -> None:
        self.source = source
        self.skip = skip
        self.numbers = list(range(count))
        """In the source, by place; -1 where a run that goes on misses one that it began with."""
        self.names: list[str] = []
        """By place; empty where the source knows them all."""

    def __len__(self) -> int:
        return len(self.numbers)

    def all_names(self) -> list[str]:
        """The name of each, by place."""
        return self.names or [self.source.name(number) for number in self.numbers]

    def keep_to(self, names: Sequence[str]) -> None:
        """Use the images that a run began with, each at its place, whatever came or went since.

        Parameters
        ----------
        names : sequence of str
            What `all_names` gave then.

        Raises
        ------
        DataError
            When some are gone, a line each, unless they are to be left out.
        """
        there = {self.source.name(number): number for number in range(len(self.source))}
        if not self.skip:
            hint = "put it back, or say `unreadable: skip` to go on without it"
            raise_together([f"{self._gone(name)}; {hint}" for name in names if name not in there])
        if added := len(set(self.all_names()) - set(names)):
            LOG.warning("%s: %d images are new since this run began and not used", self.source.where, added)
        self.numbers, self.names = [there.get(name, -1) for name in names], list(names)

    def read(self, place: int, read: Callable[[int], Result], others: bool) -> tuple[Result | None, Lost]:
        """Read an image or, where it is lost, the next one that is not.

        Parameters
        ----------
        place : int
            Modulo the number of images.
        read : callable
            Reads an image of the source by its number.
        others : bool
            Whether another may take its place; otherwise nothing does.

        Returns
        -------
        (result or None, Lost)
            What was read, and the images that could not be.

        Raises
        ------
        DataError
            When it is lost and not to be left out; when none of them all can be read.
        """
        lost: Lost = {}
        for offset in range(len(self) if others else 1):
            here = (place + offset) % len(self)
            try:
                number = self._number(here)
                if offset:
                    self.source.inspect(number)  # what is still in a cache stands in for nothing
                return read(number), lost
            except DataError as error:
                if not self.skip:
                    raise DataError(f"{error}; `unreadable: skip` goes on without it") from None
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
        return f"{place_of(self.source.where, name)}: is gone since this run began"
