"""What is said of the noise before a training."""

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


def said_of(config):
    return noise_report(noisy_images(config), build_masker(config))


@pytest.fixture
def report(tiny_config, tmp_path):
    """Of grey images whose independent noise was convolved with a kernel."""

    def measure(kernel, *settings, dtype="uint8"):
        folder, data_range = tmp_path / f"images_{dtype}", np.iinfo(dtype).max
        folder.mkdir()
        kernel = np.asarray(kernel, float) / np.linalg.norm(kernel)
        for number in range(3):
            noise = convolve(np.random.default_rng(number).normal(size=(480, 520)), kernel)
            image = (0.5 + 0.04 * noise) * data_range
            tifffile.imwrite(folder / f"{number}.tif", np.rint(image).astype(dtype))
        settings = ("model.kwargs.in_channels=1", f"training.dataset_args.data_dir={folder}", *settings)
        return said_of(tiny_config(*settings))

    return measure


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_noise_that_is_hidden_is_measured_and_nothing_is_advised(report, dtype):
    said = report(np.ones((1, 3)), dtype=dtype).splitlines()
    assert re.fullmatch(r".*images_\w+: noise in 47 flat places of 3 images, standard .*", said[0])
    assert float(re.search(r"deviation ([\d.]+) of 255", said[0])[1]) == pytest.approx(0.04 * 255, rel=0.1)
    rows, columns = ([float(value) for value in line.split()[2:]] for line in said[2:4])
    assert rows[:3] == pytest.approx([2 / 3, 1 / 3, 0], abs=0.06)
    assert columns[:3] == pytest.approx([0, 0, 0], abs=0.06)
    assert "reaches 2 px along rows and 0 px along columns" in said[4]
    assert said[4].endswith("; 6 px and 6 px on each side of a blind spot are hidden.")
    assert len(said) == 5


def test_what_a_region_hides_is_told(report):
    said = report(np.ones((1, 9)), "masker.masker_args={repl_patch_edge: 5, sim_patch_edge: 9}")
    assert re.search(r"reaches [678] px along rows and 0 px along columns", said)
    assert said.endswith("; 2 px and 2 px on each side of a blind spot are hidden.\n")


def test_what_is_advised_can_be_said(report, tiny_config):
    said = report(np.ones((1, 3)), N2V)
    (setting,) = re.findall(r"--set (\S+)", said)
    config = tiny_config(N2V, setting)
    assert config.masker.masker_type == "Masker" and config.masker.masker_args["repl_patch_edge"] == 13
    assert "hides them" not in said_of(config)


@pytest.mark.parametrize(
    ("direction", "hidden"), [("H", "3 px and 0"), ("V", "0 px and 3"), ("Q", "3 px and 3")]
)
def test_structn2v_hides_along_its_direction(report, direction, hidden):
    said = report(np.ones((1, 3)), N2V, f"masker.masker_args.structN2V={{direction: {direction}, edge: 3}}")
    assert said.endswith(f"; {hidden} px on each side of a blind spot are hidden.\n")


def test_for_independent_noise_single_pixels_are_enough(report):
    assert "hiding single pixels is enough (-c n2v_folder)" in report([[1]])


def test_images_without_noise_are_told(tiny_config, tmp_path):
    (tmp_path / "flat").mkdir()
    write_image(tmp_path / "flat" / "a.png", np.full((64, 64, 3), 90, np.uint8))
    said = said_of(tiny_config(f"training.dataset_args.data_dir={tmp_path / 'flat'}"))
    assert "no noise was found" in said


def test_simulated_noise_is_measured_too(tiny_config, tmp_path):
    (tmp_path / "flat").mkdir()
    write_image(tmp_path / "flat" / "a.png", np.full((96, 96, 3), 90, np.uint8))
    settings = [
        f"training.dataset_args.data_dir={tmp_path / 'flat'}",
        "training.dataset_args.add_noise.sigma=10",
    ]
    assert re.search(r"standard deviation (9|10)\.\d of 255", said_of(tiny_config(*settings)))


def test_of_many_images_some_from_everywhere_are_measured(tiny_config, noisy_folder, monkeypatch):
    monkeypatch.setattr("src.trainer.evaluation.noise_report.MOST_IMAGES", 2)
    seen, read = [], Samples.__getitem__
    monkeypatch.setattr(Samples, "__getitem__", lambda self, key: seen.append(key[1]) or read(self, key))
    assert "of 2 images" in said_of(tiny_config())
    assert seen == [0, 1]
    shutil.copytree(noisy_folder, noisy_folder / "more")
    said_of(tiny_config())
    assert seen == [0, 1, 0, 3]


def test_of_large_images_the_middle_is_measured(report, monkeypatch):
    monkeypatch.setattr("src.trainer.evaluation.noise_report.MOST_PIXELS", 3 * 200 * 200)
    assert "noise in 8 flat places of 3 images" in report([[1]])  # a tenth of 25 in each


def test_lost_images_are_passed_over_or_named(tiny_config, noisy_folder):
    (noisy_folder / "bad.png").write_bytes(b"")
    assert "of 3 images" in said_of(tiny_config("training.dataset_args.unreadable=skip"))
    with pytest.raises(DataError, match=r"bad\.png"):
        said_of(tiny_config())
