"""The noise report tabulates known noise by brightness and draws real and simulated noise."""

import re

import cv2
import numpy as np
import pytest

from src.data_handlers.datasets.measured_noise import MeasuredNoise
from src.trainer.adapt.noise_image import EDGES, FREQUENCIES, SHOWN, example, noise_image, spectrum
from src.trainer.adapt.noise_report import measurement, report_noise
from src.trainer.config.build import noisy_images
from src.trainer.inference.trained import load_trained
from src.util.images.io import read_image, write_image
from tests.trainer.conftest import CPU

TONES = range(60, 220, 10)


@pytest.fixture(scope="module")
def general():
    return load_trained(CPU, [], None, None, None, "general").network


def white(tones, rng):
    return 10 * rng.standard_normal(tones.shape)


def growing(tones, rng):
    """Correlated noise whose variance is proportional to brightness."""
    noise = cv2.GaussianBlur(rng.standard_normal(tones.shape), (0, 0), 0.7).reshape(tones.shape)
    return noise / noise.std() * np.sqrt(tones)


@pytest.fixture
def folder(tmp_path, tiny_config):
    """Make a configuration for images of flat squares with noise of given strengths."""

    def make(noise, strengths=(1.0,), channels=(3,), gamma="auto"):
        (tmp_path / "images").mkdir()
        clean = np.kron(np.reshape(TONES, (4, 4)), np.ones((64, 64)))
        for number, strength in enumerate(strengths):
            rng = np.random.default_rng(number)
            image = np.repeat(clean[..., None], channels[number % len(channels)], axis=2)
            noisy = np.rint(image + strength * noise(image, rng)).clip(0, 255).astype(np.uint8)
            write_image(tmp_path / "images" / f"{number}.png", noisy)
        images = f"training.dataset_args.data_dir={tmp_path / 'images'}"
        return tiny_config(images, f"test.finish.gamma={gamma}")

    return make


def rows_of(text):
    """Parse a table: brightnesses, and the standard deviations by channel."""
    lines = [line.split() for line in text.splitlines()]
    start = next(number for number, words in enumerate(lines) if words[0] == "brightness")
    width = len(lines[start])
    rows = {words[0]: words[1:] for words in lines[start + 1 :] if len(words) == width and words[0] != "The"}
    values = {name: np.array([float(cell.replace("-", "nan")) for cell in row]) for name, row in rows.items()}
    return np.array(lines[start][1:], float), values


FOUR = (1.0, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("noise", "gamma", "of"),
    [(white, "auto", lambda _: 10), (white, 2.2, lambda _: 10), (growing, "auto", np.sqrt)],
    ids=["white", "white, gamma 2.2", "growing"],
)
def test_the_table_shows_the_known_deviations(folder, general, noise, gamma, of):
    first, second = report_noise(folder(noise, FOUR, gamma=gamma), general, None)
    assert "px apart" in first
    levels, rows = rows_of(second)
    assert list(rows) == ["R", "G", "B"] and 5 <= len(levels) <= 8 and np.ptp(levels) > 90
    for row in rows.values():
        assert row == pytest.approx([of(level) for level in levels], rel=0.15)
    shown = float(re.search(r"gamma ([\d.]+)", second)[1])
    assert shown == pytest.approx(1, abs=0.3) if gamma == "auto" else shown == gamma


def test_the_weakest_and_the_strongest_image_are_named(folder, general):
    _, text = report_noise(folder(white, (1.0, 0.5, 2.0)), general, None)
    weak, strong = re.search(
        r"weakest image has ([\d.]+) times that \(1\.png\).*strongest ([\d.]+) \(2\.png\)", text
    ).groups()
    assert float(weak) == pytest.approx(0.5, rel=0.15) and float(strong) == pytest.approx(2, rel=0.15)
    _, rows = rows_of(text)
    assert np.nanmedian(rows["G"]) == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("channels", [(1,), (1, 3)])
