"""A best score is compared only with scores that were measured alike."""

import re

import numpy as np
import pytest

from src.util.images.io import read_image, write_image

CLEAN = "validation.dataset_args.clean_folder={}"


def restarts(run):
    """Return the metric and the reason each time that the search for the best started again."""
    return re.findall(r"the best (\w+) so far \(.*?\) was measured with other (.*?): its checkpoint", run.log)


@pytest.mark.parametrize(
    ("setting", "other"),
    [
        ("training.loss=1*self_L1", "loss"),
        ("masker.masker_args.pixel_perc=0.003", "masker"),
        ("seed=1", "seed"),
        ("validation.dataset_args.crop_size=48", "images"),
    ],
)
def test_the_loss_of_another_measure_neither_beats_nor_is_beaten(new_run, setting, other):
    run = new_run("run")
    run.train()
    before = run.best
    run.resume("training.max_epochs=3", setting)
    assert restarts(run) == [("loss", other)]
    assert set(before) < set(run.best) and len(run.best) == len(before) + 1  # the old file stays
    (best,) = run.last["state"]["best"].values()
    assert best["epoch"] == 3
    run.resume("training.max_epochs=5", setting)  # nothing changes any more
    assert len(restarts(run)) == 1 and len(run.best) == len(before) + 1


def test_psnr_depends_on_the_images_but_not_on_loss_masker_or_seed(new_run, clean_folder):
    run = new_run("run")
    run.train(CLEAN.format(clean_folder))
    changed = ["training.loss=1*self_L1", "masker.masker_args.pixel_perc=0.003", "seed=1"]
    run.resume("training.max_epochs=3", CLEAN.format(clean_folder), *changed)
    assert restarts(run) == []
    run.resume("training.max_epochs=4", CLEAN.format(clean_folder), "validation.dataset_args.crop_size=32")
    assert restarts(run) == [("psnr", "images"), ("ssim", "images")]


def test_other_images_of_the_same_names_are_another_measure(new_run, noisy_folder, clean_folder):
    run = new_run("run")
    run.train(CLEAN.format(clean_folder))
    write_image(clean_folder / "a.png", read_image(noisy_folder / "a.png") // 2)
    run.resume("training.max_epochs=3", CLEAN.format(clean_folder))
    assert restarts(run) == [("psnr", "images"), ("ssim", "images")]


def test_a_missing_image_is_another_measure_and_a_new_one_is_not_used(new_run, noisy_folder):
    run = new_run("run")
    run.train()
    write_image(noisy_folder / "d.png", read_image(noisy_folder / "a.png"))
    run.resume("training.max_epochs=3")
    assert restarts(run) == []
    assert run.log.count("1 images are new since this run began and not used") == 2  # nor validated
    (noisy_folder / "b.png").unlink()
    skip = ["training.dataset_args.unreadable=skip", "validation.dataset_args.unreadable=skip"]
    run.resume("training.max_epochs=4", *skip)
    assert restarts(run) == [("loss", "images")]


def test_the_same_images_elsewhere_are_the_same_measure(new_run, noisy_folder, tmp_path):
    run = new_run("run")
    run.train()
    noisy_folder.rename(tmp_path / "moved")
    run.resume("training.max_epochs=3", f"training.dataset_args.data_dir={tmp_path / 'moved'}")
    assert restarts(run) == []


def test_another_data_range_is_another_measure(new_run, tmp_path):
    (tmp_path / "deep").mkdir()
    values = np.random.default_rng(0).integers(800, 4096, (2, 64, 64, 3), dtype=np.uint16)
    for number, image in enumerate(values):
        np.save(tmp_path / "deep" / f"{number}.npy", image)
    folder = f"training.dataset_args.data_dir={tmp_path / 'deep'}"
    run = new_run("run")
    run.train(folder, "data_range=4095")
    run.resume(folder, "training.max_epochs=3", "data_range=8190")
    assert restarts(run) == [("loss", "images, data range")]
