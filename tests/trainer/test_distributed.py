"""Two processes that train one run together, as torchrun starts them; gloo on the CPU."""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import main as main_script
from src.data_handlers.folder import PictureFiles
from src.data_handlers.samples import Samples
from src.data_handlers.sampling import build_loader
from src.trainer.build import build_loss, build_masker, build_model, build_pictures, to_yaml
from src.trainer.distributed import processes_of_torchrun
from src.trainer.optim import make_optimizer
from src.trainer.step import TrainingStep
from src.util.device import resolve_device
from src.util.errors import ConfigError, DataError
from src.util.image_io import as_float
from src.util.script import run as run_script
from src.util.seed import make_generator
from src.util.share import share_of
from src.util.stopwatch import Stopwatch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="starts processes as Linux alone does safely")

ROOT = Path(__file__).parents[2]
# An epoch of 6 steps, the last of a single crop: one of two processes then has nothing.
SETTINGS = [
    "training.dataset_args.crop_size=32", "training.dataset_args.repeat_times=7", "training.batch_size=4",
    "training.dataset_args.augmentations=[flip, rotate]", "training.scheduler.type=cosine",
    "checkpoint.interval_steps=2",
]  # fmt: skip

OWN_NORM = ["training.sync_bn=false"]
N2V = ["training.masker_type=N2V_Masker", "training.masker_args={prox_radius: 2}"]


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

        def patched(self, noisy, *arguments):
            step = next(steps)  # each process counts its own
            return original(self, happen(noisy) if step == number and rank() == who else noisy, *arguments)

        monkeypatch.setattr(TrainingStep, "__call__", patched)
        return lambda: monkeypatch.setattr(TrainingStep, "__call__", original)

    return patch


def send(number):
    def happen(noisy):
        os.kill(os.getpid(), number)
        return noisy

    return happen


@pytest.fixture(scope="module")
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


def written(run):
    files = [path.relative_to(run.files.folder) for path in run.files.folder.rglob("*") if path.is_file()]
    names = [re.sub(r"events\..*", "events", str(path)) for path in files]
    names = [re.sub(r"(psnr|ssim|DN)_[\d.]+\d", r"\1", name) for name in names]
    return sorted(re.sub(r"loss_[\d.]+\d", "loss", name).replace(run.files.run_name, "RUN") for name in names)


@pytest.mark.parametrize("clean", [False, True])
def test_two_processes_train_as_one_does_and_write_one_set_of_files(new_run, pair, clean_folder, clean):
    """At the published learning rate; at 1e-3 weights that differ in the last bit part within ten steps.

    With seed 3: with seed 0 one process alone parts from itself by 1e-6 if a last bit of batch norm changes.
    """
    alone, together = new_run("alone"), new_run("together")
    settings = ["seed=3", "training.init_lr=5e-6", f"training.max_epochs={1 if clean else 4}"]
    if clean:
        settings += [f"validation.dataset_args.clean_folder={clean_folder}", *N2V]
    alone.train(*SETTINGS, *settings)
    said = pair(together, *settings).text()
    one, two = alone.last, together.last
    assert [r["total"] for r in two["state"]["recent"]] == pytest.approx(
        [r["total"] for r in one["state"]["recent"]], abs=1e-6
    )
    assert len(two["state"]["recent"]) == (6 if clean else 24)
    assert two["model_weights"].keys() == one["model_weights"].keys()
    for name, value in one["model_weights"].items():
        torch.testing.assert_close(two["model_weights"][name], value, rtol=1e-4, atol=1e-4, msg=name)
    # Adam divides the gradient's scale away; its moments keep it.
    moments = [torch.cat([s["exp_avg"].flatten() for s in c["optimizer_weights"]["state"].values()])
               for c in (one, two)]  # fmt: skip
    assert (moments[0] - moments[1]).norm() < 1e-3 * moments[0].norm()
    for ours, theirs in zip(alone.scores, together.scores, strict=True):
        for name in ("psnr_db", "ssim") if clean else ("masked_loss",):
            assert float(theirs[name]) == pytest.approx(float(ours[name]), abs=1e-3 if clean else 1e-5)
    assert written(together) == written(alone)
    assert said.count("finished; the run is in") == said.count("2 processes share each batch") == 1


