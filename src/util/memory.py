"""Measure and keep memory, and recognise errors that mean too little memory."""

import ctypes
import os
import sys
from pathlib import Path

import torch

_CGROUPS = Path("/sys/fs/cgroup")

PLENTY = 8 * 2**30
"""Freed memory is kept only if at least this many bytes are available."""

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # parameters of mallopt
_USER_SETTINGS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def available_memory() -> int:
    """Return the available bytes of memory on Linux, within the limits of this process's control group.

    A container or a cluster job may have less memory than the machine. Return 0 if nothing is known.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable:")), 0)
    return min([free, *(_available_in(_CGROUPS / group.split(":", 2)[2].lstrip("/")) for group in groups)])


def _available_in(group: Path) -> int:
    """Return the bytes that a control group (version 2) and its parents leave."""
    left = 2**63
    for folder in (group, *group.parents):
        try:
            limit = (folder / "memory.max").read_text().strip()
            used = int((folder / "memory.current").read_text())
            reclaimable = (folder / "memory.stat").read_text().split()
        except (OSError, ValueError):
            continue
        if limit != "max":
            files = int(reclaimable[reclaimable.index("inactive_file") + 1])
            left = min(left, int(limit) - used + files)
    return max(0, left)


def keep_freed_memory() -> bool:
    """Let large tensors reuse freed memory, and return whether they do.

    The GNU C library returns freed blocks of more than 32 MiB to Linux, which clears new blocks page by page.
    On a CPU this takes an eighth to a quarter of a network's time. Kept memory fragments, up to half of it,
    so it is kept only if `PLENTY` is available. Allocator settings of the user are respected.
    """
    chosen = any(name.startswith(_USER_SETTINGS) for name in os.environ)
    if chosen or not sys.platform.startswith("linux") or available_memory() < PLENTY:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not in musl
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the machine or a GPU has too little memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    message = str(error).rstrip()
    # For the machine's memory PyTorch raises a plain RuntimeError. The second message is oneDNN's; for an
    # unsupported operation it goes on with "descriptor ...".
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in message or message.endswith("could not create a primitive")
    )