def test_grey_images_alone_and_among_coloured_ones(folder, general, tmp_path, channels):
    config = folder(white, (1.0, 1.0), channels)
    _, text, _ = report_noise(config, general, tmp_path / "noise.png")
    _, rows = rows_of(text)
    assert list(rows) == (["grey"] if channels == (1,) else ["R", "G", "B"])
    for row in rows.values():
        assert np.nanmedian(row) == pytest.approx(10, rel=0.15)
    assert read_image(tmp_path / "noise.png").shape[2] == 3


def test_the_example_is_from_the_noisiest_image_and_simulates_its_noise(folder, general):
    config = folder(growing, (0.5, 1.0))
    measured = measurement(noisy_images(config), general, config.test.finish, 10**6)
    shown = example(measured)
    assert shown.name == "1.png" and shown.real.shape == shown.simulated.shape == (EDGES[0], EDGES[0], 3)
    assert min(abs(shown.brightness - tone) for tone in TONES) < 8
    assert shown.simulated.std() == pytest.approx(shown.real.std(), rel=0.15)
    assert 255 * shown.real.std() == pytest.approx(np.sqrt(shown.brightness), rel=0.15)
    alike = [(noise[:, 1:] * noise[:, :-1]).mean() / noise.var() for noise in (shown.real, shown.simulated)]
    assert alike[0] == pytest.approx(alike[1], abs=0.1) and alike[0] > 0.3


def test_the_image_shows_curves_an_example_and_the_spectrum(folder, general, tmp_path):
    config = folder(white)
    *_, last = report_noise(config, general, tmp_path / "noise.png")
    assert last == f"image: {tmp_path / 'noise.png'}\n"
    image = read_image(tmp_path / "noise.png").astype(int)
    measured = measurement(noisy_images(config), general, config.test.finish, 6 * 10**6)
    assert np.array_equal(image, noise_image(measured))
    tiles = image[-SHOWN:]
    real, simulated, power = tiles[:, :SHOWN], tiles[:, SHOWN + 6 : 2 * SHOWN + 6], tiles[:, -SHOWN:]
    assert np.std(real) == pytest.approx(np.std(simulated), rel=0.15) and np.std(real) > 20
    assert (real[::4, ::4] == real[3::4, 3::4]).all()  # four times as large
    assert abs(np.median(power) - 127) < 8
    curves = image[:-SHOWN]
    for colour in ((198, 40, 40), (46, 125, 50), (21, 101, 192)):
        assert (curves == colour).all(axis=2).sum() > 50


def test_the_spectrum_of_stripes_is_a_line_through_the_middle():
    lags = np.arange(-5, 6)
    along_rows = np.where(lags[:, None] == 0, 1.0, 0.0) * np.ones(11)
    shared = np.repeat(np.repeat(along_rows[..., None, None], 3, axis=2), 3, axis=3)
    flat = np.ones((3, 1), np.float32)
    found = spectrum(MeasuredNoise(1.0, flat / 2, flat / 25, shared, 0.0))
    middle = FREQUENCIES // 2
    assert found.shape == (FREQUENCIES, FREQUENCIES) and found.mean() == pytest.approx(1, rel=0.05)
    assert np.ptp(found[:, middle]) < 1e-6 and found[0, middle] > 4 > 0.2 > found[middle, 0]


@pytest.mark.parametrize(
    ("edge", "noise"), [(20, white), (64, lambda tones, rng: 0 * tones)], ids=["small", "constant"]
)
def test_if_nothing_can_be_measured_one_line_gives_the_reason(tiny_config, general, tmp_path, edge, noise):
    (tmp_path / "images").mkdir()
    image = np.full((edge, edge, 3), 100)
    image = (image + noise(image, np.random.default_rng(0))).astype(np.uint8)
    write_image(tmp_path / "images" / "a.png", image)
    config = tiny_config(f"training.dataset_args.data_dir={tmp_path / 'images'}")
    *_, text = report_noise(config, general, tmp_path / "noise.png")
    assert re.fullmatch(r".*images: .*: 0 flat places of 32x32 px .* 8 are needed.*; no image .*\n", text)
    assert not (tmp_path / "noise.png").exists()