def test_a_signal_to_one_process_saves_and_ends_both_and_the_resumed_run_is_the_unbroken_one(
    whole, new_run, pair, in_step, differing
):
    stopped = new_run("stopped")
    undo = in_step(3, 1, send(signal.SIGTERM))
    ended = pair(stopped, wait=False)
    assert ended.ended() == [143, 143], ended.text()
    assert ended.text().count("stopped by SIGTERM; saved") == 1
    assert stopped.last["state"]["step"] == 4
    undo()
    pair(stopped, resume=True)
    assert differing(whole["last"], {**stopped.last, "config": whole["last"]["config"]}) == []
    assert (stopped.losses, stopped.scores) == (whole["losses"], whole["scores"])
    stopped.resume(*SETTINGS, "training.max_epochs=3")
    assert "resumed with processes 1 instead of 2: the last digits may differ" in stopped.log


# Batch norm of each process's own share


def test_without_sync_bn_each_process_has_the_gradient_of_its_share_alone(new_run, pair):
    """Three crops: one for the first process, two for the second."""
    run = new_run("run")
    settings = [*OWN_NORM, "training.max_epochs=1", "training.dataset_args.repeat_times=1"]
    pair(run, *settings)
    parts = trained_apart(run.configure(*SETTINGS, *settings))
    moments = run.last["optimizer_weights"]["state"].values()
    for *gradients, moment in zip(*(part.parameters() for part in parts), moments, strict=True):
        expected = 0.1 * sum(parameter.grad for parameter in gradients)
        torch.testing.assert_close(moment["exp_avg"], expected, rtol=1e-5, atol=1e-7)
    saved = run.last["model_weights"]
    running = [name for name in saved if "running" in name]
    assert running
    for name in running:
        one, two = (part.state_dict()[name] for part in parts)
        torch.testing.assert_close(saved[name], (one + 2 * two) / 3)


def trained_apart(config):
    """The network after each of two processes' first step, taken without the other."""
    cpu, loader = torch.device("cpu"), build_loader(build_pictures(config, "training"), 4)
    loader.set_epoch(1)
    noisy = as_float(next(iter(loader))["noisy"])
    parts = []
    for number in range(2):
        share = share_of(len(noisy), number, 2)
        network = build_model(config, cpu)
        optimizer = make_optimizer(network.module.parameters(), config.training.optimizer, 0)
        step = TrainingStep(network, build_masker(config), build_loss(config), optimizer, Stopwatch(cpu))
        step(noisy[share.slice], 0.0, make_generator(config.seed, "mask", 0), str, share)
        parts.append(network.module)
    return parts


def test_without_sync_bn_a_resumed_run_is_the_unbroken_one(new_run, pair, in_step, differing):
    whole, stopped = new_run("whole"), new_run("stopped")
    said = pair(whole, *OWN_NORM).text()
    assert said.count("2 processes share each batch, but not batch norm: the network depends") == 1
    undo = in_step(3, 1, send(signal.SIGTERM))
    assert pair(stopped, *OWN_NORM, wait=False).ended() == [143, 143]
    undo()
    pair(stopped, *OWN_NORM, resume=True)
    assert differing(whole.last, {**stopped.last, "config": whole.last["config"]}) == []
    assert (stopped.losses, stopped.scores) == (whole.losses, whole.scores)
    pair(stopped, "training.max_epochs=3", resume=True)
    assert re.search(r"resumed with changed settings: .*training\.sync_bn: False -> True", stopped.log)


def test_without_sync_bn_all_processes_validate_the_network_that_is_saved(new_run, pair):
    shared, alone = new_run("shared"), new_run("alone")
    settings = [*OWN_NORM, "training.max_epochs=1"]
    pair(shared, *settings)
    pair(alone, *settings, "validation.val=false")
    alone.resume(*SETTINGS, *settings)  # nothing is left but to validate
    assert alone.scores[0]["masked_loss"] == shared.scores[0]["masked_loss"]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_leaves_whole_checkpoints(new_run, pair, in_step, victim):
    run = new_run("run")
    in_step(3, victim, send(signal.SIGKILL))
    started = pair(run, wait=False)
    codes = started.ended(60)
    assert codes[victim] == -signal.SIGKILL and codes[1 - victim] == 1
    assert started.text().count("error: ") == started.text().count("another process of this training") == 1
    assert sorted(path.name for path in run.files.checkpoints.iterdir()) == ["run_000_step_000002.pth"]
    assert run.last["state"]["step"] == 2


