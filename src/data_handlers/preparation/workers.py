"""Run tasks in worker processes that end with the process that started them."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from multiprocessing.synchronize import Event
from threading import Thread
from typing import Any, TypeVar

from src.util.errors import StorageError
from src.util.images.io import use_one_thread

Task = TypeVar("Task")
Result = TypeVar("Result")

# In a worker process: set when its preparation stops.
_stop: Event | None = None

_STOPPING = signal.SIGINT, signal.SIGTERM


def run_tasks(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int
) -> Generator[Result, None, None]:
    """Run tasks, `jobs` of them at a time; close the generator to stop.

    Parameters
    ----------
    work : callable
        Can be sent to a process. A long task must check `stopped` now and then.
    tasks : sequence
        Its arguments.
    jobs : int
        Worker processes; 1 = this process.

    Yields
    ------
    object
        The results of `work`, in any order; what it raises is raised here.

    Raises
    ------
    StorageError
        If a worker was killed or memory ran out.
    """
    if jobs == 1:
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context()
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, context, _start_worker, (stop,))
    try:
        with _signals_wait():  # this starts the processes
            futures = [pool.submit(work, task) for task in tasks]
        for future in as_completed(futures):
            yield future.result()
    except (BrokenProcessPool, MemoryError):
        raise StorageError(
            "a worker process was killed, most likely because memory ran out; run the same command with a"
            f" --jobs below {jobs}: finished pieces are kept"
        ) from None
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


def stopped() -> bool:
    """Return whether this worker's preparation is stopping."""
    return _stop is not None and _stop.is_set()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let signals that stop the program wait, also in processes that are started now.

    A new process has the main one's handlers until it ignores these signals, and would raise their errors.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(stop: Any) -> None:
    global _stop
    _stop = stop
    # A terminal or cluster sends these to all processes; the main process sets `stop`.
    for number in _STOPPING:
        signal.signal(number, signal.SIG_IGN)
    use_one_thread()
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker when its parent is killed; it would wait forever and hold the lock."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
