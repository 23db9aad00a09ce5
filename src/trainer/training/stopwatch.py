"""Time each part of a step, without synchronising with the GPU."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stopwatch:
    """Adds up the seconds spent in named parts between two reports.

    Parameters
    ----------
    device : torch.device
        A CUDA device is timed by events in its queue, which only `report` reads.
    """

    def __init__(self, device: torch.device) -> None:
        self.on_gpu = device.type == "cuda"
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def part(self, name: str, host: bool = False) -> Iterator[None]:
        """Time a `with` block as `name`; `host` marks work outside the device's queue."""
        if self.on_gpu and not host:
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            yield
            end.record()
            self.events.append((name, start, end))
        else:
            begin = time.perf_counter()
            yield
            self.seconds[name] += time.perf_counter() - begin

    def report(self) -> dict[str, float]:
        """Return seconds by part since the last report; synchronise with the device once."""
        if self.events:
            torch.cuda.synchronize()
            for name, start, end in self.events:
                self.seconds[name] += start.elapsed_time(end) / 1000
            self.events.clear()
        seconds = dict(self.seconds)
        self.seconds.clear()
        return seconds
