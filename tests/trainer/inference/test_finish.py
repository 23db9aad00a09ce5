"""The finish of images of any type, of folders and of scores."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from src.model import DenoisingNetwork
from src.trainer.evaluation.evaluate import evaluate
from src.trainer.finish import Finish
from src.trainer.finish.strips import Pair
from src.trainer.inference.denoise_files import FileDenoiser, FileOptions
from src.trainer.inference.denoiser import Denoiser
from src.trainer.inference.pixels import denoise_pixels
from src.trainer.inference.testing import score_dataset
from src.trainer.network.network import Network
from src.util.errors import ConfigError, DataError
from src.util.images.io import read_image

CPU = torch.device("cpu")
ALL = Finish(light=4, coarse=2, gamma=1, detail=2)


class Smoother(DenoisingNetwork):
    """A mean over 3x3 px, a little too dark."""

    def __init__(self, channels):
        super().__init__()
        self.in_channels = channels

    def forward(self, images):
        padded = torch.nn.functional.pad(images, [1] * 4, mode="replicate")
        return torch.nn.functional.avg_pool2d(padded, 3, 1) - 0.02


def network(channels=3):
    return Network(Smoother(channels), CPU)


def image(dtype=np.uint8, shape=(80, 96, 3)):
    values = 0.5 + 0.1 * np.random.default_rng(0).standard_normal(shape)
    values[:, 40:44] += 0.3
    return (
        values.astype(dtype) if dtype == np.float32 else np.rint(values * np.iinfo(dtype).max).astype(dtype)
    )


def denoise_by_channel(values):
    """Denoise float32 (H, W, C) of data range 1."""
    channels = [network(1).denoise(torch.from_numpy(v.copy())[None], "a")[0].numpy() for v in values.T]
    return np.stack(channels).T


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_images_of_any_type_are_finished_in_their_own_values(dtype):
    data_range = 1.0 if dtype == np.float32 else float(np.iinfo(dtype).max)
    noisy = image(dtype)
    plain = denoise_pixels(network(), noisy, data_range, "a")
    result = denoise_pixels(network(), noisy, data_range, "a", ALL)
    given = Pair(
        noisy,
        plain.astype(np.float32) / np.float32(data_range),
        data_range,
        0.0 if data_range == 1 else 1 / data_range,
    )
    without_smaller = np.concatenate([band for _, band in ALL(given)]) * data_range
    given = replace(given, denoise=denoise_by_channel)
    expected = np.concatenate([band for _, band in ALL(given)]) * data_range
    assert result.dtype == dtype
    assert np.abs(result - without_smaller).max() > 0.03 * data_range
    np.testing.assert_allclose(result, expected, atol=3 if dtype == np.uint8 else 1e-3 * data_range)
    assert (
        abs(plain.mean() - noisy.mean())
        > 0.015 * data_range
        > 0.002 * data_range
        > abs(result.mean() - noisy.mean())
    )


def test_an_empty_finish_changes_nothing_and_strength_0_gives_the_image():
    noisy = image()
    assert np.array_equal(
        denoise_pixels(network(), noisy, 255, "a", Finish()), denoise_pixels(network(), noisy, 255, "a")
    )
    assert np.array_equal(denoise_pixels(network(), noisy, 255, "a", Finish(strength=0)), noisy)


@pytest.mark.parametrize("finish", [Finish(), ALL])
def test_other_channels_are_denoised_separately_on_request(finish):
    noisy = image(shape=(40, 48, 5))
    with pytest.raises(DataError, match="a: "):
        denoise_pixels(network(), noisy, 255, "a", finish)
    result = denoise_pixels(network(), noisy, 255, "a", finish, each_channel=True)
    assert result.shape == noisy.shape
    if finish.changes:
        together = Pair(noisy, denoise_by_channel(noisy / np.float32(255)), 255, 1 / 255, denoise_by_channel)
        expected = np.concatenate([band for _, band in finish(together)])
        np.testing.assert_allclose(result, 255 * expected, atol=1)
    else:
        for channel in range(5):
            alone = denoise_pixels(network(), noisy[..., channel : channel + 1], 255, "a")
            assert np.array_equal(result[..., channel], alone[..., 0])


def test_each_channel_does_not_affect_suitable_images():
    noisy = image()
    together = denoise_pixels(network(), noisy, 255, "a", each_channel=True)
    assert np.array_equal(together, denoise_pixels(network(), noisy, 255, "a"))


# The finish of a checkpoint


def test_a_denoiser_uses_the_checkpoints_finish_or_a_given_one(run, noisy_folder):
    path, noisy = run.files.checkpoint_file(2), read_image(noisy_folder / "b.png")
    plain = Denoiser.load(path, "cpu")
    assert plain.finish == Finish()
    own = Denoiser.load(path, "cpu", settings=["test.finish={light: 5, strength: 0.5}"])
    assert own.finish == Finish(light=5, strength=0.5)
    other = Denoiser.load(path, "cpu", settings=["test.finish={light: 5}"], finish="all", strength=0.25)
    assert other.finish == Finish(light=5, detail=3, strength=0.25)
    nothing = Denoiser.load(path, "cpu", strength=0)
    assert np.array_equal(nothing(noisy), noisy) and not np.array_equal(plain(noisy), noisy)
    assert not np.array_equal(own(noisy), plain(noisy))
    with pytest.raises(ConfigError, match="strength: expected a number from 0 to 1, got 2"):
        Denoiser.load(path, "cpu", strength=2)


def test_each_channel_of_the_configuration_denoises_other_channels_separately(run):
    path, noisy = run.files.checkpoint_file(2), image(shape=(32, 40, 4))
    result = Denoiser.load(path, "cpu", settings=["test.each_channel=true"])(noisy)
    assert result.shape == noisy.shape
    with pytest.raises(DataError, match="drop its transparency"):
        Denoiser.load(path, "cpu")(noisy)


# Folders


@pytest.fixture
def denoised_folder(run, load, noisy_folder, tmp_path):
    """Return a function that denoises the noisy folder with a finish and returns the results."""

    def denoise(finish, out="out", **options):
        trained = load(run.files.checkpoint_file(2), f"test.finish={finish}")
        FileDenoiser(trained, FileOptions(**options)).folder(noisy_folder, tmp_path / out)
        return {path.name: read_image(path) for path in sorted((tmp_path / out).glob("*_DN.png"))}

    return denoise


def lines(messages):
    return [line for line in messages if "light is given back with gamma" in line and "images (" in line]


def test_the_images_of_a_folder_share_one_gamma(denoised_folder, messages):
    together = denoised_folder("{light: 8}")
    (line,) = lines(messages)
    assert line.endswith("found in 3 images (--set test.finish.gamma=G)")
    gamma = line.partition("with gamma ")[2].partition(",")[0]
    given = denoised_folder(f"{{light: 8, gamma: {gamma}}}", "given")
    assert len(together) == 3 and len(lines(messages)) == 1
    assert all(np.array_equal(given[name], together[name]) for name in given)
    other = denoised_folder("{light: 8, gamma: 3}" if float(gamma) < 2.5 else "{light: 8, gamma: 1}", "other")
    assert any(not np.array_equal(other[name], together[name]) for name in other)


@pytest.mark.parametrize("finish", ["{}", "{detail: 3}", "{light: 8, gamma: 2}"])
def test_gamma_is_not_measured_if_it_is_given_or_unused(denoised_folder, messages, finish):
    denoised_folder(finish)
    assert lines(messages) == []


def test_a_finished_folder_is_not_measured_again(denoised_folder, messages, monkeypatch):
    denoised_folder("{light: 8}")
    monkeypatch.setattr(Network, "denoise_bands", lambda *arguments: pytest.fail("denoised again"))
    denoised_folder("{light: 8}")
    assert len(lines(messages)) == 1


def test_unreadable_images_are_ignored_for_gamma(denoised_folder, noisy_folder, messages):
    (noisy_folder / "a.png").write_bytes(b"damaged")
    assert len(denoised_folder("{light: 8}")) == 2
    assert len(lines(messages)) == 1


# Scores


def test_scores_are_of_the_finished_images(run, load, clean_folder, tmp_path):
    given = [f"test.dataset_args.clean_folder={clean_folder}", "test.finish.strength=0"]
    score_dataset(load(run.files.checkpoint_file(2), *given), 0, tmp_path / "scored")
    for number in range(3):
        (denoised,) = (tmp_path / "scored").glob(f"{number:04d}_DN_*.png")
        noisy = read_image(tmp_path / "scored" / f"{number:04d}_NOISY.png")
        assert np.array_equal(read_image(denoised), noisy)
        clean = read_image(tmp_path / "scored" / f"{number:04d}_CLEAN.png").astype(float)
        psnr = 10 * math.log10(255**2 / ((noisy - clean) ** 2).mean())
        assert float(denoised.stem.rpartition("_")[2]) == pytest.approx(psnr, abs=0.01)


def test_scores_and_files_have_the_same_finish():
    noisy = image()
    batch = {"noisy": torch.from_numpy(noisy.transpose(2, 0, 1)[None] / np.float32(255)), "name": ["a"]}
    (result,) = evaluate(network(), [batch], None, finish=ALL)
    stored = np.rint(255 * result.denoised.permute(1, 2, 0).numpy().clip(0, 1))
    assert np.abs(stored - denoise_pixels(network(), noisy, 255, "a", ALL)).max() <= 1


def test_nan_stays_in_place_with_a_finish():
    noisy = torch.from_numpy(image(np.float32).transpose(2, 0, 1).copy())
    noisy[:, 10:14, 50:60] = math.nan
    batch = {"noisy": noisy[None], "name": ["a"], "dtype": ["float32"], "data_range": [1.0]}
    (result,) = evaluate(network(), [batch], None, finish=ALL)
    assert torch.equal(result.denoised.isnan(), noisy.isnan())
    (plain,) = evaluate(network(), [batch], None)
    assert not torch.equal(result.denoised[:, 30:], plain.denoised[:, 30:])
