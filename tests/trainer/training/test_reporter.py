import io
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.trainer.training import reporter, trainer
from src.util.images.formats.stored import open_stream
from src.util.images.io import read_image
from src.util.logger import start_console


def board(run):
    events = EventAccumulator(str(run.files.tensorboard), size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def curve(events, name):
    return {event.step: event.value for event in events.Scalars(name)}


@pytest.fixture
def trained(new_run, clean_folder):
    run = new_run("run")
    run.train(
        f"validation.dataset_args.clean_folder={clean_folder}", "training.tmp_info=self_L1",
        "training.scheduler.type=cosine", "log.iter_interval=2",
    )  # fmt: skip
    return run


def test_f13_tensorboard_reads_back_all_curves(trained):
    events = board(trained)
    at_steps = {
        "loss/total", "loss/self_L2", "loss/self_L1", "learning_rate", "images_per_second",
        "seconds_per_step/data", "seconds_per_step/masking", "seconds_per_step/network",
    }  # fmt: skip
    assert set(events.Tags()["scalars"]) == at_steps | {"validation/psnr", "validation/ssim"}
    for name in at_steps:
        points = curve(events, name)
        assert list(points) == [2, 4] and all(value > 0 for value in points.values())
    for name, column in (("psnr", "psnr_db"), ("ssim", "ssim")):
        values = [float(row[column]) for row in trained.scores]
        assert curve(events, f"validation/{name}") == pytest.approx({2: values[0], 4: values[1]})
    assert curve(events, "loss/total") == pytest.approx(curve(events, "loss/self_L2"))
    rate = curve(events, "learning_rate")
    assert rate[2] > rate[4]


def test_curves_and_table_show_when_part_of_the_set_is_scored(new_run, clean_folder):
    run = new_run("run")
    run.train(f"validation.dataset_args={{clean_folder: {clean_folder}, n_data: 2}}")
    names = [name for name in board(run).Tags()["scalars"] if name.startswith("validation")]
    assert sorted(names) == ["validation_ONLY_2_OF_3/psnr", "validation_ONLY_2_OF_3/ssim"]
    assert [(row["pictures"], row["of"]) for row in run.scores] == [("2", "3")] * 2


def test_tensorboard_shows_the_first_images_noisy_denoised_residual_and_clean(trained, new_run):
    events = board(trained)
    assert sorted(events.Tags()["images"]) == [
        f"000{i} {name}.png: noisy, denoised, residual x4, clean" for i, name in enumerate("abc")
    ]
    shown = events.Images("0000 a.png: noisy, denoised, residual x4, clean")
    assert [event.step for event in shown] == [2, 4]
    info = open_stream(io.BytesIO(shown[0].encoded_image_string), Path("tensorboard")).info()
    assert (info.height, info.width) == (64, 4 * 64)
    alone = new_run("alone")
    alone.train("training.max_epochs=1")
    (event,) = board(alone).Images("0000 a.png: noisy, denoised, residual x4")
    assert event.width == 3 * 64


def test_the_shown_noisy_image_is_the_noisy_image(trained, tmp_path, noisy_folder):
    (event, _) = board(trained).Images("0000 a.png: noisy, denoised, residual x4, clean")
    (tmp_path / "shown.png").write_bytes(event.encoded_image_string)
    shown, noisy = read_image(tmp_path / "shown.png"), read_image(noisy_folder / "a.png")
    assert np.abs(shown[:, :64].astype(int) - noisy).max() <= 1


@pytest.mark.parametrize("done", [3, 1])
def test_f13_a_resumed_run_draws_each_step_once(new_run, stop_at_step, done):
    """Also if nothing was saved before, and the run starts again."""
    run = new_run("run")
    stop_at_step(done)
    with pytest.raises(KeyboardInterrupt):
        run.train("training.max_epochs=3")
    drawn = list(curve(board(run), "loss/total"))
    assert drawn == list(range(1, done + 1)), "nothing is lost when a run is stopped"
    time.sleep(1 - time.time() % 1)  # TensorBoard sorts event files by name: second, process, a count as text
    run.resume("training.max_epochs=3")
    events = board(run)
    assert [event.step for event in events.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]


def test_f15_log_files_have_dated_lines_and_no_control_codes(trained):
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", trained.log)
    for line in trained.log.splitlines():
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING|ERROR) \S", line), line


def test_the_log_tells_what_is_trained_and_how_it_goes(trained):
    for expected in (
        r"NL_BSN UNet2, [\d,]+ parameters; Folder, 3 images; 2 epochs of 2 steps, batch 2; Masker; seed 0",
        r"epoch 1/2, step 2/4: loss [\d.e+-]+ \(self_L2 [\d.e+-]+, self_L1 [\d.e+-]+\), learning rate"
        r" 8\.\d+e-04, [\d.]+ images/s, \d+:\d\d:\d\d left",
        r"validation after epoch 2: PSNR [\d.]+ dB, SSIM [\d.]+ \(rounded to 8 bits, .*all 3 images\)",
        r"finished; the run is in .*run",
    ):
        assert re.search(expected, trained.log), expected


def test_f4_a_resumed_run_adds_to_its_log_and_scores(trained):
    before = trained.log
    trained.resume("training.max_epochs=3")
    assert trained.log.startswith(before)
    assert [row["epoch"] for row in trained.scores][:3] == ["1", "2", "3"]


def test_an_epoch_that_is_validated_again_has_one_row(new_run, monkeypatch):
    """The run is killed between writing the row and the checkpoint."""
    run, save = new_run("run"), trainer.CheckpointStore.save_best

    def killed(self, content, epoch, *arguments):
        if epoch == 2:
            raise KeyboardInterrupt
        return save(self, content, epoch, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(trainer.CheckpointStore, "save_best", killed)
        run.train("training.init_lr=0.01")
    assert [row["epoch"] for row in run.scores] == ["1", "2"]
    before = run.scores
    run.resume("training.init_lr=0.01")
    assert run.scores == before


def test_images_per_second_counts_images_not_full_batches_and_no_time_of_validation(
    new_run, monkeypatch, at_step
):
    clock = SimpleNamespace(now=0.0)
    clock.perf_counter = lambda: clock.now

    def take(seconds):
        clock.now += seconds
        return iter(())

    for module in (reporter, trainer):
        monkeypatch.setattr(module, "time", clock)
    at_step(lambda: take(1))
    monkeypatch.setattr(trainer, "evaluate", lambda *arguments: take(100))
    run = new_run("run")
    run.train("training.max_epochs=2")
    assert curve(board(run), "images_per_second") == {1: 2, 2: 1, 3: 2, 4: 1}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_one_bar_shows_loss_rate_speed_and_eta(new_run, monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "200")
    start_console()
    new_run("run").train("training.max_epochs=4")
    bar = [part for part in screen.getvalue().split("\r") if "step" in part and "images_s=" in part][-1]
    assert re.search(r"\d/8 \[\d+:\d\d<\d+:\d\d", bar)
    assert re.search(r"images_s=[\d.]+, loss=[\d.e+-]+, lr=1\.00e-03", bar)
    assert "images/s" not in screen.getvalue(), "the lines of the file would say the same again"


def test_f15_elsewhere_there_are_plain_lines(new_run, capsys):
    start_console()
    new_run("run").train()
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith("warning: the network has not learned to denoise: ")  # in four steps
    assert not re.search(r"[\r\x1b]", captured.out)
    assert len(re.findall(r"^epoch \d/2, step \d/4: loss", captured.out, re.MULTILINE)) == 4
