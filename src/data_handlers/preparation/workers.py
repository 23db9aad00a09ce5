"""Tasks done by processes, which end with the process that started them."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from multiprocessing.synchronize import Event
from threading import Thread
from typing import Any, TypeVar

from src.util.errors import StorageError
from src.util.images.io import use_one_thread

Task = TypeVar("Task")
Result = TypeVar("Result")

# Of a worker process: set when its preparation stops.
_stop: Event | None = None


def run_tasks(
    work: Callable[[Task], Result], tasks: Iterable[Task], jobs: int
) -> Generator[Result, None, None]:
    """Do tasks, `jobs` of them at a time; close the generator to stop.

    Parameters
    ----------
    work : callable
        Can be sent to a process. In a long task it asks `stopped` now and then.
    tasks : iterable
        Asked for the next one only when a worker is about to need it.
    jobs : int
        Worker processes; 1 = this process.

    Yields
    ------
    object
        Results of `work`, in any order; what it raises is raised here.

    Raises
    ------
    StorageError
        When a worker was ended from outside, or memory ran out.
    """
    if jobs == 1:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context()
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, context, _start_worker, (stop,))
    pending: set[Future[Result]] = set()
    try:
        for task in tasks:
            pending.add(pool.submit(work, task))
            if len(pending) >= 2 * jobs:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        while pending:
            done, pending = wait(pending, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
    except (BrokenProcessPool, MemoryError):
        raise StorageError(
            f"a worker process was ended, most likely because memory ran out; run the same command with a"
            f" --jobs below {jobs}: it goes on from here"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def stopped() -> bool:
    """Whether the preparation that this worker belongs to stops."""
    return _stop is not None and _stop.is_set()


def _start_worker(stop: Any) -> None:
    global _stop
    _stop = stop
    # They reach all, from a terminal or a cluster; the first process tells the others.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    use_one_thread()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Otherwise workers of a killed preparation would wait for ever, and hold its lock."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
