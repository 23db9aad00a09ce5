import multiprocessing
import os
import subprocess
import sys
from time import sleep

import pytest

from src.data_handlers.preparation.workers import run_tasks
from src.util.errors import StorageError


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_task_is_done_once(jobs):
    assert sorted(run_tasks(abs, range(-20, 0), jobs)) == list(range(1, 21))


def test_a_worker_that_is_killed_is_a_clear_message_and_no_hang():
    with pytest.raises(StorageError, match="memory ran out; run the same command with a --jobs below 2"):
        list(run_tasks(os._exit, [9, 9, 9], 2))


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_task_raises_arrives_and_ends_the_others(jobs):
    with pytest.raises(OverflowError):
        list(run_tasks(sleep, [0, 1e300, 0], jobs))


def test_workers_that_share_nothing_with_this_process_do_the_same(monkeypatch):
    """As on Windows and macOS, where processes are spawned."""
    spawn = multiprocessing.get_context("spawn")
    monkeypatch.setattr(multiprocessing, "get_context", lambda: spawn)
    assert sorted(run_tasks(abs, range(-5, 0), 2)) == [1, 2, 3, 4, 5]


ENDS_WHEN_BORN = """
import os, signal
from src.data_handlers.preparation.workers import run_tasks

def end(*_):
    raise SystemExit("a signal was handled in a worker")

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    print(sorted(run_tasks(abs, [-1, -2, -3], 2)))
"""


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_a_signal_to_a_worker_that_just_starts_is_ignored():
    """A terminal or cluster sends it to all processes."""
    ended = subprocess.run([sys.executable, "-c", ENDS_WHEN_BORN], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr) == ("[1, 2, 3]\n", "")
