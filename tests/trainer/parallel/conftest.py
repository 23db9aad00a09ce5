"""Two processes that train one run together as under torchrun, by gloo on the CPU."""

import multiprocessing
import os
import socket
import sys
import time

import pytest
import torch

import main as main_script
from src.trainer.config.reading import to_yaml
from src.trainer.training.step import TrainingStep
from src.util.script import run as run_script

LINUX_ALONE = pytest.mark.skipif(
    sys.platform != "linux", reason="forks processes, which is safe only on Linux"
)

# An epoch of 6 steps. The last has a single crop, so that one of two processes has none.
SETTINGS = [
    "training.dataset_args.crop_size=32", "training.dataset_args.repeat_times=7", "training.batch_size=4",
    "training.dataset_args.augmentations=[flip, rotate]", "training.scheduler.type=cosine",
    "checkpoint.interval_steps=2",
]  # fmt: skip


def rank():
    return int(os.environ.get("RANK", "0"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Pair:
    """Two processes that run main.py, forked so that they inherit a test's patches."""

    def __init__(self, folder, arguments):
        port, fork = free_port(), multiprocessing.get_context("fork")
        self.outputs = [folder / f"output_{port}_{number}.txt" for number in range(2)]
        self.processes = [
            fork.Process(target=self._run, args=(number, port, arguments)) for number in range(2)
        ]
        for process in self.processes:
            process.start()

    def _run(self, number, port, arguments):
        os.environ |= {
            "RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        }  # fmt: skip
        sys.stdout = sys.stderr = open(self.outputs[number], "w", encoding="utf-8", buffering=1)
        sys.argv = ["main.py", *arguments]
        sys.exit(run_script(main_script.main))

    def ended(self, seconds=60):
        """Return the exit codes. Fail if a process still runs after so many seconds."""
        last = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0, last - time.monotonic()))
        alive = [process for process in self.processes if process.is_alive()]
        for process in alive:
            process.kill()
        assert not alive, f"still running after {seconds} s: {self.text()}"
        return [process.exitcode for process in self.processes]

    def text(self):
        return "".join(path.read_text(encoding="utf-8") for path in self.outputs)


@pytest.fixture
def pair(tmp_path, new_run):
    """Train a run with two processes, by default to their end."""
    torch.optim.Adam([torch.zeros(1)])  # its first use imports for seconds; do that before the fork

    def start(run, *settings, device=("-g", "cpu"), resume=False, wait=True):
        config = tmp_path / f"{run.files.run_name}.yaml"
        config.write_text(to_yaml(run.configure(*SETTINGS, *settings)), encoding="utf-8")
        arguments = ["-c", str(config), "-s", run.files.run_name, "--thread", "0", *device]
        started = Pair(tmp_path, [*arguments, *(["-r"] if resume else [])])
        if wait:
            assert started.ended() == [0, 0], started.text()
        return started

    return start


@pytest.fixture
def in_step(monkeypatch):
    """Call a function in step `number`, from 0, of process `who`."""

    def patch(number, who, happen):
        original, steps = TrainingStep.__call__, iter(range(10**9))

        def patched(self, images, *arguments):
            if next(steps) == number and rank() == who:  # each process counts its own
                images = {**images, "noisy": happen(images["noisy"])}
            return original(self, images, *arguments)

        monkeypatch.setattr(TrainingStep, "__call__", patched)
        return lambda: monkeypatch.setattr(TrainingStep, "__call__", original)

    return patch


def send(number):
    def happen(noisy):
        os.kill(os.getpid(), number)
        return noisy

    return happen


@pytest.fixture(scope="session")
def uninterrupted():
    """Results of an uninterrupted run of two processes, filled in by the first test that needs them."""
    return {}


@pytest.fixture
def whole(uninterrupted, new_run, pair):
    if not uninterrupted:
        run = new_run("whole")
        pair(run)
        uninterrupted.update(last=run.last, losses=run.losses, scores=run.scores)
    return uninterrupted
