"""`main.py --noise-report`, with and without an image file."""

import pytest

from src.util.images.io import read_image


def test_a_noise_report_is_printed_and_writes_nothing(call, tiny_yaml, tmp_path):
    before = set(tmp_path.rglob("*"))
    ended = call("main", "-c", "tiny.yaml", "--noise-report")
    assert (ended.code, ended.err) == (0, "")
    assert "noise in 1 flat places of 3 images" in ended.out and "measure more images" in ended.out
    assert "symmetric in light of gamma" in ended.out
    assert set(tmp_path.rglob("*")) == before


def test_a_noise_report_is_drawn(call, tiny_yaml, tmp_path):
    ended = call("main", "-c", "tiny.yaml", "--noise-report", "noise.png")
    assert (ended.code, ended.err) == (0, "") and ended.out.endswith("image: noise.png\n")
    assert read_image(tmp_path / "noise.png").shape[2] == 3
    written = (tmp_path / "noise.png").read_bytes()
    again = call("main", "-c", "tiny.yaml", "--noise-report", "noise.png")
    assert again.code == 2 and again.out == ""
    assert again.err == "error: --noise-report noise.png: exists; remove it, or choose another name\n"
    assert (tmp_path / "noise.png").read_bytes() == written


@pytest.mark.parametrize(
    ("name", "problem"), [("noise.jpg", "such as noise.png"), ("no/noise.png", "there is no folder no;")]
)
def test_an_invalid_file_name_is_refused_before_the_images_are_read(call, name, problem):
    ended = call("main", "--noise-report", name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: --noise-report {name}: ") and problem in ended.err
