"""Masked denoising of images, folders and scored datasets."""

import csv

import numpy as np
import pytest
import torch

from src.trainer.config.build import build_masker
from src.trainer.inference.denoise_files import FileDenoiser
from src.trainer.inference.denoiser import Denoiser
from src.trainer.inference.testing import score_dataset
from src.trainer.network.masked import Masked
from src.util.errors import ConfigError
from src.util.images.io import from_float, read_image, to_float, write_image

HOLES = "masker.masker_args={core_edge: 5, exclude: 21, similar: 2, spots: grid, speedup_factor: 9}"


@pytest.fixture
def path(following):
    """A checkpoint of a network that was trained with hidden regions."""
    return following


@pytest.fixture
def hidden(path, load):
    """Return a function that denoises an 8-bit image (H, W, C) with `Masked` itself."""
    trained = load(path)
    whole = Masked(trained.network, build_masker(trained.config))

    def denoise(noisy):
        denoised = whole.denoise(to_float(noisy).expand(3, -1, -1), "a")
        return denoised.permute(1, 2, 0).numpy()

    return denoise


@pytest.fixture
def noisy(noisy_folder):
    """A colour image of odd size."""
    return read_image(noisy_folder / "b.png")[:51, :67]


def as_stored(values):
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def test_an_array_is_denoised_masked(path, noisy, hidden):
    result = Denoiser.load(path, "cpu", masked=True)(noisy)
    assert np.array_equal(result, as_stored(hidden(noisy)))
    assert not np.array_equal(result, Denoiser.load(path, "cpu")(noisy))


def test_tiles_make_no_difference(path, noisy):
    plain, tiled = (Denoiser.load(path, "cpu", masked=True, tile=tile)(noisy) for tile in ("auto", 24))
    assert np.array_equal(plain, tiled)


def test_the_maskers_arguments_can_be_overridden(path, noisy):
    plain, holes = (Denoiser.load(path, "cpu", masked=True, settings=s)(noisy) for s in ((), (HOLES,)))
    assert not np.array_equal(plain, holes)


def test_grey_and_other_channels_are_denoised_masked(path, noisy, hidden):
    grey = noisy[..., 0]
    expected = as_stored(hidden(grey[..., None]).mean(axis=2))
    assert np.array_equal(Denoiser.load(path, "cpu", masked=True)(grey), expected)
    each = Denoiser.load(path, "cpu", masked=True, settings=["test.each_channel=true"])
    result = each(np.concatenate([noisy, noisy[..., :1]], axis=2))
    assert result.shape == (51, 67, 4) and np.array_equal(result[..., 0], expected)
    assert np.array_equal(result[..., 3], expected)


@pytest.mark.parametrize("finish", ["none", "all"])
def test_nan_stays_in_place(path, noisy, finish):
    values = from_float(to_float(noisy), "float32", 1)
    values[10:14, 50:60] = np.nan
    denoiser = Denoiser.load(path, "cpu", masked=True, nan="keep", finish=finish)
    result = denoiser(values)
    assert np.array_equal(np.isnan(result), np.isnan(values))


def test_the_finish_applies_to_masked_results(path, noisy):
    half = Denoiser.load(path, "cpu", masked=True, strength=0.5)(noisy).astype(int)
    whole = Denoiser.load(path, "cpu", masked=True)(noisy).astype(int)
    inside = (whole > 0) & (whole < 255)
    assert inside.any() and np.abs(2 * half - whole - noisy)[inside].max() <= 2


def test_files_and_folders_are_denoised_masked(path, load, noisy_folder, noisy, hidden, tmp_path):
    write_image(noisy_folder / "b.png", noisy)
    files = FileDenoiser(load(path, "test.finish={light: 8}").with_finish("none", None).with_masked())
    files.file(noisy_folder / "b.png", tmp_path / "b.png")
    assert files.folder(noisy_folder, tmp_path / "out") == 0
    for result in (tmp_path / "b.png", tmp_path / "out" / "b_DN.png"):
        assert np.array_equal(read_image(result), as_stored(hidden(noisy)))


def test_the_gamma_of_a_folder_is_found_in_masked_results(path, load, noisy_folder, monkeypatch):
    asked = []
    monkeypatch.setattr(Masked, "denoise_bands", lambda self, *arguments: asked.append(arguments[-1]))
    trained = load(path, "test.finish={light: 8}").with_masked()
    from src.trainer.inference import finish_of_folder

    monkeypatch.setattr(finish_of_folder, "found_gamma", lambda pairs: len([*pairs]))
    finish_of_folder.with_common_light(trained, sorted(noisy_folder.iterdir()), 10**6)
    assert [name[-5:] for name in asked] == ["a.png", "b.png", "c.png"]


def rows(folder):
    with open(folder / "metrics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_scores_are_of_masked_results(path, load, clean_folder, hidden, tmp_path):
    trained = load(path, f"test.dataset_args.clean_folder={clean_folder}", "test.save_float=true")
    folders = [
        score_dataset(trained, 0, tmp_path / "plain"),
        score_dataset(trained.with_masked(), 0, tmp_path / "hidden"),
    ]
    assert [row["psnr"] for row in rows(folders[0])] != [row["psnr"] for row in rows(folders[1])]
    for number in range(3):
        expected = hidden(read_image(folders[1] / f"{number:04d}_NOISY.png"))
        np.testing.assert_allclose(np.load(folders[1] / f"{number:04d}_DN.npy"), expected, atol=1e-5)


def test_the_masked_loss_does_not_depend_on_masked_denoising(path, load, tmp_path):
    plain, hidden = (
        rows(score_dataset(trained, 0, tmp_path / name))
        for name, trained in (("plain", load(path)), ("hidden", load(path).with_masked()))
    )
    assert [row["loss"] for row in plain] == [row["loss"] for row in hidden]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["training.objective=imitate", "training.loss=1*target_L1", "training.tmp_info=[]"],
            r"ckpt\.pth was trained with `objective: imitate`, which hides nothing from it",
        ),
        (
            ["masker.masker_type=N2V_Masker", "masker.masker_args={}"],
            r"`masker_type: N2V_Masker`, which hides no regions \(Masker does\)",
        ),
        (["masker.masker_args={pitch: 13}"], r"pitch: --masked expects more than repl_patch_edge \(13\)"),
    ],
    ids=["imitate", "n2v", "pitch"],
)
def test_networks_that_cannot_be_used_masked_are_refused(path, settings, message):
    with pytest.raises(ConfigError, match=message):
        Denoiser.load(path, "cpu", masked=True, settings=settings)


def test_the_general_network_cannot_be_used_masked():
    with pytest.raises(ConfigError, match="objective: imitate"):
        Denoiser.load(device="cpu", masked=True)


def test_masked_excludes_ensemble(path):
    with pytest.raises(ConfigError, match="--masked and --ensemble: say one of them"):
        Denoiser.load(path, torch.device("cpu"), masked=True, ensemble=True)
