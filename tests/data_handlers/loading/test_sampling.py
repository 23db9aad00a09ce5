import multiprocessing
import multiprocessing.queues
import os
import signal
import subprocess
import sys
import time
import warnings
from multiprocessing.process import BaseProcess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from src.data_handlers import build_samples
from src.data_handlers.datasets.base import Image
from src.data_handlers.datasets.folder import Folder
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.loading.sampling import EpochSampler, build_loader, kill_workers, worker_error
from src.data_handlers.samples.checks import check_images
from src.data_handlers.samples.samples import Samples
from src.data_handlers.samples.view import View
from src.util.errors import DataError

ROOT = Path(__file__).parents[3]


def samples_of(source, training=True, **options):
    return Samples(source, View(**options), channels=3, seed=7, training=training)


def batches(loader, epoch):
    loader.set_epoch(epoch)
    return list(loader)


@pytest.fixture
def folder(tmp_path, fill_folder):
    return fill_folder(tmp_path, {f"{n}.png": (24, 20 + n, 3) for n in range(5)})


# Order


def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch():
    def order(epoch, seed=0, shuffle=True):
        sampler = EpochSampler(50, seed, shuffle)
        sampler.set_epoch(epoch)
        return list(sampler)

    assert sorted(order(3)) == [(3, index) for index in range(50)]
    assert order(3) == order(3)
    assert len({tuple(index for _, index in o) for o in (order(1), order(2), order(1, seed=1))}) == 3
    assert order(4, shuffle=False) == [(4, index) for index in range(50)]


@pytest.mark.parametrize("name", ["Folder", "BSD68_train"])
def test_t7_training_is_shuffled_and_validation_is_not(folder, name):
    def indices(training):
        samples = build_samples(
            name, {"data_dir": folder, "crop_size": 16, "repeat_times": 4}, channels=3, seed=0,
            training=training,
        )  # fmt: skip
        return [batch["index"].item() for batch in build_loader(samples, 1)]

    assert indices(False) == [0, 1, 2, 3, 4]
    assert sorted(indices(True)) == list(range(20)) != indices(True)


# Batches


def test_a_batch_stacks_samples_and_the_last_one_may_be_smaller(folder):
    loader = build_loader(samples_of(Folder(folder), crop_size=16), batch_size=3)
    first, rest = batches(loader, 1)
    assert len(loader) == 2
    assert first["noisy"].shape == (3, 3, 16, 16)
    assert first["index"].shape == (3,)
    assert len(rest["name"]) == 2
    assert len(batches(build_loader(samples_of(Folder(folder), crop_size=16), batch_size=32), 1)) == 1


