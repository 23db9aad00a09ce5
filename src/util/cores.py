"""How many cores there are."""

import os


def usable_cores() -> int:
    """Cores this process may use; more workers than that only wait for each other."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
