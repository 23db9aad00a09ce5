"""Killed at each call by which files are saved, by strace; and the order of these calls."""

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
    """Let strace watch this process from now on."""
    subprocess.Popen(["strace", "-qq", "-y", *words, "-p", str(os.getpid())])
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text():
        time.sleep(0.01)


@pytest.fixture(scope="module")
def strace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("strace")
    if sys.platform != "linux" or shutil.which("strace") is None:
        pytest.skip("no strace")
    child = subprocess.Popen(["sleep", "10"])
    words = ["strace", "-qq", "-e", "trace=none", "-p", str(child.pid)]
    watching = subprocess.Popen(words, stderr=subprocess.PIPE, cwd=folder)
    time.sleep(0.5)
    attached = watching.poll() is None
    child.kill()
    child.wait()
    watching.wait()
    if not attached:
        pytest.skip("strace may not watch processes here")


@pytest.fixture(scope="module")
def whole(strace, tmp_path_factory, write_config, outcome):
    """The run that nobody disturbs: what it came to, and the calls that it made."""
    folder = write_config(tmp_path_factory.mktemp("whole"))
    setup = partial(traced, "-f", "-o", str(folder / "calls.txt"), "-e", f"trace={TRACED}")
    ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, setup=setup)
    assert ended.code == 0, ended.err
    return outcome(folder), (folder / "calls.txt").read_text().splitlines()


def made(calls, kind):
    return [line for line in calls if re.search(rf"\b{kind}(at2?)?\(", line)]


def test_k1_k4_a_new_checkpoint_is_on_the_disk_before_it_gets_its_name_and_before_an_old_one_goes(whole):
    _, calls = whole
    durable, named, gone = set(), [], []  # on the disk; checkpoints in the order of their names; gone ones
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
    whole, tmp_path, write_config, outcome, trials
):
    expected, undisturbed = whole
    points = [(kind, n) for kind in CALLS for n in range(1, len(made(undisturbed, kind)) + 1)]
    kills = trials("SIGKILL at a call that saves a file (strace), then -r", small=5, full=120)
    points = random.Random(SEED).sample(points, min(kills.count, len(points)))
    for (kind, n), (number, _) in zip(points, kills, strict=False):
        folder = write_config(tmp_path / str(number))
        calls = f"/^{kind}(at2?)?$"
        inject = f"inject={calls}:signal=KILL:when={n}"
        setup = partial(traced, "-f", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject)
        ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, setup=setup)
        kills.expect(ended.code == -9, f"{kind} {n}: {ended}")
        kills.note(kind)
        known = (folder / "output" / "run").exists()
        ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, *(["-r"] if known else []))
        kills.expect(ended.code == 0 and outcome(folder) == expected, f"{kind} {n}, resumed: {ended}")
        kills.expect(not list(folder.rglob("*.tmp")), f"{kind} {n}: {folder}")
