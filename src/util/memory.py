"""How much memory there is, keeping it, and running out of it, told from other errors."""

import ctypes
import os
import sys
from pathlib import Path

import torch

_CGROUPS = Path("/sys/fs/cgroup")

PLENTY = 8 * 2**30
"""Where less memory is free, in bytes, none is kept."""

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # mallopt's numbers
_USERS_CHOICE = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD")


def available_memory() -> int:
    """Bytes of memory that can still be taken, on Linux: of the machine, and of this process's control group.

    A container or a cluster's job may have less than the machine. 0 where nothing is known.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return 0
    free = next((int(line.split()[1]) * 2**10 for line in lines if line.startswith("MemAvailable:")), 0)
    return min([free, *(_left_in(_CGROUPS / group.split(":", 2)[2].lstrip("/")) for group in groups)])


def _left_in(group: Path) -> int:
    """What version 2's control group, and those above it, leave."""
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
    """Let large tensors take the memory of earlier ones; say whether they will.

    Linux's C library gives blocks of more than 32 MiB back to the system when they are freed, and the system
    clears what is taken next, page by page: an eighth to a quarter of the time that a network of usual width
    takes on a CPU. Memory that is kept has holes which nothing fits, up to half of the whole; so none is kept
    where less than `PLENTY` is free. Settings of the user's own stay.
    """
    chosen = any(name.startswith(_USERS_CHOICE) for name in os.environ)
    if chosen or not sys.platform.startswith("linux") or available_memory() < PLENTY:
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of the machine or of a GPU did not suffice.

    Parameters
    ----------
    error : BaseException
        torch raises OutOfMemoryError for a GPU, but a plain RuntimeError for the machine's own memory.
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(error).rstrip()
    # The second is oneDNN's, which says no more; what it does not know ends in "descriptor ...".
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in said or said.endswith("could not create a primitive")
    )
