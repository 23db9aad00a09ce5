"""Loader workers that die, fail, hang or run out of memory: a clear error, no orphans, an exact resume."""

import os
import re
import signal
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.faults.damage import small_shared_memory, worker_trouble
from tests.faults.program import Program, run

WORDS = ("-s", "run", "-g", "cpu", "--thread", "2")


def group(process_group):
    """List the processes of a group that still run."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == process_group and fields[0] != "Z":
            found.append(status.parent.name)
    return found


CASES = {
    # If it dies while it hands over a batch, the broken connection is noticed before the signal.
    "killed": (partial(worker_trouble, "kill"), 7, r"worker \(pid|worker ended while it sent a batch"),
    "out of memory": (partial(worker_trouble, "memory"), 8, "out of memory"),
    "a lost image": (partial(worker_trouble, "lost"), 7, r"a\.png: cannot be read"),
    "hung": (partial(worker_trouble, "hang"), 7, "a loader worker hangs"),
    "no shared memory": (small_shared_memory, 7, r"\(/dev/shm\) ran out"),
}


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_t12_worker_failures_are_reported_and_leave_no_orphans(
    tmp_path, write_config, outcome, undisturbed, trials
):
    tried = trials("loader workers in trouble, then -r", small=len(CASES), full=3 * len(CASES))
    for number, rng in tried:
        case = list(CASES)[number % len(CASES)]
        setup, code, message = CASES[case]
        if case == "no shared memory" and os.geteuid():
            continue
        tried.note(case)
        folder = write_config(tmp_path / str(number))
        if case != "no shared memory":
            setup = partial(setup, rng.randint(0, 4))
        program = Program(folder, "main.py", "-c", "tiny.yaml", *WORDS, setup=setup)
        ended = program.wait(120)
        fine = ended is not None and ended.code == code and re.search(message, ended.err)
        tried.expect(fine and "Traceback" not in ended.err, f"{case}: {ended}")
        last = time.monotonic() + 10
        while (left := group(program.process.pid)) and time.monotonic() < last:
            time.sleep(0.1)
        tried.expect(not left, f"{case}: orphans {left}")
        for process in left:
            os.kill(int(process), signal.SIGKILL)
        resumed = run(folder, "main.py", "-c", "tiny.yaml", "-r", *WORDS)
        tried.expect(
            resumed.code == 0 and outcome(folder) == undisturbed.outcome, f"{case}, resumed: {resumed}"
        )
