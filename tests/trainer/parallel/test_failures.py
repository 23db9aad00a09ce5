"""A failure of one of two processes ends both, is reported once, and loses no checkpoint."""

import re
import signal

import pytest
import torch

from src.data_handlers.datasets.folder import ImageFiles
from src.data_handlers.samples.samples import Samples
from src.util.errors import DataError
from tests.trainer.parallel.conftest import LINUX_ALONE, SETTINGS, rank, send

pytestmark = LINUX_ALONE


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_and_damages_no_checkpoint(new_run, pair, in_step, victim):
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


def test_an_error_of_one_process_is_reported_once_and_logged(new_run, pair, monkeypatch):
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
    assert re.search(r"stopped: b\.png: cannot be read; saved .*/run_001.*pth; -r continues", run.log)
    assert run.last["epoch"] == 1


@pytest.mark.parametrize("meets_it", [1, None])
def test_d7_a_skipped_image_is_logged_once_by_whichever_process_meets_it(
    new_run, pair, monkeypatch, meets_it
):
    original = ImageFiles.read

    def read(self, number):
        if number == 1 and meets_it in (rank(), None):
            raise DataError("b.png: cannot be read")
        return original(self, number)

    monkeypatch.setattr(ImageFiles, "read", read)
    settings = ["training.dataset_args.unreadable=skip", "training.init_lr=5e-6", "validation.val=false"]
    alone, together = new_run("alone"), new_run("together")
    text = pair(together, *settings).text()
    assert together.log.count("b.png: cannot be read; left out (1 of 3 images so far)") == 1
    assert text.count("b.png: cannot be read") == 1
    if meets_it is None:
        alone.train(*SETTINGS, *settings)
        one, two = ([r["total"] for r in run.last["state"]["recent"]] for run in (alone, together))
        assert two == pytest.approx(one, abs=1e-6)


def test_settings_unusable_by_two_processes_are_refused_once(new_run, pair):
    for settings, device, reason in (
        (
            ["training.batch_size=3"],
            ("-g", "cpu"),
            "batch_size: expected a multiple of the 2 processes, which",
        ),
        ([], ("-g", "0"), "-g 0: each of several processes takes its own GPU"),
    ):
        run = new_run("refused")
        started = pair(run, *settings, device=device, wait=False)
        assert started.ended() == [2, 2]
        assert started.text().count(reason) == started.text().count("error: ") == 1
        assert not run.files.folder.exists()
