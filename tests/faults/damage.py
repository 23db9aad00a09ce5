"""What a child process does to itself before its script runs: a signal, a full disk, a time to begin."""

import builtins
import importlib
import io
import os
import time


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
