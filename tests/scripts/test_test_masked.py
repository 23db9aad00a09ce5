"""`test.py --masked`."""

import numpy as np
import pytest

from src.trainer.inference.denoiser import Denoiser
from src.util.images.io import read_image


@pytest.fixture
def expected(following, image):
    return Denoiser.load(following, "cpu", masked=True)(read_image(image))


def test_images_and_folders_are_denoised_with_blind_spots(call, following, image, expected, tmp_path):
    ended = call("test", "--pretrained", following, "--test_img", image, "--masked")
    assert ended.code == 0, ended.err
    ended = call("test", "--pretrained", following, "--test_dir", image.parent, "--masked", "--out", "out")
    assert ended.code == 0, ended.err
    for folder in (tmp_path, tmp_path / "out"):
        assert np.array_equal(read_image(folder / "my.photo_DN.png"), expected)
    plain = Denoiser.load(following, "cpu")(read_image(image))
    assert not np.array_equal(plain, expected)


def test_test_images_are_scored_with_blind_spots(call, following, noisy_folder, tmp_path):
    assert call("test", "--pretrained", following, "--masked", "--out", "scores").code == 0
    result = read_image(tmp_path / "scores" / "0000_DN.png")
    denoiser = Denoiser.load(following, "cpu", masked=True)
    assert np.array_equal(result, denoiser(read_image(noisy_folder / "a.png")))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--ensemble",), "--masked and --ensemble: say one of them"),
        (("--set", "masker.masker_type=N2V_Masker"), "which hides no regions"),
    ],
)
def test_conflicting_settings_are_refused_in_one_line(call, following, image, tmp_path, words, message):
    ended = call("test", "--pretrained", following, "--test_img", image, "--masked", *words)
    (line,) = ended.complaints.splitlines()
    assert ended.code == 2 and message in line
    assert not (tmp_path / "my.photo_DN.png").exists()


def test_the_general_network_is_refused_in_one_line(call, image, tmp_path):
    ended = call("test", "--test_img", image, "--masked")
    (line,) = ended.complaints.splitlines()
    assert ended.code == 2 and "--masked: " in line and "`objective: imitate`, which hides nothing" in line
