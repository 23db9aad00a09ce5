"""Lost images, which one of several processes may meet alone: all hear of them, and stop together."""

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
    """What is made of images, as long as no process meets one that stops it.

    Parameters
    ----------
    items : iterator
        Of as many items in each process.
    images : Loader
        What they are made of; it is told what the other processes have lost.
    processes : Processes
        Those that train together.
    save : callable
        Saves the state and gives its file; called in all processes.

    Yields
    ------
    Item

    Raises
    ------
    DataError
        In all processes, saying what the first of them met and where the state is.
    """
    while True:
        known, failure, following = len(images.lost), "", []
        try:
            following = list(islice(items, 1))  # empty at the end
        except DataError as error:
            failure = str(error)
        lost = dict(list(images.lost.items())[known:])
        if processes.all_reduce_max(bool(failure or lost)):
            heard = processes.broadcast(processes.gather((failure, lost)))
            for _, theirs in heard:
                images.note_lost(theirs)
            if failures := [failure for failure, _ in heard if failure]:
                path = save()
                processes.barrier()  # torchrun ends the others as soon as one has ended
                raise DataError(f"{failures[0]}; saved {path}; -r goes on from there")
        if not following:
            return
        yield from following
