"""What loader workers do: samples become batches, images of 8 bits in 8 bits."""

import os
import signal
import warnings
from multiprocessing.queues import Queue
from typing import Any

from torch.utils.data import Dataset, default_collate

from src.data_handlers.samples.cache import cached
from src.data_handlers.samples.samples import Sample, Samples
from src.data_handlers.samples.used import Lost
from src.util.errors import UserError
from src.util.images.io import ImageWarning, as_float, as_tensor, use_one_thread


def prepare(samples: Samples, jobs: int) -> None:
    """Before training samples go to workers: decode the images if they are to be kept, in so many threads.

    From here on images of 8 bits are uint8, a quarter of the bytes that go from a worker to a device, where
    `as_float` makes the same numbers of them.
    """
    samples.used.source = cached(samples.source, samples.used.numbers, samples.view, jobs)
    samples.to_tensor = as_tensor


class Guarded(Dataset[Any]):
    """Gives a user's error back as a value: raised in a worker it would arrive as a traceback.

    What an image's reading adapts is not said again, whether a worker reads or the training itself.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, key: tuple[int, int]) -> Sample | UserError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)  # `Samples.check` has told all of it
            try:
                return self.samples[key]
            except UserError as error:
                return error


def collate(items: list[Sample | UserError]) -> Sample | UserError:
    """Stack samples to a batch, with what was `lost` for all of them; or give back the first error."""
    samples: list[Sample] = []
    lost: Lost = {}
    for item in items:
        if isinstance(item, UserError):
            return item
        lost |= item.pop("lost", {})
        samples.append(item)
    for key in {"noisy", "clean"} & samples[0].keys():
        if len({sample[key].dtype for sample in samples}) > 1:  # images of several types
            samples = [{**sample, key: as_float(sample[key])} for sample in samples]
    return {**default_collate(samples), "lost": lost}


def start_worker(worker: int) -> None:
    """Set up a worker process; PyTorch gives it one thread of its own accord."""
    use_one_thread()
    # PyTorch would print the error and wait for the batch in vain; of a worker that ends it hears.
    Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[attr-defined]
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):  # these are for the trainer, which ends its workers
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _end(error: Exception, batch: object) -> None:
    """End a worker that cannot hand over a batch, as where shared memory is full."""
    os._exit(1)
