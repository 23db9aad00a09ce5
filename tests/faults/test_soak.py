"""In a long training, memory, open files and threads do not grow."""

import os
import statistics
import sys
import time
from pathlib import Path

import pytest

from tests.faults.conftest import FULL
from tests.faults.program import Program


def state_of(pid):
    """Return resident memory in bytes, open files and threads of a process."""
    place = Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
    return {
        "memory": 1024 * int(status["VmRSS"].split()[0]),
        "files": len(os.listdir(place / "fd")),
        "threads": int(status["Threads"]),
    }


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_t12_no_resource_grows_during_training(tmp_path, write_config, trials):
    """With a save every second step, and a validation after each epoch of six steps."""
    tried = trials("long training: memory, files and threads flat", small=1, full=2)
    for number, _ in tried:
        epochs, workers = (500 if FULL else 40), 2 * number
        folder = write_config(tmp_path / str(number), max_epochs=epochs)
        words = ("-c", "tiny.yaml", "-s", "run", "-g", "cpu", "--thread", workers)
        program = Program(folder, "main.py", *words, "--set", "validation.num_of_saves=1")
        log, seen = folder / "output" / "run" / "logs" / "train.log", []
        while program.wait(0.05) is None:
            text = log.read_text() if log.exists() else ""
            place = text.rpartition(", step ")[2].partition("/")[0]
            if place.isdecimal() and (not seen or int(place) > seen[-1][0]):
                try:
                    seen.append((int(place), state_of(program.process.pid)))
                except (OSError, KeyError):  # it has ended
                    break
            time.sleep(0.1)
        ended = program.wait(120)
        tried.expect(ended is not None and ended.code == 0, f"{number}: {ended}")
        steps = 6 * epochs
        early = [state for step, state in seen if 0.2 * steps < step < 0.4 * steps]
        late = [state for step, state in seen if 0.8 * steps < step]
        tried.expect(len(early) > 1 and len(late) > 1, f"{number}: seen {len(seen)} times")
        for what in ("files", "threads"):  # some come and go: compare the least
            usual = statistics.median_high(state[what] for state in early)
            tried.expect(min(s[what] for s in late) <= usual, f"{number}: {what} {early[0]} {late[-1]}")
        memory = [sum(s["memory"] for s in part) / len(part) for part in (early, late)]
        growth = memory[1] / memory[0] - 1
        tried.expect(growth < 0.02, f"{number}: memory {memory}")
        tried.note(f"{steps} steps: memory {growth:+.1%}, {late[-1]['files']} files")
        kept = sum(1 for path in (folder / "output").rglob("*.pth"))
        tried.expect(kept <= 6, f"{number}: {kept} checkpoints")
