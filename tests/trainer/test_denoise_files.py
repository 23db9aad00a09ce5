import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from src.trainer.denoise_files import FileDenoiser, FileOptions, result_names
from src.util.errors import DataError, NonFiniteError
from src.util.image_io import read_picture, to_float, to_uint8, write_picture


def test_e7_e10_a_file_becomes_the_networks_rounded_output(trained, noisy_folder, tmp_path):
    noisy = read_picture(noisy_folder / "b.png")
    FileDenoiser(trained).file(noisy_folder / "b.png", tmp_path / "b.png")
    expected = trained.network.denoise(to_float(noisy), "b")
    assert np.array_equal(read_picture(tmp_path / "b.png"), to_uint8(expected))
    assert not np.array_equal(read_picture(tmp_path / "b.png"), noisy)


def test_e18_a_grey_picture_stays_grey_in_a_colour_network(trained, noisy_folder, tmp_path):
    grey = read_picture(noisy_folder / "a.png")[:51, :37, :1]
    write_picture(tmp_path / "grey.png", grey)
    FileDenoiser(trained).file(tmp_path / "grey.png", tmp_path / "out.png")
    found = read_picture(tmp_path / "out.png")
    colours = trained.network.denoise(to_float(np.repeat(grey, 3, axis=2)), "grey")
    assert np.array_equal(found, to_uint8(colours.mean(dim=0, keepdim=True)))


def test_a_colour_picture_in_a_grey_network_is_refused_by_name(new_run, noisy_folder, tmp_path, load):
    (tmp_path / "grey").mkdir()
    write_picture(tmp_path / "grey" / "a.png", read_picture(noisy_folder / "a.png")[..., :1])
    run = new_run("grey")
    run.train("model.kwargs.in_channels=1", f"training.dataset_args.folder={tmp_path / 'grey'}")
    trained = load(run.files.checkpoint_file(2))
    with pytest.raises(DataError, match=r"b\.png: the picture has 3 channels, the network takes 1"):
        FileDenoiser(trained).file(noisy_folder / "b.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
    FileDenoiser(trained).file(tmp_path / "grey" / "a.png", tmp_path / "out.png")
    assert read_picture(tmp_path / "out.png").shape == (64, 64, 1)


def test_e8_broken_weights_write_no_picture(trained, noisy_folder, tmp_path):
    with torch.no_grad():
        next(trained.network.module.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match=r"a\.png"):
        FileDenoiser(trained).file(noisy_folder / "a.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_e11_no_two_pictures_share_a_result():
    names = ["a.v1.png", "a.v2.png", "b.png", "b.jpg", "b.jpg.png", "C.png", "c.tif", "d.png"]
    results = result_names([Path("folder", name) for name in names])
    assert [results[Path("folder", name)] for name in names] == [
        "a.v1_DN.png", "a.v2_DN.png", "b.png_DN.png", "b.jpg_DN.png", "b.jpg.png_DN.png",
        "C_DN.png", "c_DN.tif", "d_DN.png",
    ]  # fmt: skip


def test_e12_bad_pictures_are_named_and_the_others_go_on(trained, noisy_folder, tmp_path, messages):
    (noisy_folder / "aa.txt").write_text("no picture")
    whole = (noisy_folder / "b.png").read_bytes()
    (noisy_folder / "bb.png").write_bytes(whole[: len(whole) // 2])
    assert FileDenoiser(trained).folder(noisy_folder, tmp_path / "out") == 1
    assert any(said.startswith("ERROR") and "bb.png: the picture is cut short" in said for said in messages)
    assert any(said.startswith("ERROR 1 of 4 pictures failed: ") and "bb.png" in said for said in messages)
    assert any("1 files are no pictures" in said and "aa.txt" in said for said in messages)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_DN.png", "b_DN.png", "c_DN.png"]


def test_a_folder_denoised_twice_does_not_denoise_its_results(trained, noisy_folder):
    for _ in range(2):
        assert FileDenoiser(trained).folder(noisy_folder, noisy_folder / "results") == 0
    assert len(list(noisy_folder.rglob("*.png"))) == 6


def test_f12_a_name_with_dn_in_it_is_a_picture_like_any_other(trained, noisy_folder, tmp_path):
    shutil.copy(noisy_folder / "a.png", tmp_path / "a_DN.png")
    FileDenoiser(trained).file(noisy_folder / "a.png", tmp_path / "one.png")
    FileDenoiser(trained).file(tmp_path / "a_DN.png", tmp_path / "other.png")
    assert np.array_equal(read_picture(tmp_path / "one.png"), read_picture(tmp_path / "other.png"))
    assert result_names([tmp_path / "a_DN.png"]) == {tmp_path / "a_DN.png": "a_DN_DN.png"}
