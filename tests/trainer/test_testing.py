import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from src.trainer.testing import denoise_file, denoise_folder, load_trained, result_names, score_dataset
from src.util.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from src.util.image_io import read_picture, to_float, to_uint8, write_picture

CPU = torch.device("cpu")


@pytest.fixture
def run(new_run, clean_folder):
    run = new_run("run")
    run.train(f"validation.dataset_args.clean_folder={clean_folder}")
    return run


def load(path, *settings, config=None):
    return load_trained(CPU, settings, config, None, None, str(path))


@pytest.fixture
def trained(run):
    return load(run.files.checkpoint_file(2))


def rows(folder):
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_c15_a_checkpoint_alone_is_enough(run, trained, tmp_path, noisy_folder, differing):
    assert trained.epoch == 2
    assert differing(trained.network.module.state_dict(), run.last["model_weights"]) == []
    alone = tmp_path / "elsewhere.pth"
    shutil.move(run.files.checkpoint_file(2), alone)
    picture = tmp_path / "picture.png"
    shutil.copy(noisy_folder / "b.png", picture)
    for folder in (run.files.folder, noisy_folder, tmp_path / "clean"):
        shutil.rmtree(folder)
    denoise_file(load(alone), picture, tmp_path / "out.png")
    assert read_picture(tmp_path / "out.png").shape == (64, 80, 3)


def test_k24_the_prefix_of_data_parallel_is_taken_off_once(run, tmp_path, differing):
    content = run.last
    content["model_weights"] = {f"module.{name}": value for name, value in content["model_weights"].items()}
    torch.save(content, tmp_path / "parallel.pth")
    weights = load(tmp_path / "parallel.pth").network.module.state_dict()
    assert differing(weights, run.last["model_weights"]) == []


def test_k18_a_checkpoint_of_a_gpu_loads_on_the_cpu(run, tmp_path, monkeypatch, differing):
    path = tmp_path / "gpu.pth"
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        torch.save(run.last, path)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(path, weights_only=True)
    weights = load(path).network.module.state_dict()
    assert differing(weights, run.last["model_weights"]) == []


def test_a_checkpoint_of_another_network_is_named_with_what_differs(run):
    with pytest.raises(
        CheckpointError, match=r"run_002\.pth: does not fit the configuration's network: .*\w"
    ):
        load(run.files.checkpoint_file(2), "model.kwargs.features=[8, 16]")
    with pytest.raises(CheckpointError, match="does not fit"):
        load(run.files.checkpoint_file(2), "model.kwargs={bsn: UNet, features: [4, 8]}")


def test_a_checkpoint_without_a_configuration_asks_for_one(run, tmp_path):
    content = run.last
    del content["config"]
    torch.save(content, tmp_path / "original.pth")
    with pytest.raises(ConfigError, match=r"original\.pth: carries no configuration .*-c"):
        load(tmp_path / "original.pth")
    assert load(tmp_path / "original.pth", "model.kwargs.features=[4, 8]", config="sidd_train").epoch == 2


def test_k19_there_is_no_network_with_random_weights():
    with pytest.raises(ConfigError, match="say which network: --pretrained"):
        load_trained(CPU, [], "demo", None, None, None)


def test_e7_e10_a_file_becomes_the_networks_rounded_output(trained, noisy_folder, tmp_path):
    noisy = read_picture(noisy_folder / "b.png")
    denoise_file(trained, noisy_folder / "b.png", tmp_path / "b.png")
    expected = trained.network.denoise(to_float(noisy), "b")
    assert np.array_equal(read_picture(tmp_path / "b.png"), to_uint8(expected))
    assert not np.array_equal(read_picture(tmp_path / "b.png"), noisy)


def test_e18_a_grey_picture_stays_grey_in_a_colour_network(trained, noisy_folder, tmp_path):
    grey = read_picture(noisy_folder / "a.png")[:51, :37, :1]
    write_picture(tmp_path / "grey.png", grey)
    denoise_file(trained, tmp_path / "grey.png", tmp_path / "out.png")
    found = read_picture(tmp_path / "out.png")
    colours = trained.network.denoise(to_float(np.repeat(grey, 3, axis=2)), "grey")
    assert np.array_equal(found, to_uint8(colours.mean(dim=0, keepdim=True)))


