"""The work of a loader worker: read samples and stack them to batches, 8-bit images in 8 bits."""

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
    """Fill the cache of training samples, if any, with `jobs` threads, and switch 8-bit images to uint8.

    uint8 takes a quarter of the bytes between worker and device. `as_float` converts it there, to the same
    values.
    """
    samples.used.source = cached(samples.source, samples.used.numbers, samples.view, jobs)
    samples.to_tensor = as_tensor


class ErrorsAsValues(Dataset[Any]):
    """Samples, or the `UserError` of a sample: raised in a worker, it would arrive as a traceback.

    Image warnings are ignored, because `check_images` has reported them.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def __getitem__(self, key: tuple[int, int]) -> Sample | UserError:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)
            try:
                return self.samples[key]
            except UserError as error:
                return error


def collate(items: list[Sample | UserError]) -> Sample | UserError:
    """Stack samples to a batch, with their images `lost`; or return the first error."""
    samples: list[Sample] = []
    lost: Lost = {}
    for item in items:
        if isinstance(item, UserError):
            return item
        lost |= item.pop("lost", {})
        samples.append(item)
    for key in {"noisy", "clean"} & samples[0].keys():
        if len({sample[key].dtype for sample in samples}) > 1:  # images of several data types
            samples = [{**sample, key: as_float(sample[key])} for sample in samples]
    return {**default_collate(samples), "lost": lost}


def start_worker(worker: int) -> None:
    """Set up a worker process. PyTorch already limits itself to one thread."""
    use_one_thread()
    # If a batch cannot be sent, PyTorch prints the error and waits forever. It notices a worker that ends.
    Queue._on_queue_feeder_error = staticmethod(_end)  # type: ignore[attr-defined]
    for name in ("SIGINT", "SIGTERM", "SIGUSR1"):  # the main process handles these
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _end(error: Exception, batch: object) -> None:
    """End a worker that cannot send a batch, for example because shared memory is full."""
    os._exit(1)
