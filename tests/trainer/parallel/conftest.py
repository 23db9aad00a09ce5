"""Two processes that train one run together, as torchrun starts them; gloo on the CPU."""

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
    sys.platform != "linux", reason="starts processes as Linux alone does safely"
)

# An epoch of 6 steps, the last of a single crop: one of two processes then has nothing.
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
    """Two processes that call main.py; forked, so that what a test has patched is so in them."""

    def __init__(self, folder, arguments):
        port, fork = free_port(), multiprocessing.get_context("fork")
        self.said = [folder / f"said_{port}_{number}.txt" for number in range(2)]
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
        sys.stdout = sys.stderr = open(self.said[number], "w", encoding="utf-8", buffering=1)
        sys.argv = ["main.py", *arguments]
        sys.exit(run_script(main_script.main))

    def ended(self, seconds=60):
        """Exit codes; a process that is still there after so many seconds fails the test."""
        last = time.monotonic() + seconds
        for process in self.processes:
            process.join(max(0, last - time.monotonic()))
        alive = [process for process in self.processes if process.is_alive()]
        for process in alive:
            process.kill()
        assert not alive, f"still there after {seconds} s: {self.text()}"
        return [process.exitcode for process in self.processes]

    def text(self):
        return "".join(path.read_text(encoding="utf-8") for path in self.said)


@pytest.fixture
def pair(tmp_path, new_run):
    """Train a run by two processes, to their end unless said otherwise."""
    torch.optim.Adam([torch.zeros(1)])  # it imports for seconds: once here, not in every process

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
    """Let something happen in a process's step number so many, counted from 0."""

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
def unbroken():
    """What two processes end with that never stop; made by the first test that asks."""
    return {}


@pytest.fixture
def whole(unbroken, new_run, pair):
    if not unbroken:
        run = new_run("whole")
        pair(run)
        unbroken.update(last=run.last, losses=run.losses, scores=run.scores)
    return unbroken
