"""Faults that a child process injects into itself before its script runs."""

import builtins
import ctypes
import importlib
import io
import os
import resource
import signal
import time
from pathlib import Path


def begin_at(moment):
    """Wait until a moment, so that several processes start together."""
    time.sleep(max(0.0, moment - time.time()))


def signal_in(place, number, call, times):
    """Send this process a signal, `times` times, in the given call (from 0) of `module:Class.method`."""
    module, _, path = place.partition(":")
    owner = importlib.import_module(module)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    original, calls = getattr(owner, name), iter(range(10**9))

    def signalled(*arguments, **keywords):
        if next(calls) == call:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return original(*arguments, **keywords)

    setattr(owner, name, signalled)


def full_disk(part, call):
    """Let writes to files with `part` in their path fail, from the given opening (from 0) on."""
    original, calls = builtins.open, iter(range(10**9))

    def opened(file, mode="r", *arguments, **keywords):
        writes = isinstance(file, str | bytes | os.PathLike) and any(letter in mode for letter in "wax")
        if writes and part in os.fsdecode(file) and next(calls) >= call:
            file, mode = "/dev/full", mode.replace("x", "w")  # every write fails with ENOSPC
        return original(file, mode, *arguments, **keywords)

    builtins.open = io.open = opened


def worker_trouble(kind, call):
    """Let the first loader worker fail at the given sample: `kill`, `memory`, `lost` or `hang`."""
    from torch.utils.data import get_worker_info

    from src.data_handlers.loading import sampling
    from src.data_handlers.samples.samples import Samples
    from src.util.errors import DataError

    original, calls = Samples.__getitem__, iter(range(10**9))
    sampling.LONGEST_WAIT = 5

    def troubled(self, key):
        worker = get_worker_info()
        if worker is not None and worker.id == 0 and self.training and next(calls) == call:
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "memory":
                raise MemoryError
            if kind == "lost":
                raise DataError("a.png: cannot be read")
            time.sleep(10**6)
        return original(self, key)

    Samples.__getitem__ = troubled


def small_shared_memory():
    """Mount a full /dev/shm for this process."""
    library = ctypes.CDLL(None, use_errno=True)
    for result in (
        library.unshare(0x20000),  # CLONE_NEWNS
        library.mount(b"none", b"/", None, 0x44000, None),  # MS_REC | MS_PRIVATE
        library.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=64k"),
    ):
        if result:
            raise OSError(ctypes.get_errno(), "cannot mount /dev/shm")


def little_memory(more):
    """Limit the memory of this process to `more` bytes above its current size."""
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def lose_image(path, how, step):
    """Before a training step, `delete`, `truncate`, `empty`, `zero` or `unmount` an image."""
    from src.data_handlers.samples import samples

    samples.CACHE_BYTES = 0
    path = Path(path)

    def lose():
        data = path.read_bytes()
        content = {"truncate": data[: len(data) // 2], "empty": b"", "zero": bytes(len(data))}
        if how == "unmount":
            path.parent.rename(path.parent.with_name("unmounted"))
        elif how == "delete":
            path.unlink()
        else:
            path.write_bytes(content[how])

    before_step(step, lose)


def lose_folder(path, step):
    """Rename a folder before a training step, like a lost mount."""
    before_step(step, lambda: Path(path).rename(f"{path}.lost"))


def before_step(step, call):
    """Let the given training step (from 0) start with a call."""
    from src.trainer.training.step import TrainingStep

    original, steps = TrainingStep.__call__, iter(range(10**9))

    def patched(self, *arguments):
        if next(steps) == step:
            call()
        return original(self, *arguments)

    TrainingStep.__call__ = patched
