"""What a child process does to itself before its script runs: a signal, a full disk, a time to begin."""

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
    """Start at a time, so that several do so together."""
    time.sleep(max(0.0, moment - time.time()))


def signal_in(place, number, call, times):
    """Send this process a signal within the call number so many of `module:Class.method`."""
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
    """From its opening number so many on, a file with `part` in its path is on a disk without room."""
    original, calls = builtins.open, iter(range(10**9))

    def opened(file, mode="r", *arguments, **keywords):
        writes = isinstance(file, str | bytes | os.PathLike) and any(letter in mode for letter in "wax")
        if writes and part in os.fsdecode(file) and next(calls) >= call:
            file, mode = "/dev/full", mode.replace("x", "w")  # the kernel's own: every write gets ENOSPC
        return original(file, mode, *arguments, **keywords)

    builtins.open = io.open = opened


def worker_trouble(kind, call):
    """In a loader worker, at its sample number so many: `kill`, `memory`, `lost` or `hang`."""
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
    """Give this process a /dev/shm of its own, in which there is no room."""
    library = ctypes.CDLL(None, use_errno=True)
    for result in (
        library.unshare(0x20000),  # CLONE_NEWNS
        library.mount(b"none", b"/", None, 0x44000, None),  # MS_REC | MS_PRIVATE
        library.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=64k"),
    ):
        if result:
            raise OSError(ctypes.get_errno(), "no mount of its own")


def little_memory(more):
    """Leave this process so many bytes of memory beyond what it has."""
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def lose_image(path, how, step):
    """Before the training step number so many: `delete`, `truncate`, `empty`, `zero` or `unmount` it."""
    from src.data_handlers.samples import samples
    from src.trainer.training.step import TrainingStep

    samples.CACHE_BYTES = 0
    original, steps = TrainingStep.__call__, iter(range(10**9))
    path = Path(path)

    def patched(self, *arguments):
        if next(steps) == step:
            data = path.read_bytes()
            content = {"truncate": data[: len(data) // 2], "empty": b"", "zero": bytes(len(data))}
            if how == "unmount":
                path.parent.rename(path.parent.with_name("unmounted"))
            elif how == "delete":
                path.unlink()
            else:
                path.write_bytes(content[how])
        return original(self, *arguments)

    TrainingStep.__call__ = patched


def lose_folder(path, step):
    """Before the training step number so many, as a lost mount takes it away."""
    from src.trainer.training.step import TrainingStep

    original, steps = TrainingStep.__call__, iter(range(10**9))

    def patched(self, *arguments):
        if next(steps) == step:
            Path(path).rename(f"{path}.lost")
        return original(self, *arguments)

    TrainingStep.__call__ = patched