def test_t1_a_loss_that_is_not_finite_in_one_process_stops_both_with_one_line(new_run, pair, in_step):
    run = new_run("run")
    in_step(2, 1, lambda noisy: noisy * torch.nan)
    started = pair(run, wait=False)
    assert started.ended() == [6, 6]
    assert started.text().count("error: ") == 1
    assert "step 3/12" in started.text() and "the loss is nan" in started.text()
    assert run.last["state"]["step"] == 2


def test_a_mistake_that_one_process_meets_is_said_once_and_in_the_log(new_run, pair, monkeypatch):
    original = Samples.__getitem__

    def lost(self, key):
        if rank() == 1 and key[0] == 2:
            raise DataError("b.png: cannot be read")
        return original(self, key)

    monkeypatch.setattr(Samples, "__getitem__", lost)
    run = new_run("run")
    started = pair(run, wait=False)
    assert started.ended() == [7, 7]
    assert started.text().count("b.png: cannot be read") == 1
    assert re.search(r"stopped: b\.png: cannot be read; saved .*/run_001.*pth; -r goes on", run.log)
    assert run.last["epoch"] == 1


@pytest.mark.parametrize("meets_it", [1, None])
def test_d7_a_lost_picture_that_is_left_out_is_logged_once_whoever_meets_it(
    new_run, pair, monkeypatch, meets_it
):
    original = PictureFiles.read

    def read(self, number):
        if number == 1 and meets_it in (rank(), None):
            raise DataError("b.png: cannot be read")
        return original(self, number)

    monkeypatch.setattr(PictureFiles, "read", read)
    settings = ["training.dataset_args.unreadable=skip", "training.init_lr=5e-6", "validation.val=false"]
    alone, together = new_run("alone"), new_run("together")
    said = pair(together, *settings).text()
    assert together.log.count("b.png: cannot be read; left out (1 of 3 pictures so far)") == 1
    assert said.count("b.png: cannot be read") == 1
    if meets_it is None:
        alone.train(*SETTINGS, *settings)
        one, two = ([r["total"] for r in run.last["state"]["recent"]] for run in (alone, together))
        assert two == pytest.approx(one, abs=1e-6)


def test_what_cannot_be_shared_is_refused_once(new_run, pair):
    for settings, device, reason in (
        (
            ["training.batch_size=3"],
            ("-g", "cpu"),
            "batch_size: expected a multiple of the 2 processes, which",
        ),
        ([], ("-g", "0"), "-g 0: each of several processes takes a GPU of its own"),
    ):
        run = new_run("refused")
        started = pair(run, *settings, device=device, wait=False)
        assert started.ended() == [2, 2]
        assert started.text().count(reason) == started.text().count("error: ") == 1
        assert not run.files.folder.exists()


def test_processes_whose_torchrun_was_killed_save_and_end(new_run, pair, in_step, monkeypatch):
    run = new_run("run")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    in_step(3, 1, lambda noisy: monkeypatch.setattr(os, "getppid", lambda: 1) or noisy)
    started = pair(run, wait=False)
    assert started.ended() == [143, 143]
    assert run.last["state"]["step"] == 4