def test_batches_do_not_depend_on_workers_or_earlier_epochs(folder):
    def content(workers, epochs):
        options = {"crop_size": 16, "augmentations": ["flip", "rotate"], "repeat_times": 2}
        noise = NoiseOptions(correlate=True, shot=10)
        loader = build_loader(samples_of(Folder(folder), add_noise=noise, **options), 4, workers)
        passes = [batches(loader, epoch) for epoch in epochs]
        loader.close()
        return passes[-1]

    main, workers = content(0, [2]), content(2, [1, 2])
    assert len(main) == len(workers) == 3
    for one, other in zip(main, workers, strict=True):
        assert one["name"] == other["name"]
        assert all(torch.equal(one[key], other[key]) for key in ("noisy", "clean", "index"))


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_split_each_batch_into_contiguous_shares(folder, processes):
    """A process with an empty share of the last batch gets one sample, which is ignored."""
    samples = samples_of(Folder(folder), crop_size=16, repeat_times=5)  # 25 samples, batches of 12, 12 and 1
    whole = build_loader(samples, 12)
    parts = [build_loader(samples, 12, rank=rank, processes=processes) for rank in range(processes)]
    for first in (0, 1):  # a whole epoch, and a resumed one
        for loader in (whole, *parts):
            loader.set_epoch(4, first)
        for number, (batch, *pieces) in enumerate(zip(whole, *parts, strict=True), first):
            shares = [part.share(number) for part in parts]
            assert {share.total for share in shares} == {len(batch["index"])}
            assert number == 2 or {share.images for share in shares} == {12 // processes}
            pairs = list(zip(pieces, shares, strict=True))
            assert torch.equal(torch.cat([p["index"][: s.images] for p, s in pairs]), batch["index"])
            assert torch.equal(torch.cat([p["noisy"][: s.images] for p, s in pairs]), batch["noisy"])
    assert [loader.share(2).images for loader in parts] == [0] * (processes - 1) + [1]


def test_d17_an_epoch_does_not_use_the_global_generator(folder):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    batches(build_loader(samples_of(Folder(folder), crop_size=16), 2), 1)
    assert torch.equal(torch.get_rng_state(), before)


def test_validation_uses_one_worker_and_images_of_any_size(folder):
    loader = build_loader(samples_of(Folder(folder), training=False), batch_size=1, workers=2)
    assert [batch["noisy"].shape[-1] for batch in batches(loader, 1)] == [20, 21, 22, 23, 24]
    assert len(multiprocessing.active_children()) == 1  # each worker would have a copy of SIDD's arrays
    loader.close()


def test_training_does_not_repeat_the_warnings_of_the_check(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (24, 24, 4), np.uint8)
    cv2.imwrite(str(tmp_path / "transparent.png"), pixels)
    samples = samples_of(Folder(tmp_path), crop_size=16)
    with pytest.warns(UserWarning, match=r"transparency is dropped in 1 of 1 images"):
        check_images(samples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(batches(build_loader(samples, 1), 1)) == len(samples)


# Errors


def test_a_worker_has_one_thread_and_ignores_ctrl_c(folder):
    class Reporting(Folder):
        def read(self, number):
            os.kill(os.getpid(), signal.SIGINT)
            threads = np.full((16, 16, 3), max(cv2.getNumThreads(), torch.get_num_threads()), np.uint8)
            return Image(self.name(number), threads)

    loader = build_loader(samples_of(Reporting(folder)), 5, workers=1)
    assert batches(loader, 1)[0]["noisy"].unique().tolist() == [1]
    loader.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_lost_during_training_is_named_in_one_line(folder, workers, tmp_path):
    loader = build_loader(samples_of(Folder(folder), crop_size=16), 2, workers)
    (tmp_path / "3.png").unlink()
    with pytest.raises(DataError, match=r"3\.png: cannot be read: No such file") as caught:
        batches(loader, 1)
    assert "\n" not in str(caught.value)
    loader.close()


def test_t12_the_message_of_a_killed_worker_says_what_to_try(folder):
    class Deadly(Folder):
        def read(self, number):
            os.kill(os.getpid(), signal.SIGKILL)

    loader = build_loader(samples_of(Deadly(folder), crop_size=16), 2, workers=1)
    with pytest.raises(DataError, match=r"worker \(pid.*--thread"):
        batches(loader, 1)
    loader.close()


def test_t12_a_batch_that_cannot_be_sent_is_reported_at_once(folder):
    def refuse(batch):
        raise OSError(28, "No space left on device")

    class Unsendable(Folder):
        def read(self, number):
            multiprocessing.queues._ForkingPickler.dumps = refuse  # in the worker
            return super().read(number)

    loader = build_loader(samples_of(Unsendable(folder), crop_size=16), 2, workers=1)
    with pytest.raises(DataError, match=r"worker \(pid.*/dev/shm.*--thread"):
        batches(loader, 1)
    loader.close()


@pytest.mark.parametrize("error", [ConnectionResetError(), EOFError(), RuntimeError("0 items of ancdata")])
def test_t12_a_worker_that_ends_while_sending_is_reported(error):
    assert "a loader worker ended while" in str(worker_error(error, "images"))
    assert worker_error(RuntimeError("another error"), "images") is None


@pytest.mark.skipif(not hasattr(signal, "SIGCHLD"), reason="this system has no SIGCHLD")
def test_t12_workers_can_be_killed_while_the_loader_exists(folder, monkeypatch):
    class Hanging(Folder):
        def read(self, number):
            time.sleep(20)

    def join(self, timeout=None):
        time.sleep(0.2)  # the process is dead, but not joined
        return original(self, timeout)

    original = BaseProcess.join
    monkeypatch.setattr(BaseProcess, "join", join)
    batches = iter(build_loader(samples_of(Hanging(folder), crop_size=16), 2, workers=2)._batches)
    kill_workers()
    assert not multiprocessing.active_children()
    assert callable(signal.getsignal(signal.SIGCHLD))  # PyTorch's handler is restored
    del batches


def test_t12_closing_the_loader_stops_the_workers(folder, monkeypatch):
    monkeypatch.setattr("src.data_handlers.loading.sampling.usable_cores", lambda: 2)
    before = set(multiprocessing.active_children())
    loader = build_loader(samples_of(Folder(folder), crop_size=16), 2, workers=2)
    batches(loader, 1)
    assert len(set(multiprocessing.active_children()) - before) == 2
    loader.close()
    assert not set(multiprocessing.active_children()) - before
    with pytest.raises(RuntimeError, match="closed"):
        batches(loader, 2)


def test_t13_batches_are_pinned_only_on_request(memory, coordinates):
    samples = samples_of(memory([coordinates(8, 8)]))
    for pinned in (False, True):
        assert build_loader(samples, 1, pin_memory=pinned)._batches.pin_memory is pinned


def test_a_program_with_an_open_loader_can_exit(folder):
    program = (
        "import sys\n"
        "from src.data_handlers.datasets.folder import Folder\n"
        "from src.data_handlers.loading.sampling import build_loader\n"
        "from src.data_handlers.samples.samples import Samples\n"
        "from src.data_handlers.samples.view import View\n"
        "samples = Samples(Folder(sys.argv[1]), View(crop_size=16), channels=3, seed=0, training=True)\n"
        "batches = iter(build_loader(samples, 1, workers=2))\n"
        "print(next(batches)['name'])\n"
    )
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert ".png" in done.stdout
