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


def test_psnr_agrees_with_the_original_when_truncated():
    stored = np.load(PARITY)
    truncated = (stored["test"][0].transpose(1, 2, 0).clip(0, 1) * 255).astype(np.uint8)
    assert psnr(stored["clean"], truncated) == pytest.approx(float(stored["psnr_trunc"]), abs=1e-10)


def test_e6_ssim_agrees_with_the_original_but_for_its_ruined_ground_truth():
    stored = np.load(PARITY)
    clean = stored["clean"]
    truncated = (stored["test"][0].transpose(1, 2, 0).clip(0, 1) * 255).astype(np.uint8)
    # The original's PSNR had multiplied the clean image by 255 in place: its SSIM saw it wrapped around.
    wrapped = clean * np.uint8(255)
    assert ssim(wrapped, truncated) == pytest.approx(float(stored["ssim_trunc"]), abs=1e-10)
    assert ssim(clean, truncated) > 0.6


def test_e6_scores_leave_their_arguments_alone(image):
    other = image // 2
    before = image.copy(), other.copy()
    psnr(image, other)
    assert ssim(image, image) == 1.0
    assert np.array_equal(image, before[0])
    assert np.array_equal(other, before[1])


def test_e7_a_prediction_is_rounded_so_that_it_scores_better_than_truncated():
    clean = np.full((32, 32, 1), 100, np.uint8)
    prediction = np.random.default_rng(0).normal(100 / 255, 2 / 255, (1, 32, 32)).astype(np.float32)
    truncated = (prediction.transpose(1, 2, 0) * 255).astype(np.uint8)
    assert psnr(clean, to_uint8(prediction)) > psnr(clean, truncated) + 0.1


def test_e8_only_8_bit_images_are_scored_so_nan_cannot_be(image):
    with pytest.raises(ValueError, match="uint8"):
        psnr(image, np.full(image.shape, np.nan))
    with pytest.raises(ValueError, match="uint8"):
        ssim(image.astype(float), image)


def test_shapes_must_agree(image):
    for score in (psnr, ssim):
        with pytest.raises(ValueError, match="one shape"):
            score(image, image[:, :, :1])


def test_psnr_of_a_hand_computed_pair():
    clean = np.full((8, 8, 1), 100, np.uint8)
    assert psnr(clean, clean + np.uint8(10)) == pytest.approx(10 * math.log10(255**2 / 100))


def test_e5_identical_images_have_infinite_psnr_and_do_not_spoil_the_mean(image):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert psnr(image, image) == math.inf
    score = mean_score([30.0, math.inf, 20.0])
    assert score.mean == 25.0
    assert (score.used, score.total) == (2, 3)


def test_e17_tiny_images_have_no_ssim_and_are_left_out():
    tiny = np.zeros((6, 30, 3), np.uint8)
    assert math.isnan(ssim(tiny, tiny))
    assert mean_score([ssim(tiny, tiny), 0.5]).mean == 0.5
    assert math.isnan(mean_score([math.nan]).mean)
    assert ssim(tiny.repeat(2, axis=0), tiny.repeat(2, axis=0)) == 1.0


@pytest.mark.parametrize(("dtype", "data_range"), [("uint16", 65535), ("float32", 1), ("float32", 10_000)])
def test_a_image_scores_alike_in_any_type(image, dtype, data_range):
    other = (image.astype(int) + 3).clip(0, 255).astype(np.uint8)
    one, two = (values.astype(float) / 255 * data_range for values in (image, other))
    one, two = (values.astype(dtype) for values in (one, two))
    assert psnr(one, two, data_range) == pytest.approx(psnr(image, other), abs=1e-3)
    assert ssim(one, two, data_range) == pytest.approx(ssim(image, other), abs=1e-5)


def test_large_numbers_in_32_bits_are_scored_in_64():
    """Bright clouds, four times white, whose variance 32 bits would blur in the fourth digit of SSIM."""
    random = np.random.default_rng(0)
    one = (39_000 + 30 * random.random((16, 20, 3))).astype(np.float32)
    two = (one + 30 * random.random(one.shape)).astype(np.float32)
    exact = structural_similarity(
        one.astype(float), two.astype(float), win_size=7, channel_axis=2, data_range=10_000
    )
    assert ssim(one, two, 10_000) == pytest.approx(exact, abs=1e-9)


def test_8_bits_whose_white_is_said_are_scored_by_it():
    clean = np.full((8, 8, 1), 100, np.uint8)
    assert psnr(clean, clean + np.uint8(10), 200) == pytest.approx(10 * math.log10(200**2 / 100))


def test_other_types_need_their_white_and_nan_is_never_scored(image):
    deep = image.astype(np.uint16)
    with pytest.raises(ValueError, match="uint8"):
        psnr(deep, deep)
    with pytest.raises(ValueError, match="finite"):
        psnr(deep.astype(float), np.full(image.shape, np.nan), 1.0)


def test_how_many_images_became_perfect_is_said_beside_the_mean_that_leaves_them_out():
    """Else the mean falls without a word when the best result becomes perfect."""
    before, after = mean_score([30.0, 50.0]), mean_score([30.0, math.inf])
    assert (before.mean, before.of) == (40.0, "")
    assert (after.mean, after.of) == (30.0, " of 1 images (1 identical to the clean one left out)")
    assert mean_score([30.0, math.nan]).of == " of 1 images"  # too small for SSIM, say
    assert mean_score([math.inf, math.inf]) == MeanScore(math.inf, 0, 2, 2)
    assert math.isnan(mean_score([math.nan]).mean)


def test_what_is_not_known_counts_in_no_score():
    random = np.random.default_rng(0)
    clean = random.random((40, 30, 2))
    test = clean + random.normal(0, 0.1, clean.shape)
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
