"""The report on noise before a training."""

import re
import shutil

import numpy as np
import pytest
import tifffile
from scipy.ndimage import convolve

from src.data_handlers.samples.samples import Samples
from src.trainer.config.build import build_masker, noisy_images
from src.trainer.evaluation.noise_report import noise_report
from src.util.errors import DataError
from src.util.images.io import write_image

N2V = "masker.masker_type=N2V_Masker"


def report_of(config):
    return noise_report(noisy_images(config), build_masker(config))


@pytest.fixture
def report(tiny_config, tmp_path):
    """Return a function that reports on grey images with noise convolved with a kernel."""

    def measure(kernel, *settings, dtype="uint8"):
        folder, data_range = tmp_path / f"images_{dtype}", np.iinfo(dtype).max
        folder.mkdir()
        kernel = np.asarray(kernel, float) / np.linalg.norm(kernel)
        for number in range(3):
            noise = convolve(np.random.default_rng(number).normal(size=(480, 520)), kernel)
            image = (0.5 + 0.04 * noise) * data_range
            tifffile.imwrite(folder / f"{number}.tif", np.rint(image).astype(dtype))
        settings = ("model.kwargs.in_channels=1", f"training.dataset_args.data_dir={folder}", *settings)
        return report_of(tiny_config(*settings))

    return measure


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_hidden_noise_is_measured_without_advice(report, dtype):
    text = report(np.ones((1, 3)), dtype=dtype).splitlines()
    assert re.fullmatch(r".*images_\w+: noise in 47 flat places of 3 images, standard .*", text[0])
    assert float(re.search(r"deviation ([\d.]+) of 255", text[0])[1]) == pytest.approx(0.04 * 255, rel=0.1)
    rows, columns = ([float(value) for value in line.split()[2:]] for line in text[2:4])
    assert rows[:3] == pytest.approx([2 / 3, 1 / 3, 0], abs=0.06)
    assert columns[:3] == pytest.approx([0, 0, 0], abs=0.06)
    assert "reaches 2 px along rows and 0 px along columns" in text[4]
    assert text[4].endswith("; 6 px and 6 px on each side of a blind spot are hidden.")
    assert len(text) == 5


def test_the_hidden_region_is_reported(report):
    text = report(np.ones((1, 9)), "masker.masker_args={repl_patch_edge: 5, sim_patch_edge: 9}")
    assert re.search(r"reaches [678] px along rows and 0 px along columns", text)
    assert text.endswith("; 2 px and 2 px on each side of a blind spot are hidden.\n")


def test_the_advised_setting_is_valid(report, tiny_config):
    text = report(np.ones((1, 3)), N2V)
    (setting,) = re.findall(r"--set (\S+)", text)
    config = tiny_config(N2V, setting)
    assert config.masker.masker_type == "Masker" and config.masker.masker_args["repl_patch_edge"] == 13
    assert "hides them" not in report_of(config)


@pytest.mark.parametrize(
    ("direction", "hidden"), [("H", "3 px and 0"), ("V", "0 px and 3"), ("Q", "3 px and 3")]
)
def test_structn2v_reports_what_it_hides(report, direction, hidden):
    text = report(np.ones((1, 3)), N2V, f"masker.masker_args.structN2V={{direction: {direction}, edge: 3}}")
    assert text.endswith(f"; {hidden} px on each side of a blind spot are hidden.\n")


def test_independent_noise_needs_single_pixels_only(report):
    assert "hiding single pixels is enough (-c n2v_folder)" in report([[1]])


def test_images_without_noise_are_reported(tiny_config, tmp_path):
    (tmp_path / "flat").mkdir()
    write_image(tmp_path / "flat" / "a.png", np.full((64, 64, 3), 90, np.uint8))
    text = report_of(tiny_config(f"training.dataset_args.data_dir={tmp_path / 'flat'}"))
    assert "no noise was found" in text


def test_simulated_noise_is_measured_too(tiny_config, tmp_path):
    (tmp_path / "flat").mkdir()
    write_image(tmp_path / "flat" / "a.png", np.full((96, 96, 3), 90, np.uint8))
    settings = [
        f"training.dataset_args.data_dir={tmp_path / 'flat'}",
        "training.dataset_args.add_noise.sigma=10",
    ]
    assert re.search(r"standard deviation (9|10)\.\d of 255", report_of(tiny_config(*settings)))


def test_images_spread_over_the_dataset_are_measured(tiny_config, noisy_folder, monkeypatch):
    monkeypatch.setattr("src.trainer.evaluation.noise_report.MOST_IMAGES", 2)
    seen, read = [], Samples.__getitem__
    monkeypatch.setattr(Samples, "__getitem__", lambda self, key: seen.append(key[1]) or read(self, key))
    assert "of 2 images" in report_of(tiny_config())
    assert seen == [0, 1]
    shutil.copytree(noisy_folder, noisy_folder / "more")
    report_of(tiny_config())
    assert seen == [0, 1, 0, 3]


def test_the_middle_of_large_images_is_measured(report, monkeypatch):
    monkeypatch.setattr("src.trainer.evaluation.noise_report.MOST_PIXELS", 3 * 200 * 200)
    assert "noise in 8 flat places of 3 images" in report([[1]])  # a tenth of 25 in each


def test_unreadable_images_are_skipped_or_named(tiny_config, noisy_folder):
    (noisy_folder / "bad.png").write_bytes(b"")
    assert "of 3 images" in report_of(tiny_config("training.dataset_args.unreadable=skip"))
    with pytest.raises(DataError, match=r"bad\.png"):
        report_of(tiny_config())
