import csv
import shutil

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from src.trainer.testing import score_dataset
from src.util.image_io import read_picture


def rows(folder):
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_e7_e19_the_scores_are_those_of_the_written_pictures(run, trained):
    folder = score_dataset(trained, 0, None)
    assert folder.parent == run.files.images and folder.name.startswith("test_Folder_002_")
    table = rows(folder)
    assert [(row["picture"], row["name"]) for row in table] == [
        ("0000", "a.png"), ("0001", "b.png"), ("0002", "c.png"),
    ]  # fmt: skip
    for row in table:
        clean = read_picture(folder / f"{row['picture']}_CLEAN.png")
        denoised = read_picture(folder / f"{row['picture']}_DN_{float(row['psnr']):.2f}.png")
        assert float(row["psnr"]) == peak_signal_noise_ratio(clean, denoised)
        assert float(row["ssim"]) == structural_similarity(clean, denoised, channel_axis=2)
        assert (folder / f"{row['picture']}_NOISY.png").is_file()
    title, line = (folder / "metrics.txt").read_text(encoding="utf-8").splitlines()
    assert title == f"Folder, {run.files.checkpoint_file(2)}, epoch 2"
    means = [np.mean([float(row[metric]) for row in table]) for metric in ("psnr", "ssim")]
    assert line.startswith(f"PSNR {means[0]:.2f} dB, SSIM {means[1]:.4f} (rounded to 8 bits")
    assert line.endswith("all 3 pictures)")


def test_beside_the_pictures_lies_a_page_of_them(run, trained):
    folder = score_dataset(trained, 0, None)
    page = (folder / "report.html").read_text(encoding="utf-8")
    for row in rows(folder):
        assert f">{row['name']}</bdi>" in page and f'data-value="{row["psnr"]}"' in page
    assert str(run.files.checkpoint_file(2)) in page and "sim_patch_edge" in page
    assert (folder / "panel.png").is_file()


def test_scores_without_clean_pictures_are_masked_losses(new_run, load):
    run = new_run("run")
    run.train()
    folder = score_dataset(load(run.files.checkpoint_file(2)), 0, None)
    assert [float(row["loss"]) > 0 for row in rows(folder)] == [True] * 3
    assert sorted(path.name for path in folder.glob("0000*")) == ["0000_DN.png", "0000_NOISY.png"]
    assert "masked loss" in (folder / "metrics.txt").read_text()


def test_e13_without_pictures_there_are_scores(run, tmp_path, load):
    trained = load(run.files.checkpoint_file(2), "test.save_image=false")
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert folder == tmp_path / "scores"
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.csv", "metrics.txt"]


def test_e14_each_test_has_a_folder_of_its_own(trained):
    assert len({score_dataset(trained, 0, None) for _ in range(3)}) == 3


def test_a_part_of_the_set_is_shouted(run, load):
    folder = score_dataset(load(run.files.checkpoint_file(2), "test.dataset_args.n_data=1"), 0, None)
    assert "ONLY 1 OF 3 PICTURES" in (folder / "metrics.txt").read_text()


def test_the_test_set_is_that_of_the_test_block(run, noisy_folder, clean_folder, tmp_path, load):
    (tmp_path / "other").mkdir()
    shutil.copy(noisy_folder / "c.png", tmp_path / "other" / "z.png")
    shutil.copy(clean_folder / "c.png", clean_folder / "z.png")
    other = f"test.dataset_args.folder={tmp_path / 'other'}"
    folder = score_dataset(load(run.files.checkpoint_file(2), other), 0, None)
    assert [row["name"] for row in rows(folder)] == ["z.png"]


def test_e16_scores_without_pictures_when_none_are_asked_for(run, tmp_path, load):
    trained = load(run.files.checkpoint_file(2), "test.save_image=false")
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.csv", "metrics.txt"]


def test_e15_floor_and_add_constant_of_old_files_change_no_picture(run, tmp_path, load):
    path = run.files.checkpoint_file(2)
    old = load(path, "test.floor=true", "test.add_constant=0.5")
    score_dataset(load(path), 0, tmp_path / "new")
    score_dataset(old, 0, tmp_path / "old")
    for picture in (tmp_path / "new").glob("*.png"):
        assert picture.read_bytes() == (tmp_path / "old" / picture.name).read_bytes()


def test_f17_numbered_results_keep_the_names_of_their_pictures(trained, tmp_path):
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert [(row["picture"], row["name"]) for row in rows(folder)] == [
        ("0000", "a.png"), ("0001", "b.png"), ("0002", "c.png"),
    ]  # fmt: skip
