"""The order of samples, and the loader that prepares batches in worker processes."""

import atexit
import math
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from src.data_handlers.loading.workers import ErrorsAsValues, collate, prepare, start_worker
from src.data_handlers.samples.samples import Sample, Samples
from src.data_handlers.samples.used import Lost
from src.util.cores import usable_cores
from src.util.errors import DataError, UserError
from src.util.logger import LOG
from src.util.seed import make_generator
from src.util.share import Share, share_of

NAMED_AT_MOST = 100
"""Number of lost images that are logged one by one; after that, every hundredth is."""

LONGEST_WAIT = 600
"""Seconds to wait for a batch before the loader counts as hung."""


class EpochSampler(Sampler[tuple[int, int]]):
    """Keys (epoch, index) of the samples of an epoch, in an order that depends on (seed, epoch).

    Parameters
    ----------
    count : int
        Number of samples.
    seed : int
        Seed of the run.
    shuffle : bool
        Random order, or 0, 1, 2, ...
    images : int
        Number of images; sample i shows image i % `images`.
    together : int
        Number of consecutive samples of one image.
    """

    def __init__(self, count: int, seed: int, shuffle: bool, images: int = 1, together: int = 1) -> None:
        self.count = count
        self.images = images
        self.together = together
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self.first = 0

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Set the epoch of the next pass, and the sample at which it starts."""
        self.epoch = epoch
        self.first = first

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = self._shuffled() if self.shuffle else torch.arange(self.count)
        return iter([(self.epoch, index) for index in order[self.first :].tolist()])

    def _shuffled(self) -> torch.Tensor:
        """Return the indices as random visits to images, each of `together` samples."""
        generator = make_generator(self.seed, "order", self.epoch)
        visits = math.ceil(self.count / (self.images * self.together)) * self.images
        visit = torch.randperm(visits, generator=generator)[:, None]
        repeat = visit // self.images * self.together + torch.arange(self.together)
        order = (repeat * self.images + visit % self.images).flatten()
        return order[order < self.count]


class SharedBatches(Sampler[list[tuple[int, int]]]):
    """Keys of each batch of an epoch, or of this process's share of it.

    Parameters
    ----------
    samples : EpochSampler
        Keys of the samples.
    batch_size : int
        Samples in a batch of all processes together.
    rank, processes : int
        Rank of this process, and number of processes.
    """

    def __init__(self, samples: EpochSampler, batch_size: int, rank: int = 0, processes: int = 1) -> None:
        self.samples = samples
        self.size = batch_size
        self.rank = rank
        self.processes = processes

    def share(self, number: int) -> Share:
        """Return this process's share of batch `number` of an epoch, counted from 0."""
        return share_of(min(self.size, len(self.samples) - number * self.size), self.rank, self.processes)

    def __len__(self) -> int:
        return math.ceil(len(self.samples) / self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys = list(self.samples)
        for start in range(0, len(keys), self.size):
            batch = keys[start : start + self.size]
            share = share_of(len(batch), self.rank, self.processes)
            yield batch[share.slice] or batch[:1]  # an empty share cannot be stacked


class Loader:
    """Batches of samples; see `build_loader`.

    A batch is a dict as of `Samples`, with `noisy` and `clean` stacked to (B, C, H, W), `index` a Tensor (B,)
    and `name` a list. In training, 8-bit images are uint8, for `as_float` on the device. The last batch of an
    epoch may be smaller. With several processes, each gets its share of every batch, see `share`. In
    validation and test with `unreadable: skip`, the batch of a lost image has no `noisy`.

    Parameters
    ----------
    samples : Samples
        The samples.
    batches : DataLoader
        Their batches.
    sampler : SharedBatches
        Order of the batches.
    """

    def __init__(self, samples: Samples, batches: DataLoader[Any], sampler: SharedBatches) -> None:
        self.samples = samples
        self.lost: Lost = {}
        """Images that became unreadable and were left out; see `note_lost`."""
        self._batches: DataLoader[Any] | None = batches
        self._sampler = sampler

    def keep_to(self, names: Sequence[str]) -> None:
        """Before the first pass, use the images that a run started with; see `UsedImages.keep_to`."""
        self.samples.used.keep_to(names)
        order = self._sampler.samples
        order.count, order.images = len(self.samples), self.samples.images

    def note_lost(self, lost: Lost) -> None:
        """Log lost images, each once, and add them to `lost`."""
        for place, reason in lost.items():
            if place in self.lost:
                continue
            self.lost[place] = reason
            count = len(self.lost)
            if count <= NAMED_AT_MOST or count % NAMED_AT_MOST == 0:
                LOG.warning("%s; left out (%d of %d images so far)", reason, count, self.samples.images)

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Set the epoch of the next pass, and the number of its first batch, for a resumed run."""
        self._sampler.samples.set_epoch(epoch, first * self._sampler.size)

    def share(self, number: int) -> Share:
        """Return this process's share of batch `number` of an epoch, counted from 0.

        If the share is empty, the loader still gives one sample, which must be ignored.
        """
        return self._sampler.share(number)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Sample]:
        if self._batches is None:
            raise RuntimeError("this loader has been closed")
        try:
            for batch in self._start(self._batches):
                if isinstance(batch, UserError):
                    raise batch
                self.note_lost(batch.pop("lost"))
                yield batch
        except (RuntimeError, ConnectionError, EOFError) as error:
            raise worker_error(error, self.samples.source.where) or error from None

    def _start(self, batches: DataLoader[Any]) -> Iterator[Any]:
        try:
            return iter(batches)
        except OSError as error:
            raise DataError(
                f"loader workers cannot be started: {error.strerror}; probably shared memory (/dev/shm) ran"
                " out: use fewer workers (--thread)"
            ) from None

    def close(self) -> None:
        """Stop the workers."""
        self._batches = None


def worker_error(error: Exception, where: str) -> DataError | None:
    """Translate an error of PyTorch about loader workers; return None for other errors.

    PyTorch reports a killed worker from a signal handler, so the error may occur anywhere in the program.
    """
    message = str(error).strip()
    if isinstance(error, UserError):
        return None
    if "DataLoader timed out" in message:
        return DataError(
            f"{where}: no batch within {LONGEST_WAIT} s: a loader worker hangs, probably on a disk or network"
            " that does not respond"
        )
    reason = ""
    if isinstance(error, ConnectionError | EOFError) or "ancdata" in message:
        reason = "a loader worker ended while it sent a batch"
    elif "DataLoader worker (pid" in message or "unable to allocate shared memory" in message:
        reason = message.splitlines()[-1].removeprefix("RuntimeError: ").rstrip(".")
    if reason:
        return DataError(
            f"{where}: {reason}; probably memory or shared memory (/dev/shm) ran out: use fewer workers"
            " (--thread)"
        )
    return None


def kill_workers() -> None:
    """Kill all remaining workers. A hanging worker would block the exit of this process, or survive it."""
    handler = None
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        # PyTorch's handler raises an error when a worker is killed, even here.
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()
            worker.join()
    if handler is not None:
        signal.signal(signal.SIGCHLD, handler)


# At exit, Python sends SIGTERM to the workers and waits for them, but they ignore it.
atexit.register(kill_workers)


def build_loader(
    samples: Samples, batch_size: int, workers: int = 0, pin_memory: bool = False,
    rank: int = 0, processes: int = 1,
) -> Loader:  # fmt: skip
    """Build a loader. Its batches do not depend on the number of workers or processes.

    Parameters
    ----------
    samples : Samples
        The samples, shuffled for training.
    batch_size : int
        Samples in a batch, of all processes together. Images of different sizes need a batch size of 1.
    workers : int
        Number of processes that prepare samples; 0 = this process. Validation and test use at most 1, which
        is faster than the network.
    pin_memory : bool
        Whether batches are in pinned memory, for asynchronous transfer to a GPU.
    rank, processes : int
        Rank of this process, and number of processes.
    """
    order = EpochSampler(
        len(samples), samples.seed, samples.training, samples.images, samples.view.crops_at_a_time
    )
    sampler = SharedBatches(order, batch_size, rank, processes)
    workers = min(workers, usable_cores() if samples.training else 1)
    if samples.training:
        prepare(samples, workers)
    batches: DataLoader[Any] = DataLoader(
        ErrorsAsValues(samples),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        timeout=LONGEST_WAIT if workers else 0,
        worker_init_fn=start_worker,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # by default, each pass draws from the global one
    )
    return Loader(samples, batches, sampler)
