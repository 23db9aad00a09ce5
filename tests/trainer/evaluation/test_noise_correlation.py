"""The noise's autocorrelation from noisy images, compared with known kernels and true noise."""

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter

from src.trainer.evaluation.noise_correlation import MAX_LAG, NoiseCorrelation, noise_correlation
from src.util.images.io import read_image

LEVEL = 1 / 255


def gaussian(sigma):
    side = np.exp(-(np.arange(-6, 7) ** 2) / (2 * sigma**2))
    return np.outer(side, side)


KERNELS = {
    "independent": (np.ones((1, 1)), (0, 0)),
    "three in a row": (np.ones((1, 3)), (0, 2)),
    "two in a column": (np.ones((2, 1)), (1, 0)),
    "round": (gaussian(0.8), (2, 2)),
    "wide": (gaussian(1.5), (4, 4)),
}


def theory(kernel):
    """Return the correlation coefficients of independent noise convolved with a kernel."""
    padded = np.zeros((64, 64))
    padded[: kernel.shape[0], : kernel.shape[1]] = kernel
    found = np.fft.ifft2(np.abs(np.fft.fft2(padded)) ** 2).real
    lags = np.arange(-MAX_LAG, MAX_LAG + 1)
    return (found / found[0, 0])[np.ix_(lags, lags)]


def scene(seed, size=(400, 400)):
    """Return a slope with structure of all sizes in its left half, (C, H, W)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]] / size[0]
    structure = sum(gaussian_filter(rng.normal(size=size), s) * s for s in (1, 3, 9)) / 4
    return np.stack([0.3 + 0.2 * rows + 0.1 * columns + structure * (columns < 0.5) / 4] * 3)


def noisy(seed, kernel, deviation=0.05):
    image = scene(seed)
    independent = np.random.default_rng(seed).normal(size=image.shape)
    noise = np.stack([convolve(plane, kernel) for plane in independent])
    return np.rint((image + deviation * noise / np.sqrt((kernel**2).sum())).clip(0, 1) * 255) / 255


@pytest.mark.parametrize("name", KERNELS)
def test_known_noise_is_measured_despite_structure(name):
    kernel, reach = KERNELS[name]
    found = noise_correlation((noisy(seed, kernel), LEVEL) for seed in range(6))
    assert found.places == 60  # a tenth of 6 images with 100 places each
    # Subtracting the slopes removes part of wide noise.
    assert np.abs(np.subtract(found.reach, reach)).max() <= (name == "wide")
    assert found.deviation == pytest.approx(0.05, rel=0.08)
    assert np.abs(found.table - theory(kernel)).max() < (0.15 if name == "wide" else 0.05)
    assert np.array_equal(found.along_rows, found.table[MAX_LAG, MAX_LAG:])


def test_the_axes_are_not_exchanged():
    found = noise_correlation([(noisy(0, np.ones((1, 3))), LEVEL)])
    assert found.along_rows[1] > 0.5 > 0.2 > found.along_columns[1]


def test_clipped_places_do_not_count():
    """Half of the flat part is clipped."""
    clipped = noisy(0, gaussian(0.8))
    clipped[:, 200:, 200:] = (clipped[:, 200:, 200:] + 0.5).clip(0, 0.9)
    found = noise_correlation([(clipped, LEVEL)])
    assert found.deviation == pytest.approx(0.05, rel=0.1)
    assert np.abs(found.table - theory(gaussian(0.8))).max() < 0.15


@pytest.mark.parametrize(
    "images",
    [
        [],
        [np.full((3, 96, 96), 0.5)],
        [np.random.default_rng(0).random((1, 39, 500))],
        [np.random.default_rng(0).integers(0, 2, (1, 96, 96)).astype(float)],
        [0.5 + np.random.default_rng(0).integers(0, 2, (1, 96, 96)) * LEVEL / 1.1],
    ],
    ids=["none", "constant", "narrow", "clipped", "rounding alone"],
)
def test_images_without_noise_give_none(images):
    assert noise_correlation((image, LEVEL) for image in images) is None


def test_reach_ends_at_the_first_gap_and_at_the_last_lag():
    table = np.zeros((2 * MAX_LAG + 1, 2 * MAX_LAG + 1))
    table[MAX_LAG, MAX_LAG - 10 :] = 1
    table[MAX_LAG : MAX_LAG + 3, MAX_LAG] = 1, 0.1, 0.09
    table[MAX_LAG + 5, MAX_LAG] = 0.5
    assert NoiseCorrelation(table, 0.1, 1).reach == (1, MAX_LAG)


@pytest.mark.parametrize(("folder", "within"), [("sidd_medium_crops", 0.05), ("polyu", 0.12)])
def test_real_images_match_noisy_minus_clean(real_data, monkeypatch, folder, within):
    if real_data is None or not (real_data / folder).is_dir():
        pytest.skip(f"NLN2V_DATA names no folder with real images in {folder}")
    files = sorted((real_data / folder / "noisy").iterdir())[:32]
    images = [read_image(file).transpose(2, 0, 1) / 255 for file in files]
    clean = [read_image(real_data / folder / "gt" / file.name).transpose(2, 0, 1) / 255 for file in files]
    found = noise_correlation((image, LEVEL) for image in images)
    # Without the image, all places are flat.
    monkeypatch.setattr("src.trainer.evaluation.noise_correlation._FLATTEST", 1)
    noise = [0.5 + seen - true for seen, true in zip(images, clean, strict=True)]
    true = noise_correlation((image, LEVEL) for image in noise)
    assert np.abs(found.table - true.table).max() < within
    assert np.abs(np.subtract(found.reach, true.reach)).max() <= (0 if folder.startswith("sidd") else 2)
