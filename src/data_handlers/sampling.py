"""The order of samples, and the workers that prepare them."""

import math
import multiprocessing
import signal
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from src.data_handlers.samples import Sample, Samples
from src.util.cores import usable_cores
from src.util.errors import DataError, UserError
from src.util.image_io import PictureWarning, use_one_thread
from src.util.seed import make_generator

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
    pictures, together : int
        Sample i shows picture i % `pictures`; `together` samples of one picture follow each other.
    """

    def __init__(self, count: int, seed: int, shuffle: bool, pictures: int = 1, together: int = 1) -> None:
        self.count = count
        self.pictures = pictures
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
        """Visits to pictures in random order, each of `together` samples."""
        generator = make_generator(self.seed, "order", self.epoch)
        visits = math.ceil(self.count / (self.pictures * self.together)) * self.pictures
        visit = torch.randperm(visits, generator=generator)[:, None]
        repeat = visit // self.pictures * self.together + torch.arange(self.together)
        order = (repeat * self.pictures + visit % self.pictures).flatten()
        return order[order < self.count]


class Loader:
    """Batches of samples; `build_loader` makes one.

    A batch is the samples' dict with `noisy` and `clean` stacked to (B, C, H, W), `index` to a Tensor (B,)
    and `name` to a list. The last batch of an epoch holds what is left, so a set smaller than a batch trains
    too.

    Parameters
    ----------
    samples : Samples
        What is loaded.
    batches : DataLoader
        How.
    sampler : EpochSampler
        In which order.
    """

    def __init__(self, samples: Samples, batches: DataLoader[Any], sampler: EpochSampler) -> None:
        self.samples = samples
        self._batches: DataLoader[Any] | None = batches
        self._length = len(batches)
        self._batch_size = batches.batch_size or 1
        self._sampler = sampler

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Choose the epoch that the next pass goes through: its order, crops and noise.

        Parameters
        ----------
        epoch : int
            The epoch.
        first : int
            Batches at its beginning that are left out: a resumed run has had them.
        """
        self._sampler.set_epoch(epoch, first * self._batch_size)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Sample]:
        if self._batches is None:
            raise RuntimeError("this loader has been closed")
        try:
            for batch in self._batches:
                if isinstance(batch, UserError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if "DataLoader timed out" in str(error):
                raise DataError(
                    f"{self.samples.source.where}: no batch within {LONGEST_WAIT} s: a loader worker hangs,"
                    " most often on a disk or network that does not answer"
                ) from None
            if "DataLoader worker" not in str(error):
                raise
            raise DataError(
                f"{self.samples.source.where}: {str(error).rstrip('.')}; most often memory or shared memory"
                " (/dev/shm) ran out: use fewer workers (--thread)"
            ) from None

    def close(self) -> None:
        """End the workers."""
        self._batches = None


def kill_workers() -> None:
    """End every worker that is left: one that hangs would keep this process waiting, or outlive it."""
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()


def build_loader(samples: Samples, batch_size: int, workers: int = 0, pin_memory: bool = False) -> Loader:
    """A loader that gives the same batches whatever the number of workers.

    Parameters
    ----------
    samples : Samples
        Shuffled if they are for training.
    batch_size : int
        Samples in a batch; pictures without a crop size may differ in size and then come one at a time.
    workers : int
        Processes that prepare samples; 0 = this one. Validation and test use at most one, which is always
        ahead of the network.
    pin_memory : bool
        Whether batches are put where a GPU can fetch them by itself.

    Returns
    -------
    Loader
    """
    sampler = EpochSampler(
        len(samples), samples.seed, samples.training, samples.pictures, samples.view.crops_at_a_time
    )
    workers = min(workers, usable_cores() if samples.training else 1)
    batches: DataLoader[Any] = DataLoader(
        _Guarded(samples),
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin_memory,
        timeout=LONGEST_WAIT if workers else 0,
        worker_init_fn=_start_worker,
        persistent_workers=workers > 0,
        generator=torch.Generator(),  # otherwise each pass would consume the global one
    )
    return Loader(samples, batches, sampler)


class _Guarded(Dataset[Any]):
    """Gives a user's error back as a value: raised in a worker it would arrive as a traceback."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, key: tuple[int, int]) -> Sample | UserError:
        try:
            return self.samples[key]
        except UserError as error:
            return error


def _collate(items: list[Sample | UserError]) -> Sample | UserError:
    for item in items:
        if isinstance(item, UserError):
            return item
    return default_collate(items)


def _start_worker(worker: int) -> None:
    """Set up a worker process; PyTorch gives it one thread of its own accord."""
    use_one_thread()
    warnings.simplefilter("ignore", PictureWarning)  # `Samples.check` has told all of it
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):  # these are for the trainer, which ends its workers
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
