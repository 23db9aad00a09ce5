"""A page stays small enough to open."""

import re

import numpy as np

from src.trainer.report import report
from src.util.images.io import to_uint8
from tests.trainer.report.conftest import add, data, decoded, html, images


def test_the_middle_of_a_large_image_is_shown_at_full_resolution(new, tmp_path):
    noisy, denoised, _ = images(1100, 1300, 1)
    page = new()
    add(page, "a.png", noisy, denoised)
    page.close()
    assert data(tmp_path)["cut"] == [1024, 1024] and data(tmp_path)["whole"] == [1300, 1100, 1]
    assert np.array_equal(
        decoded(data(tmp_path)["files"]["noisy"]), to_uint8(noisy[:, 38:1062, 138:1162])[..., 0]
    )


def test_a_narrow_image_is_shown_in_full_length(new, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PAGE_BYTES", 60_000)
    page = new()
    add(page, "a.png", *images(8, 1000))
    page.close()
    width, height = data(tmp_path)["cut"]
    assert height == 8 and width > 500


def test_the_page_stays_small_however_many_images(new, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PAGE_BYTES", 600_000)
    noisy, denoised, clean = images(200, 200)
    few, many = new(2), new(60)
    for number in range(2):
        add(few, f"{number}.png", noisy, denoised, clean)
    few.close()
    assert data(tmp_path, 2)["lossless"] and data(tmp_path, 2)["cut"][0] > 150
    assert len(html(tmp_path)) < 4 / 3 * 600_000 + 2 * 4_000 + 40_000
    for number in range(60):
        add(many, f"{number}.png", noisy, denoised, clean)
    many.close()
    assert not data(tmp_path, 60)["lossless"] and 30 < data(tmp_path, 60)["cut"][0] < 100
    assert len(html(tmp_path)) < 4 / 3 * 600_000 + 60 * 4_000 + 40_000


def test_images_beyond_the_budget_are_only_in_the_table(new, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "PAGE_BYTES", 40_000)
    noisy, denoised, _ = images(64, 64)
    page = new(10)
    for number in range(30):  # more than were promised
        add(page, f"{number}.png", noisy, denoised, None, {"loss": number})
    page.close()
    assert data(tmp_path, 1) is not None and data(tmp_path, 30) is None
    assert len(re.findall("<tr id=", html(tmp_path))) == 30
    assert '<td class="name"><bdi title="29.png">29.png</bdi></td>' in html(tmp_path)


def test_a_page_of_1000_images_stays_below_40_mb(new, tmp_path):
    rng = np.random.default_rng(0)
    page = new(1000)
    for number in range(5):
        clean = np.full((300, 300, 3), 0.5)
        add(page, f"{number}.png", clean + rng.normal(0, 0.1, clean.shape), clean, clean, {"psnr": 1})
    page.close()
    fixed = sum(
        len(text) for text in (html(tmp_path).split("<tbody>")[0], html(tmp_path).split("<script>")[1])
    )
    assert 1000 * (len(html(tmp_path)) - fixed) / 5 < 40e6
    assert data(tmp_path, 5)["cut"][0] >= 80
