"""The order of samples, and the workers that prepare them."""

import atexit
import math
import multiprocessing
import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from src.data_handlers.loading.workers import Guarded, collate, prepare, start_worker
from src.data_handlers.samples.samples import Sample, Samples
from src.data_handlers.samples.used import Lost
from src.util.cores import usable_cores
from src.util.errors import DataError, UserError
from src.util.logger import LOG
from src.util.seed import make_generator
from src.util.share import Share, share_of

NAMED_AT_MOST = 100
"""Lost images that are named one by one; beyond, every hundredth is, with their number."""

LONGEST_WAIT = 600
"""Seconds that a batch may take to be loaded before the loader counts as hung."""


class EpochSampler(Sampler[tuple[int, int]]):
    """Keys (epoch, index) of one epoch; the order is a function of (seed, epoch).

    Parameters
    ----------
    count : int
        Number of samples.
    seed : int
        The run's seed.
    shuffle : bool
        Random order, or 0, 1, 2, ...
    images, together : int
        Sample i shows image i % `images`; `together` samples of one image follow each other.
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
        """Choose the epoch that the next pass goes through, from its sample number `first` on."""
        self.epoch = epoch
        self.first = first

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = self._shuffled() if self.shuffle else torch.arange(self.count)
        return iter([(self.epoch, index) for index in order[self.first :].tolist()])

    def _shuffled(self) -> torch.Tensor:
        """Visits to images in random order, each of `together` samples."""
        generator = make_generator(self.seed, "order", self.epoch)
        visits = math.ceil(self.count / (self.images * self.together)) * self.images
        visit = torch.randperm(visits, generator=generator)[:, None]
        repeat = visit // self.images * self.together + torch.arange(self.together)
        order = (repeat * self.images + visit % self.images).flatten()
        return order[order < self.count]


class SharedBatches(Sampler[list[tuple[int, int]]]):
    """The keys of each batch of an epoch, or those of this process's share of it.

    Parameters
    ----------
    samples : EpochSampler
        All keys of an epoch.
    batch_size : int
        Samples in a batch, those of all processes together.
    rank, processes : int
        Which of how many processes this is.
    """

    def __init__(self, samples: EpochSampler, batch_size: int, rank: int = 0, processes: int = 1) -> None:
        self.samples = samples
        self.size = batch_size
        self.rank = rank
        self.processes = processes

    def share(self, number: int) -> Share:
        """What of an epoch's batch `number`, from 0, is this process's."""
        return share_of(min(self.size, len(self.samples) - number * self.size), self.rank, self.processes)

    def __len__(self) -> int:
        return math.ceil(len(self.samples) / self.size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        keys = list(self.samples)
        for start in range(0, len(keys), self.size):
            batch = keys[start : start + self.size]
            share = share_of(len(batch), self.rank, self.processes)
            yield batch[share.slice] or batch[:1]  # nothing cannot be stacked


class Loader:
    """Batches of samples; `build_loader` makes one.

    A batch is the samples' dict with `noisy` and `clean` stacked to (B, C, H, W), `index` to a Tensor (B,)
    and `name` to a list. In training, images of 8 bits are uint8, for `as_float` on the device. The last
    batch of an epoch holds what is left, so a set smaller than a batch trains too. One of several processes
    gets its share of each batch, see `share`. With `unreadable: skip` an image of validation and test that
    is lost gives a batch without `noisy`.

    Parameters
    ----------
    samples : Samples
        What is loaded.
    batches : DataLoader
        How.
    sampler : SharedBatches
        In which order.
    """

    def __init__(self, samples: Samples, batches: DataLoader[Any], sampler: SharedBatches) -> None:
        self.samples = samples
        self.lost: Lost = {}
        """Images that could not be read any more, and were left out; see `note_lost`."""
        self._batches: DataLoader[Any] | None = batches
        self._sampler = sampler

    def keep_to(self, names: Sequence[str]) -> None:
        """Before the first pass, use the images that a run began with; see `UsedImages.keep_to`."""
        self.samples.used.keep_to(names)
        order = self._sampler.samples
        order.count, order.images = len(self.samples), self.samples.images

    def note_lost(self, lost: Lost) -> None:
        """Say which images are lost, each once, and count them."""
        for place, reason in lost.items():
            if place in self.lost:
                continue
            self.lost[place] = reason
            count = len(self.lost)
            if count <= NAMED_AT_MOST or count % NAMED_AT_MOST == 0:
                LOG.warning("%s; left out (%d of %d images so far)", reason, count, self.samples.images)

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch that the next pass goes through: its order, crops and noise.

        Parameters
        ----------
        epoch : int
            The epoch.
        first : int
            Batches at its beginning that are left out: a resumed run has had them.
        """
        self._sampler.samples.set_epoch(epoch, first * self._sampler.size)

    def share(self, number: int) -> Share:
        """What of an epoch's batch `number`, from 0, is this process's.

        Where that is nothing, the loader gives one sample all the same, to be left out.
        """
        return self._sampler.share(number)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[Sample]:
        if self._batches is None:
            raise RuntimeError("this loader has been closed")
        try:
            for batch in self._started(self._batches):
                if isinstance(batch, UserError):
                    raise batch
                self.note_lost(batch.pop("lost"))
                yield batch
        except (RuntimeError, ConnectionError, EOFError) as error:
            raise worker_error(error, self.samples.source.where) or error from None

    def _started(self, batches: DataLoader[Any]) -> Iterator[Any]:
        try:
            return iter(batches)
        except OSError as error:
            raise DataError(
                f"loader workers cannot be started: {error.strerror}; most often shared memory (/dev/shm) ran"
                " out: use fewer workers (--thread)"
            ) from None

    def close(self) -> None:
        """End the workers."""
        self._batches = None