def test_when_torchrun_is_killed_its_processes_save_and_end(new_run, tmp_path):
    run = new_run("run")
    config = run.configure(*SETTINGS, "training.max_epochs=10000", "validation.val=false")
    (tmp_path / "config.yaml").write_text(to_yaml(config), encoding="utf-8")
    words = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc_per_node=2",
        f"--master-port={free_port()}",
    ]
    words += [ROOT / "main.py", "-c", tmp_path / "config.yaml", "-s", "run", "--thread", "0", "-g", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with open(tmp_path / "said.txt", "w") as said:
        torchrun = subprocess.Popen(words, env=environment, stdout=said, stderr=said)
        last = time.monotonic() + 120
        while not (run.files.log_file.is_file() and "step 3/" in run.log) and time.monotonic() < last:
            time.sleep(0.1)
        torchrun.kill()
        torchrun.wait()
    while "stopped by SIGTERM; saved" not in run.log and time.monotonic() < last:
        time.sleep(0.1)
    assert "stopped by SIGTERM; saved" in run.log, (tmp_path / "said.txt").read_text()
    assert run.last["state"]["step"] >= 3


WRAPPER = """
import os, signal, sys
import main
from src.trainer.step import TrainingStep
from src.util.script import run

original, steps = TrainingStep.__call__, iter(range(10**9))

def killed(self, *arguments):
    if next(steps) == 3 and os.environ["RANK"] == "0" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, *arguments)

TrainingStep.__call__ = killed
sys.exit(run(main.main))
"""


def torchrun(folder, run, wrapper, *words):
    (folder / "config.yaml").write_text(to_yaml(run.configure(*SETTINGS)), encoding="utf-8")
    (folder / "wrapper.py").write_text(wrapper)
    return subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", *words,
            f"--master-port={free_port()}", folder / "wrapper.py",
            "-c", folder / "config.yaml", "-s", run.files.run_name, "--thread", "0", "-g", "cpu",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_torchrun_starts_anew_what_was_killed_and_the_run_is_the_unbroken_one(
    whole, new_run, tmp_path, differing
):
    killed = new_run("killed")
    result = torchrun(tmp_path, killed, WRAPPER, "--nproc_per_node=2", "--max-restarts=1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"resumed .*/killed_000_step_000002\.pth", killed.log)
    assert differing(whole["last"], {**killed.last, "config": whole["last"]["config"]}) == []
    assert killed.scores == whole["scores"]


IN_ITS_FIRST_STEP = """
import os, signal, sys
import main
from src.trainer.step import TrainingStep
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
from src.trainer.distributed import processes_of_torchrun

with processes_of_torchrun() as processes:
    torch.optim.Adam([torch.zeros(1)])
    processes.wait()
names = [open(f"/proc/self/task/{number}/comm").read() for number in os.listdir("/proc/self/task")]
print(*[name for name in names if "gloo" in name], sep="")
"""


def test_no_thread_is_left_that_could_meet_the_end_of_python(new_run, tmp_path):
    """One that lets go of a tensor then ends the process by an abort."""
    result = torchrun(tmp_path, new_run("any"), ENDS, "--nproc_per_node=2")
    assert (result.returncode, result.stdout.split()) == (0, []), result.stderr


def test_torchrun_starts_a_single_process_anew_too_and_a_run_that_was_not_made_yet(new_run, tmp_path):
    run = new_run("killed")
    result = torchrun(tmp_path, run, IN_ITS_FIRST_STEP, "--nproc_per_node=1", "--max-restarts=2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing was saved before: from the beginning" in run.log and run.epochs == [1, 2]


def test_f4_torchrun_that_starts_anew_what_was_refused_does_not_go_on_with_an_earlier_run(
    new_run, tmp_path, differing
):
    earlier = new_run("earlier")
    earlier.train("training.max_epochs=1")
    before, log = earlier.last, earlier.log
    wrapper = "import main, sys\nfrom src.util.script import run\nsys.exit(run(main.main))\n"
    result = torchrun(tmp_path, earlier, wrapper, "--nproc_per_node=2", "--max-restarts=1")
    assert result.returncode != 0
    assert result.stderr.count("earlier exists; add -r to resume it, or choose another name") == 2
    assert differing(before, earlier.last) == [] and earlier.log == log


def test_a_build_for_gpus_trains_on_a_machine_without_one(new_run, pair, monkeypatch):
    """PyTorch's ordinary one for Linux, whose NCCL refuses to begin there."""
    monkeypatch.setattr("torch.distributed.is_nccl_available", lambda: True)
    run = new_run("run")
    pair(run, "training.max_epochs=1")
    assert run.epochs == [1]


def test_an_environment_that_is_not_torchruns_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(ConfigError, match=r"WORLD_SIZE is 2, but RANK, .* missing"), processes_of_torchrun():
        pass


def test_one_process_of_torchruns_is_alone(monkeypatch):
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
    with pytest.raises(ConfigError, match="--nproc_per_node: 2 GPUs are here, too few for process 3"):
        resolve_device("auto", 2)
