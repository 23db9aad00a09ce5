import csv
import errno
import shutil

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from src.data_handlers.loading.sampling import build_loader
from src.trainer.config.build import build_images
from src.trainer.inference.testing import score_dataset
from src.util.errors import StorageError
from src.util.images.io import ImageWarning, read_image, to_uint8


def rows(folder):
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_file_name_that_is_not_utf8_is_scored_and_shown(new_run, noisy_folder, load):
    """Such names come from old disks and archives."""
    try:
        (noisy_folder / "b.png").rename(noisy_folder / "\udcfc.png")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    run = new_run("bytes")
    run.train("training.max_epochs=1")
    folder = score_dataset(load(run.files.checkpoint_file(1)), 0, None)
    assert [row["name"] for row in rows(folder)] == ["a.png", "c.png", r"\udcfc.png"]


def test_e7_e19_f17_scores_match_the_written_images(run, trained):
    folder = score_dataset(trained, 0, None)
    assert folder.parent == run.files.images and folder.name.startswith("test_Folder_002_")
    table = rows(folder)
    assert [(row["picture"], row["name"]) for row in table] == [
        ("0000", "a.png"), ("0001", "b.png"), ("0002", "c.png"),
    ]  # fmt: skip
    for row in table:
        clean = read_image(folder / f"{row['picture']}_CLEAN.png")
        denoised = read_image(folder / f"{row['picture']}_DN_{float(row['psnr']):.2f}.png")
        assert float(row["psnr"]) == peak_signal_noise_ratio(clean, denoised)
        assert float(row["ssim"]) == structural_similarity(clean, denoised, channel_axis=2)
        assert (folder / f"{row['picture']}_NOISY.png").is_file()
    title, line, *_ = (folder / "metrics.txt").read_text(encoding="utf-8").splitlines()
    assert title == f"Folder, {run.files.checkpoint_file(2)}, epoch 2"
    means = [np.mean([float(row[metric]) for row in table]) for metric in ("psnr", "ssim")]
    assert line.startswith(f"PSNR {means[0]:.2f} dB, SSIM {means[1]:.4f} (rounded to 8 bits")
    assert line.endswith("all 3 images)")


def test_scored_images_have_a_page(run, trained):
    folder = score_dataset(trained, 0, None)
    page = (folder / "report.html").read_text(encoding="utf-8")
    for row in rows(folder):
        assert f">{row['name']}</bdi>" in page and f'data-value="{row["psnr"]}"' in page
    assert str(run.files.checkpoint_file(2)) in page and "sim_patch_edge" in page
    assert (folder / "panel.png").is_file()


def test_scores_without_clean_images_are_masked_losses(new_run, load):
    run = new_run("run")
    run.train()
    folder = score_dataset(load(run.files.checkpoint_file(2)), 0, None)
    assert [float(row["loss"]) > 0 for row in rows(folder)] == [True] * 3
    assert sorted(path.name for path in folder.glob("0000*")) == ["0000_DN.png", "0000_NOISY.png"]
    assert "masked loss" in (folder / "metrics.txt").read_text()


def test_e13_e16_scores_can_be_written_without_images(run, tmp_path, load):
    trained = load(run.files.checkpoint_file(2), "test.save_image=false")
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert folder == tmp_path / "scores"
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.csv", "metrics.txt"]


def test_e14_each_test_has_its_own_folder(trained):
    assert len({score_dataset(trained, 0, None) for _ in range(3)}) == 3


def test_scores_of_a_subset_say_so_in_capitals(run, load):
    folder = score_dataset(load(run.files.checkpoint_file(2), "test.dataset_args.n_data=1"), 0, None)
    assert "ONLY 1 OF 3 IMAGES" in (folder / "metrics.txt").read_text()


def test_the_test_set_is_the_one_of_the_test_block(run, noisy_folder, clean_folder, tmp_path, load):
    (tmp_path / "other").mkdir()
    shutil.copy(noisy_folder / "c.png", tmp_path / "other" / "z.png")
    shutil.copy(clean_folder / "c.png", clean_folder / "z.png")
    other = f"test.dataset_args.data_dir={tmp_path / 'other'}"
    folder = score_dataset(load(run.files.checkpoint_file(2), other), 0, None)
    assert [row["name"] for row in rows(folder)] == ["z.png"]


def test_e15_floor_and_add_constant_have_no_effect(run, tmp_path, load):
    path = run.files.checkpoint_file(2)
    old = load(path, "test.floor=true", "test.add_constant=0.5")
    score_dataset(load(path), 0, tmp_path / "new")
    score_dataset(old, 0, tmp_path / "old")
    for image in (tmp_path / "new").glob("*.png"):
        assert image.read_bytes() == (tmp_path / "old" / image.name).read_bytes()


