"""Processes under torchrun: start, supervision and restart."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from src.trainer.config.reading import to_yaml
from src.trainer.parallel.distributed import processes_of_torchrun
from src.util.device import resolve_device
from src.util.errors import ConfigError
from tests.trainer.parallel.conftest import LINUX_ALONE, SETTINGS, free_port

pytestmark = LINUX_ALONE

ROOT = Path(__file__).parents[3]


def start_torchrun(folder, run, script, *words, settings=(), **streams):
    """Start torchrun with a script that accepts main.py's flags."""
    (folder / "config.yaml").write_text(to_yaml(run.configure(*SETTINGS, *settings)), encoding="utf-8")
    return subprocess.Popen(
        [
            sys.executable, "-m", "torch.distributed.run", *words, f"--master-port={free_port()}", script,
            "-c", folder / "config.yaml", "-s", run.files.run_name, "--thread", "0", "-g", "cpu",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}, **streams,
    )  # fmt: skip


def torchrun(folder, run, code, *words):
    """Run code under torchrun to its end; return exit code and output."""
    (folder / "wrapper.py").write_text(code)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with start_torchrun(folder, run, folder / "wrapper.py", *words, text=True, **pipes) as started:
        try:
            out, errors = started.communicate(timeout=120)
        finally:
            started.kill()
    return subprocess.CompletedProcess(started.args, started.returncode, out, errors)


def test_processes_without_their_torchrun_save_and_end(new_run, pair, in_step, monkeypatch):
    run = new_run("run")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    in_step(3, 1, lambda noisy: monkeypatch.setattr(os, "getppid", lambda: 1) or noisy)
    started = pair(run, wait=False)
    assert started.ended() == [143, 143]
    assert run.last["state"]["step"] == 4


@pytest.mark.long
def test_after_torchrun_is_killed_its_processes_save_and_end(new_run, tmp_path):
    run = new_run("run")
    settings = ("training.max_epochs=10000", "validation.val=false")
    with open(tmp_path / "output.txt", "w") as output:
        torchrun = start_torchrun(
            tmp_path,
            run,
            ROOT / "main.py",
            "--nproc_per_node=2",
            settings=settings,
            stdout=output,
            stderr=output,
        )
        last = time.monotonic() + 120
        while not (run.files.log_file.is_file() and "step 3/" in run.log) and time.monotonic() < last:
            time.sleep(0.1)
        torchrun.kill()
        torchrun.wait()
    while "stopped by SIGTERM; saved" not in run.log and time.monotonic() < last:
        time.sleep(0.1)
    assert "stopped by SIGTERM; saved" in run.log, (tmp_path / "output.txt").read_text()
    assert run.last["state"]["step"] >= 3


WRAPPER = """
import os, signal, sys
import main
from src.trainer.training.step import TrainingStep
from src.util.script import run

original, steps = TrainingStep.__call__, iter(range(10**9))

def killed(self, *arguments):
    if next(steps) == 3 and os.environ["RANK"] == "0" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *arguments)

TrainingStep.__call__ = killed
sys.exit(run(main.main))
"""


@pytest.mark.long
def test_a_run_restarted_by_torchrun_equals_an_uninterrupted_one(whole, new_run, tmp_path, differing):
    killed = new_run("killed")
    result = torchrun(tmp_path, killed, WRAPPER, "--nproc_per_node=2", "--max-restarts=1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"resumed .*/killed_000_step_000002\.pth", killed.log)
    assert differing(whole["last"], {**killed.last, "config": whole["last"]["config"]}) == []
    assert killed.scores == whole["scores"]


IN_ITS_FIRST_STEP = """
import os, signal, sys
import main
from src.trainer.training.step import TrainingStep
from src.util.file_manager import FileManager
from src.util.script import run

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    FileManager.create = killed
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "1":
    TrainingStep.__call__ = killed
sys.exit(run(main.main))
"""


ENDS = """
import os
import torch
from src.trainer.parallel.distributed import processes_of_torchrun

with processes_of_torchrun() as processes:
    torch.optim.Adam([torch.zeros(1)])
    processes.barrier()
names = [open(f"/proc/self/task/{number}/comm").read() for number in os.listdir("/proc/self/task")]
print(*[name for name in names if "gloo" in name], sep="")
"""


def test_no_thread_of_gloo_is_left_at_the_end(new_run, tmp_path):
    """A thread that frees a tensor while Python exits would abort the process."""
    result = torchrun(tmp_path, new_run("any"), ENDS, "--nproc_per_node=2")
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr


@pytest.mark.long
def test_torchrun_restarts_a_single_process_before_and_after_its_run_exists(new_run, tmp_path):
    run = new_run("killed")
    result = torchrun(tmp_path, run, IN_ITS_FIRST_STEP, "--nproc_per_node=1", "--max-restarts=2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing was saved before: from the beginning" in run.log and run.epochs == [1, 2]


@pytest.mark.long
def test_f4_a_restart_after_a_refusal_does_not_resume_the_earlier_run(new_run, tmp_path, differing):
    earlier = new_run("earlier")
    earlier.train("training.max_epochs=1")
    before, log = earlier.last, earlier.log
    wrapper = "import main, sys\nfrom src.util.script import run\nsys.exit(run(main.main))\n"
    result = torchrun(tmp_path, earlier, wrapper, "--nproc_per_node=2", "--max-restarts=1")
    assert result.returncode != 0
    assert result.stderr.count("earlier exists; add -r to resume it, or choose another name") == 2
    assert differing(before, earlier.last) == [] and earlier.log == log


def test_a_build_with_nccl_trains_on_a_machine_without_a_gpu(new_run, pair, monkeypatch):
    """NCCL does not initialise there."""
    monkeypatch.setattr("torch.distributed.is_nccl_available", lambda: True)
    run = new_run("run")
    pair(run, "training.max_epochs=1")
    assert run.epochs == [1]


def test_an_environment_not_set_by_torchrun_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match=r"WORLD_SIZE is 2, but RANK, .* missing"), processes_of_torchrun():
        pass


def test_a_single_process_of_torchrun_is_alone(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    with processes_of_torchrun() as processes:
        assert processes.alone and processes.first
    assert not torch.distributed.is_initialized()


def test_each_process_takes_the_gpu_of_its_number(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: f"GPU model {number}")
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert resolve_device(None, 1)[0] == torch.device("cuda", 1) and chosen == [1]
    assert resolve_device("cpu", 1)[0] == torch.device("cpu")
    with pytest.raises(ConfigError, match="--nproc_per_node: 2 GPUs found, too few for process 3"):
        resolve_device("auto", 2)