def test_a_colour_picture_in_a_grey_network_is_refused_by_name(new_run, noisy_folder, tmp_path):
    (tmp_path / "grey").mkdir()
    write_picture(tmp_path / "grey" / "a.png", read_picture(noisy_folder / "a.png")[..., :1])
    run = new_run("grey")
    run.train("model.kwargs.in_channels=1", f"training.dataset_args.folder={tmp_path / 'grey'}")
    trained = load(run.files.checkpoint_file(2))
    with pytest.raises(DataError, match=r"b\.png: the picture has 3 channels, the network takes 1"):
        denoise_file(trained, noisy_folder / "b.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
    denoise_file(trained, tmp_path / "grey" / "a.png", tmp_path / "out.png")
    assert read_picture(tmp_path / "out.png").shape == (64, 64, 1)


def test_e8_broken_weights_write_no_picture(trained, noisy_folder, tmp_path):
    with torch.no_grad():
        next(trained.network.module.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match=r"a\.png"):
        denoise_file(trained, noisy_folder / "a.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_e11_no_two_pictures_share_a_result():
    names = ["a.v1.png", "a.v2.png", "b.png", "b.jpg", "b.jpg.png", "C.png", "c.tif", "d.png"]
    results = result_names([Path("folder", name) for name in names])
    assert [results[Path("folder", name)] for name in names] == [
        "a.v1_DN.png", "a.v2_DN.png", "b.png_DN.png", "b.jpg_DN.png", "b.jpg.png_DN.png",
        "C.png_DN.png", "c.tif_DN.png", "d_DN.png",
    ]  # fmt: skip


def test_e12_bad_pictures_are_named_and_the_others_go_on(trained, noisy_folder, tmp_path):
    (noisy_folder / "aa.txt").write_text("no picture")
    whole = (noisy_folder / "b.png").read_bytes()
    (noisy_folder / "bb.png").write_bytes(whole[: len(whole) // 2])
    assert denoise_folder(trained, noisy_folder, tmp_path / "out") == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_DN.png", "b_DN.png", "c_DN.png"]


def test_a_folder_denoised_twice_does_not_denoise_its_results(trained, noisy_folder):
    for _ in range(2):
        assert denoise_folder(trained, noisy_folder, noisy_folder / "results") == 0
    assert len(list(noisy_folder.rglob("*.png"))) == 6


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


def test_scores_without_clean_pictures_are_masked_losses(new_run):
    run = new_run("run")
    run.train()
    folder = score_dataset(load(run.files.checkpoint_file(2)), 0, None)
    assert [float(row["loss"]) > 0 for row in rows(folder)] == [True] * 3
    assert sorted(path.name for path in folder.glob("0000*")) == ["0000_DN.png", "0000_NOISY.png"]
    assert "masked loss" in (folder / "metrics.txt").read_text()


def test_e13_without_pictures_there_are_scores(run, tmp_path):
    trained = load(run.files.checkpoint_file(2), "test.save_image=false")
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert folder == tmp_path / "scores"
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.csv", "metrics.txt"]


def test_e14_each_test_has_a_folder_of_its_own(trained):
    assert len({score_dataset(trained, 0, None) for _ in range(3)}) == 3


def test_a_part_of_the_set_is_shouted(run):
    folder = score_dataset(load(run.files.checkpoint_file(2), "test.dataset_args.n_data=1"), 0, None)
    assert "ONLY 1 OF 3 PICTURES" in (folder / "metrics.txt").read_text()


def test_the_test_set_is_that_of_the_test_block(run, noisy_folder, clean_folder, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.copy(noisy_folder / "c.png", tmp_path / "other" / "z.png")
    shutil.copy(clean_folder / "c.png", clean_folder / "z.png")
    other = f"test.dataset_args.folder={tmp_path / 'other'}"
    folder = score_dataset(load(run.files.checkpoint_file(2), other), 0, None)
    assert [row["name"] for row in rows(folder)] == ["z.png"]


def test_f12_a_name_with_dn_in_it_is_a_picture_like_any_other(trained, noisy_folder, tmp_path):
    shutil.copy(noisy_folder / "a.png", tmp_path / "a_DN.png")
    denoise_file(trained, noisy_folder / "a.png", tmp_path / "one.png")
    denoise_file(trained, tmp_path / "a_DN.png", tmp_path / "other.png")
    assert np.array_equal(read_picture(tmp_path / "one.png"), read_picture(tmp_path / "other.png"))
    assert result_names([tmp_path / "a_DN.png"]) == {tmp_path / "a_DN.png": "a_DN_DN.png"}


def test_f17_numbered_results_keep_the_names_of_their_pictures(trained, tmp_path):
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert [(row["picture"], row["name"]) for row in rows(folder)] == [
        ("0000", "a.png"), ("0001", "b.png"), ("0002", "c.png"),
    ]  # fmt: skip


def test_e16_scores_without_pictures_when_none_are_asked_for(run, tmp_path):
    trained = load(run.files.checkpoint_file(2), "test.save_image=false")
    folder = score_dataset(trained, 0, tmp_path / "scores")
    assert sorted(path.name for path in folder.iterdir()) == ["metrics.csv", "metrics.txt"]


def test_e15_floor_and_add_constant_of_old_files_change_no_picture(run, tmp_path):
    path = run.files.checkpoint_file(2)
    old = load(path, "test.floor=true", "test.add_constant=0.5")
    score_dataset(load(path), 0, tmp_path / "new")
    score_dataset(old, 0, tmp_path / "old")
    for picture in (tmp_path / "new").glob("*.png"):
        assert picture.read_bytes() == (tmp_path / "old" / picture.name).read_bytes()