def test_rows_keep_their_file_numbers_after_an_unreadable_image(run, noisy_folder, load, tmp_path):
    damaged = bytearray((noisy_folder / "a.png").read_bytes())
    damaged[len(damaged) // 2] ^= 1  # the header stays whole
    (noisy_folder / "a.png").write_bytes(damaged)
    skipping = load(run.files.checkpoint_file(2), "test.dataset_args.unreadable=skip")
    folder = score_dataset(skipping, 0, tmp_path / "scores")
    assert [(row["picture"], row["name"]) for row in rows(folder)] == [("0001", "b.png"), ("0002", "c.png")]
    for row in rows(folder):
        assert (folder / f"{row['picture']}_DN_{float(row['psnr']):.2f}.png").is_file()


def test_e19_the_summary_has_full_names_and_counts(trained):
    folder = score_dataset(trained, 0, None)
    values = {metric: [float(row[metric]) for row in rows(folder)] for metric in ("psnr", "ssim")}
    *_, head, psnr, ssim = (folder / "metrics.txt").read_text(encoding="utf-8").splitlines()
    assert head.split() == ["mean", "median", "min", "max", "images"]
    how = "rounded to 8 bits, data range 255"
    titles = (f"PSNR (dB), {how}", f"SSIM, 7x7 uniform window, {how}")
    for title, line, of in zip(titles, (psnr, ssim), values.values(), strict=True):
        assert line.startswith(title) and line.endswith("3 of 3")
        figures = [float(word) for word in line[len(title) :].split()[:4]]
        assert figures == pytest.approx([np.mean(of), np.median(of), min(of), max(of)], rel=1e-5)


def test_p8_the_networks_values_are_saved_exactly(new_run, load, tmp_path):
    run = new_run("run")
    run.train()
    trained = load(run.files.checkpoint_file(2), "test.save_float=true", "test.save_image=false")
    with torch.no_grad():
        for weight in trained.network.module.parameters():
            weight.mul_(1.5)  # so that values leave [0, 1]
    folder = score_dataset(trained, 0, tmp_path / "scores")
    names = ["0000_DN.npy", "0001_DN.npy", "0002_DN.npy", "metrics.csv", "metrics.txt"]
    assert sorted(path.name for path in folder.iterdir()) == names
    beyond = 0
    for index, batch in enumerate(build_loader(build_images(trained.config, "test"), 1)):
        stored = np.load(folder / names[index])
        expected = trained.network.denoise(batch["noisy"][0], "").permute(1, 2, 0).numpy()
        assert stored.dtype == np.float32 and np.array_equal(stored, expected)
        beyond += np.count_nonzero((stored < 0) | (stored > 1))
    assert beyond


def test_values_and_images_are_of_one_output(run, load, tmp_path):
    folder = score_dataset(load(run.files.checkpoint_file(2), "test.save_float=true"), 0, tmp_path / "scores")
    for path in folder.glob("*_DN.npy"):
        (image,) = folder.glob(f"{path.stem}_*.png")
        assert np.array_equal(to_uint8(np.load(path).transpose(2, 0, 1)), read_image(image))


def test_a_full_disk_leaves_no_partial_result(run, load, tmp_path, monkeypatch):
    def fail(file, *_, **__):
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    trained = load(run.files.checkpoint_file(2), "test.save_float=true", "test.save_image=false")
    monkeypatch.setattr(np, "save", fail)
    with pytest.raises(StorageError, match=r"0000_DN\.npy: cannot be written: No space left"):
        score_dataset(trained, 0, tmp_path / "scores")
    assert not list((tmp_path / "scores").iterdir())


def test_boxes_of_dnd_keep_their_names_in_the_table(run, load, tmp_path, noisy_folder):
    for number, name in enumerate(("0050_20.png", "0002_03.png", "0001_01.png")):
        (tmp_path / "boxes").mkdir(exist_ok=True)
        shutil.copy(sorted(noisy_folder.iterdir())[number], tmp_path / "boxes" / name)
    folder = f"test.dataset_args={{data_dir: {tmp_path / 'boxes'}}}"
    other = ["test.dataset=DND_test", folder, "test.save_image=false"]
    with pytest.warns(ImageWarning, match="997 of DND's 1,000 boxes"):
        folder = score_dataset(load(run.files.checkpoint_file(2), *other), 0, tmp_path / "scores")
    assert [(row["picture"], row["name"]) for row in rows(folder)] == [
        ("0000", "0001_01.png"), ("0001", "0002_03.png"), ("0002", "0050_20.png"),
    ]  # fmt: skip
