"""The order of the system calls that save files, and kills at each of them, by strace."""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.faults.conftest import SEED
from tests.faults.program import run

WORDS = ("-s", "run", "-g", "cpu", "--thread", "0")
CALLS = ("fsync", "rename", "unlink")
TRACED = "/^(fsync|rename|renameat|renameat2|unlink|unlinkat)$"


def traced(*words):
    """Attach strace to this process."""
    subprocess.Popen(["strace", "-qq", "-y", *words, "-p", str(os.getpid())])
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
        time.sleep(0.01)


@pytest.fixture(scope="module")
def strace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strace")
    if sys.platform != "linux" or shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    child = subprocess.Popen(["sleep", "10"])
    words = ["strace", "-qq", "-e", "trace=none", "-p", str(child.pid)]
    watching = subprocess.Popen(words, stderr=subprocess.PIPE, cwd=folder)
    time.sleep(0.5)
    attached = watching.poll() is None
    child.kill()
    child.wait()
    watching.wait()
    if not attached:
        pytest.skip("strace may not attach to processes here")


@pytest.fixture(scope="module")
def calls(strace, tmp_path_factory, write_config):
    """The calls of an undisturbed run."""
    folder = write_config(tmp_path_factory.mktemp("traced"))
    setup = partial(traced, "-f", "-o", str(folder / "calls.txt"), "-e", f"trace={TRACED}")
    ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, setup=setup)
    assert ended.code == 0, ended.err
    return (folder / "calls.txt").read_text().splitlines()


def of_kind(calls, kind):
    return [line for line in calls if re.search(rf"\b{kind}(at2?)?\(", line)]


def test_k1_k4_a_checkpoint_is_on_the_disk_before_it_is_renamed_and_before_an_old_one_is_deleted(calls):
    durable, named, gone = set(), [], []  # synced names; renamed and deleted checkpoints
    for line in calls:
        paths = [Path(path) for path in re.findall(r'["<](.*?)[">]', line)]
        if "fsync(" in line:
            durable.add(paths[0].name)
        elif re.search(r"\brename", line) and paths[-1].suffix in (".pth", ".json"):
            assert paths[0].name in durable, line
            durable -= {paths[0].name, paths[-1].parent.name}
            named += [paths[-1]] if paths[-1].suffix == ".pth" else []
        elif re.search(r"\bunlink", line) and paths[-1].suffix == ".pth":
            assert paths[-1] != named[-1] and named[-1].parent.name in durable, line
            gone.append(paths[-1])
    assert len(named) > 10 and len(gone) > 5


def test_k1_k4_b2_killed_at_any_call_that_saves_a_run_ends_as_the_undisturbed_one(
    calls, undisturbed, tmp_path, write_config, outcome, trials
):
    points = [(kind, n) for kind in CALLS for n in range(1, len(of_kind(calls, kind)) + 1)]
    kills = trials("SIGKILL at a call that saves a file (strace), then -r", small=5, full=120)
    points = random.Random(SEED).sample(points, min(kills.count, len(points)))
    for (kind, n), (number, _) in zip(points, kills, strict=False):
        folder = write_config(tmp_path / str(number))
        pattern = f"/^{kind}(at2?)?$"
        inject = f"inject={pattern}:signal=KILL:when={n}"
        setup = partial(traced, "-f", "-o", "/dev/null", "-e", f"trace={pattern}", "-e", inject)
        ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, setup=setup)
        kills.expect(ended.code == -9, f"{kind} {n}: {ended}")
        kills.note(kind)
        known = (folder / "output" / "run").exists()
        ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, *(["-r"] if known else []))
        kills.expect(
            ended.code == 0 and outcome(folder) == undisturbed.outcome, f"{kind} {n}, resumed: {ended}"
        )
        kills.expect(not list(folder.rglob("*.tmp")), f"{kind} {n}: {folder}")
