import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from src.trainer.evaluation.metrics import MeanScore, mean_score, psnr, ssim
from src.util.images.io import to_uint8

PARITY = Path(__file__).parents[2] / "parity" / "metrics.npz"


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (16, 20, 3), dtype=np.uint8)


def test_psnr_agrees_with_the_original_for_truncated_values():
    stored = np.load(PARITY)
    truncated = (stored["test"][0].transpose(1, 2, 0).clip(0, 1) * 255).astype(np.uint8)
    assert psnr(stored["clean"], truncated) == pytest.approx(float(stored["psnr_trunc"]), abs=1e-10)


def test_e6_ssim_agrees_with_the_original_given_its_overwritten_ground_truth():
    stored = np.load(PARITY)
    clean = stored["clean"]
    truncated = (stored["test"][0].transpose(1, 2, 0).clip(0, 1) * 255).astype(np.uint8)
    # The original's PSNR multiplied the clean image by 255 in place, so its SSIM saw wrapped values.
    wrapped = clean * np.uint8(255)
    assert ssim(wrapped, truncated) == pytest.approx(float(stored["ssim_trunc"]), abs=1e-10)
    assert ssim(clean, truncated) > 0.6


def test_e6_scores_do_not_modify_their_arguments(image):
    other = image // 2
    before = image.copy(), other.copy()
    psnr(image, other)
    assert ssim(image, image) == 1.0
    assert np.array_equal(image, before[0])
    assert np.array_equal(other, before[1])


def test_e7_rounding_scores_better_than_truncation():
    clean = np.full((32, 32, 1), 100, np.uint8)
    prediction = np.random.default_rng(0).normal(100 / 255, 2 / 255, (1, 32, 32)).astype(np.float32)
    truncated = (prediction.transpose(1, 2, 0) * 255).astype(np.uint8)
    assert psnr(clean, to_uint8(prediction)) > psnr(clean, truncated) + 0.1


@pytest.mark.parametrize("score", [psnr, ssim])
@pytest.mark.parametrize(
    ("clean", "test", "data_range", "reason"),
    [
        (np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), np.nan), None, "uint8"),
        (np.zeros((8, 8, 3)), np.zeros((8, 8, 3), np.uint8), None, "uint8"),
        (np.zeros((8, 8, 3), np.uint16), np.zeros((8, 8, 3), np.uint16), None, "uint8"),
        (np.zeros((8, 8, 3)), np.full((8, 8, 3), np.nan), 1.0, "finite"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 1), np.uint8), None, "one shape"),
    ],
    ids=["nan", "two types", "no data range", "nan and data range", "two shapes"],
)
def test_e8_images_that_cannot_be_scored_are_refused(score, clean, test, data_range, reason):
    with pytest.raises(ValueError, match=reason):
        score(clean, test, data_range)


def test_psnr_of_a_hand_computed_pair():
    clean = np.full((8, 8, 1), 100, np.uint8)
    assert psnr(clean, clean + np.uint8(10)) == pytest.approx(10 * math.log10(255**2 / 100))


def test_e5_identical_images_have_infinite_psnr_and_do_not_affect_the_mean(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert psnr(image, image) == math.inf
    score = mean_score([30.0, math.inf, 20.0])
    assert score.mean == 25.0
    assert (score.used, score.total) == (2, 3)


def test_e17_tiny_images_have_no_ssim():
    tiny = np.zeros((6, 30, 3), np.uint8)
    assert math.isnan(ssim(tiny, tiny))
    assert mean_score([ssim(tiny, tiny), 0.5]).mean == 0.5
    assert math.isnan(mean_score([math.nan]).mean)
    assert ssim(tiny.repeat(2, axis=0), tiny.repeat(2, axis=0)) == 1.0


@pytest.mark.parametrize(("dtype", "data_range"), [("uint16", 65535), ("float32", 1), ("float32", 10_000)])
def test_an_image_has_the_same_scores_in_any_type(image, dtype, data_range):
    other = (image.astype(int) + 3).clip(0, 255).astype(np.uint8)
    one, two = (values.astype(float) / 255 * data_range for values in (image, other))
    one, two = (values.astype(dtype) for values in (one, two))
    assert psnr(one, two, data_range) == pytest.approx(psnr(image, other), abs=1e-3)
    assert ssim(one, two, data_range) == pytest.approx(ssim(image, other), abs=1e-5)


def test_large_float32_values_are_scored_in_float64():
    """In float32 the variance of bright clouds would change SSIM in its fourth digit."""
    rng = np.random.default_rng(0)
    one = (39_000 + 30 * rng.random((16, 20, 3))).astype(np.float32)
    two = (one + 30 * rng.random(one.shape)).astype(np.float32)
    exact = structural_similarity(
        one.astype(float), two.astype(float), win_size=7, channel_axis=2, data_range=10_000
    )
    assert ssim(one, two, 10_000) == pytest.approx(exact, abs=1e-9)


def test_a_data_range_applies_to_8_bit_images():
    clean = np.full((8, 8, 1), 100, np.uint8)
    assert psnr(clean, clean + np.uint8(10), 200) == pytest.approx(10 * math.log10(200**2 / 100))


def test_identical_images_are_counted_beside_the_mean():
    """Otherwise the mean would fall without a reason when the best result becomes perfect."""
    before, after = mean_score([30.0, 50.0]), mean_score([30.0, math.inf])
    assert (before.mean, before.of) == (40.0, "")
    assert (after.mean, after.of) == (30.0, " of 1 images (1 identical to the clean one left out)")
    assert mean_score([30.0, math.nan]).of == " of 1 images"  # too small for SSIM, say
    assert mean_score([math.inf, math.inf]) == MeanScore(math.inf, 0, 2, 2)
    assert math.isnan(mean_score([math.nan]).mean)


def test_unknown_values_do_not_count():
    rng = np.random.default_rng(0)
    clean = rng.random((40, 30, 2))
    test = clean + rng.normal(0, 0.1, clean.shape)
    known = np.ones(clean.shape, bool)
    assert psnr(clean, test, 1.0, known) == psnr(clean, test, 1.0)
    assert ssim(clean, test, 1.0, known) == pytest.approx(ssim(clean, test, 1.0), abs=1e-12)
    known[:, 20:] = False
    left = (clean[:, :20], test[:, :20])
    test[:, 20:] = 0.5
    assert psnr(clean, test, 1.0, known) == pytest.approx(psnr(*left, 1.0))
    assert ssim(clean, test, 1.0, known) == pytest.approx(ssim(*left, 1.0))
    assert math.isnan(psnr(clean, test, 1.0, ~known & known))
    known[::4, ::4] = False  # no window is whole
    assert math.isnan(ssim(clean, test, 1.0, known))
