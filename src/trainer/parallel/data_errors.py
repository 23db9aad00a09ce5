"""Tell all processes of images that one of them cannot read, and stop them together."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import TypeVar

from src.data_handlers.loading.sampling import Loader
from src.trainer.parallel.distributed import Processes
from src.util.errors import DataError

Item = TypeVar("Item")


def agreed(
    items: Iterator[Item], images: Loader, processes: Processes, save: Callable[[], Path]
) -> Iterator[Item]:
    """Yield items made of images until they end or an image cannot be read in any process.

    Parameters
    ----------
    items : iterator
        The items, equally many in each process.
    images : Loader
        The images they are made of. Images lost by other processes are noted in it.
    processes : Processes
        The processes that train together.
    save : callable
        Saves the state and returns its file; called in all processes.

    Yields
    ------
    Item

    Raises
    ------
    DataError
        In all processes, with the error of the first that met one, and the file with the saved state.
    """
    while True:
        known, failure, item = len(images.lost), "", []
        try:
            item = list(islice(items, 1))  # empty at the end
        except DataError as error:
            failure = str(error)
        lost = dict(list(images.lost.items())[known:])
        if processes.all_reduce_max(bool(failure or lost)):
            reports = processes.broadcast(processes.gather((failure, lost)))
            for _, theirs in reports:
                images.note_lost(theirs)
            if failures := [failure for failure, _ in reports if failure]:
                path = save()
                processes.barrier()  # torchrun kills the others when one has ended
                raise DataError(f"{failures[0]}; saved {path}; -r continues from there")
        if not item:
            return
        yield from item
