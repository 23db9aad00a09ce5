"""`test.py --finish` and `--strength`."""

import numpy as np
import pytest

from src.util.images.io import read_image, write_image


@pytest.fixture
def image(tmp_path):
    """An image with flat areas, which show the noise, and with texture that denoising loses."""
    values = 128 + 12 * np.random.default_rng(0).standard_normal((96, 112, 3))
    values[:40, :40] += 90 * np.sin(np.mgrid[:40, :40].sum(axis=0))[..., None]
    write_image(tmp_path / "my.photo.png", values.clip(0, 255).astype(np.uint8))
    return tmp_path / "my.photo.png"


@pytest.fixture
def denoise(call, ckpt, image, tmp_path):
    """Denoise the image with flags. Return the result."""

    def denoised(*words):
        ended = call("test", "--pretrained", ckpt, "--test_img", image, "--overwrite", *words)
        assert ended.code == 0, ended.err
        return read_image(tmp_path / "my.photo_DN.png").astype(int)

    return denoised


def test_flags_or_the_configuration_choose_the_finish(denoise):
    flags = {parts: denoise("--finish", parts) for parts in ("none", "light", "detail", "all")}
    assert np.array_equal(flags["none"], denoise())
    assert len({result.tobytes() for result in flags.values()}) == 4
    own = ["--set", "test.finish={light: 16, coarse: 8, detail: 3}"]
    assert np.array_equal(denoise(*own), flags["all"])
    assert np.array_equal(denoise(*own, "--finish", "none"), flags["none"])


def test_strength_blends_the_image_and_the_result(denoise, image):
    noisy, plain = read_image(image).astype(int), denoise()
    assert np.array_equal(denoise("--strength", 0), noisy)
    assert np.array_equal(denoise("--strength", 1), plain)
    half, inside = denoise("--strength", 0.5), (plain > 0) & (plain < 255)
    assert inside.any() and np.abs(2 * half - noisy - plain)[inside].max() <= 2
    assert np.array_equal(denoise("--set", "test.finish.strength=0.5"), half)
    assert np.array_equal(denoise("--set", "test.finish.strength=0.5", "--strength", 1), plain)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--strength", "1.5"), "strength: expected a number from 0 to 1, got 1.5"),
        (("--strength", "nan"), "strength: expected a number from 0 to 1, got nan"),
        (("--strength", "-1"), "strength: expected a number from 0 to 1, got -1"),
        (("--set", "test.finish.light=0"), "test.finish.light: expected a number above 0"),
        (("--set", "test.finish.gamma=9"), "test.finish.gamma: expected"),
        (("--set", "test.finish.dust=9"), "test.finish.dust: unknown key; choose from coarse, detail, gamma"),
    ],
)
def test_an_invalid_value_is_refused_in_one_line(call, ckpt, image, tmp_path, words, message):
    ended = call("test", "--pretrained", ckpt, "--test_img", image, *words)
    (line,) = ended.complaints.splitlines()
    assert ended.code == 2 and message in line
    assert not (tmp_path / "my.photo_DN.png").exists()


@pytest.mark.parametrize("words", [("--finish", "dust"), ("--strength", "much"), ("--strength",)])
def test_an_invalid_flag_is_refused_with_its_name(call, words):
    ended = call("test", "--pretrained", "any.pth", *words)
    assert ended.code == 2 and f"argument {words[0]}" in ended.err