def worker_error(error: Exception, where: str) -> DataError | None:
    """What an error of PyTorch's says of loader workers, in plain words; None if it is about other things.

    A worker that was killed is told by a signal, in the midst of whatever this process does.
    """
    said = str(error).strip()
    if isinstance(error, UserError):
        return None
    if "DataLoader timed out" in said:
        return DataError(
            f"{where}: no batch within {LONGEST_WAIT} s: a loader worker hangs, most often on a disk or"
            " network that does not answer"
        )
    reason = ""
    if isinstance(error, ConnectionError | EOFError) or "ancdata" in said:
        reason = "a loader worker ended while it handed over a batch"
    elif "DataLoader worker (pid" in said or "unable to allocate shared memory" in said:
        reason = said.splitlines()[-1].removeprefix("RuntimeError: ").rstrip(".")
    if reason:
        return DataError(
            f"{where}: {reason}; most often memory or shared memory (/dev/shm) ran out: use fewer workers"
            " (--thread)"
        )
    return None


def kill_workers() -> None:
    """End every worker that is left: one that hangs would keep this process waiting, or outlive it."""
    heard = None
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        # PyTorch's handler raises when a worker is killed, also by us.
        heard = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        if worker.daemon:
            worker.kill()
            worker.join()
    if heard is not None:
        signal.signal(signal.SIGCHLD, heard)


# Workers leave SIGTERM to the trainer, and Python, when it ends, sends them nothing else and waits.
atexit.register(kill_workers)


def build_loader(
    samples: Samples, batch_size: int, workers: int = 0, pin_memory: bool = False,
    rank: int = 0, processes: int = 1,
) -> Loader:  # fmt: skip
    """A loader that gives the same batches whatever the number of workers, and of processes together.

    Parameters
    ----------
    samples : Samples
        Shuffled if they are for training.
    batch_size : int
        Samples in a batch; images without a crop size may differ in size and then come one at a time.
    workers : int
        Processes that prepare samples; 0 = this one. Validation and test use at most one, which is always
        ahead of the network.
    pin_memory : bool
        Whether batches are put where a GPU can fetch them by itself.
    rank, processes : int
        Which of how many processes this is; each gets its share of every batch.

    Returns
    -------
    Loader
    """
    order = EpochSampler(
        len(samples), samples.seed, samples.training, samples.images, samples.view.crops_at_a_time
    )
    sampler = SharedBatches(order, batch_size, rank, processes)
    workers = min(workers, usable_cores() if samples.training else 1)
    if samples.training:
        prepare(samples, workers)
    batches: DataLoader[Any] = DataLoader(
        Guarded(samples),
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin_memory,
        timeout=LONGEST_WAIT if workers else 0,
        worker_init_fn=start_worker,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # otherwise each pass would consume the global one
    )
    return Loader(samples, batches, sampler)
