"""The page and the panel show images, scores and names."""

import re
from html import escape

import numpy as np
import pytest
import torch
from PIL import Image

from src.trainer.report import Report
from src.trainer.report.residual import RESIDUAL_GAIN
from src.util.errors import StorageError
from src.util.images.io import to_uint8
from tests.trainer.report.conftest import add, data, decoded, html, images


def test_the_page_holds_the_images_bit_by_bit(new, tmp_path):
    noisy, denoised, clean = images()
    page = new()
    add(page, "a.png", noisy, denoised, clean, {"psnr": 31.4159, "ssim": 0.87654})
    page.close()
    found = data(tmp_path)
    for name, image in {"noisy": noisy, "denoised": denoised, "clean": clean}.items():
        assert np.array_equal(decoded(found["files"][name]), to_uint8(image))
    residual = to_uint8(0.5 + RESIDUAL_GAIN * (noisy - denoised))
    assert np.array_equal(decoded(found["files"]["residual"]), residual)
    assert (found["cut"], found["whole"]) == ([60, 40], [60, 40, 3])
    assert found["lossless"] and found["brightness"] == 1
    taken = 255 * (noisy - denoised)
    assert found["residual"] == pytest.approx([float(taken.mean()), float(taken.std(correction=0))], abs=1e-3)
    assert found["correlation"]["rows"][0] == found["noise"]["columns"][0] == 1
    assert 'data-value="31.4159">31.42<' in html(tmp_path) and 'data-value="0.87654">0.8765<' in html(
        tmp_path
    )
    assert "<dt>mean PSNR</dt><dd>31.42 <small>dB</small>" in html(tmp_path)
    assert "seed: 0" in html(tmp_path) and "run/checkpoint/run_100.pth" in html(tmp_path)


def test_arrays_and_tensors_are_shown_alike(new, tmp_path):
    found = []
    tensors = images()
    arrays = [image.permute(1, 2, 0).double().numpy() for image in tensors]
    for noisy, denoised, clean in (tensors, arrays, [image.bfloat16() for image in tensors]):
        page = new()
        add(page, "a.png", noisy, denoised, clean)
        page.close()
        found.append(data(tmp_path)["files"])
    assert found[0] == found[1]
    assert found[0].keys() == found[2].keys()


def test_stored_values_are_shown_by_their_data_range(new, tmp_path):
    noisy, denoised, clean = (to_uint8(image) for image in images())
    found = []
    for factor, data_range in ((1, 255), (257, 65535)):
        page = new()
        given = [image.astype(np.uint16) * np.uint16(factor) for image in (noisy, denoised, clean)]
        add(page, "a.tif", *given, data_range=data_range)
        page.close()
        found.append(html(tmp_path))
        assert np.array_equal(decoded(data(tmp_path)["files"]["clean"]), clean)
        assert data(tmp_path)["residual"][1] == pytest.approx((noisy * 1.0 - denoised).std(), abs=1e-3)
    assert (
        found[0].split("<tbody>")[1].split("correlation")[0]
        == found[1].split("<tbody>")[1].split("correlation")[0]
    )


@pytest.mark.parametrize(("channels", "shown"), [(1, "L"), (2, "L"), (3, "RGB"), (13, "RGB")])
def test_images_of_any_number_of_channels(new, tmp_path, channels, shown):
    noisy, denoised, _ = images(channels=channels)
    page = new()
    add(page, "a.tif", noisy, denoised)
    page.close()
    found = decoded(data(tmp_path)["files"]["noisy"])
    kept = {"L": 1, "RGB": 3}[shown]
    assert np.array_equal(found.reshape(40, 60, kept), to_uint8(noisy[:kept]))
    assert data(tmp_path)["whole"] == [60, 40, channels]
    assert "clean" not in data(tmp_path)["files"] and data(tmp_path)["noise"] is None


def test_flat_arrays_are_grey(new, tmp_path):
    page = new()
    add(page, "a.npy", np.full((5, 7), 0.5), np.full((5, 7), 0.4))
    page.close()
    assert decoded(data(tmp_path)["files"]["denoised"]).tolist() == [[102] * 7] * 5


def test_an_image_of_one_pixel_is_shown(new, tmp_path):
    page = new()
    add(page, "a.png", *images(1, 1))
    page.close()
    assert data(tmp_path)["cut"] == [1, 1]
    assert data(tmp_path)["correlation"]["rows"] == [None] * 11
    assert min(Image.open(tmp_path / "panel.png").size) > 100


def test_nearly_black_images_are_brightened(new, tmp_path):
    noisy, denoised, clean = images(level=0.01)
    page = new()
    add(page, "a.tif", noisy, denoised, clean)
    page.close()
    assert data(tmp_path)["brightness"] == 64
    assert np.array_equal(decoded(data(tmp_path)["files"]["noisy"]), to_uint8(64 * noisy))
    assert data(tmp_path)["residual"][0] == pytest.approx(255 * float((noisy - denoised).mean()), abs=1e-3)


@pytest.mark.parametrize("level", [0, 0.2, 1.5])
def test_other_images_are_not_brightened(new, tmp_path, level):
    page = new()
    add(page, "a.png", *images(level=level))
    page.close()
    assert data(tmp_path)["brightness"] == 1


def test_a_black_result_does_not_brighten_the_noisy_image(new, tmp_path):
    noisy, denoised, _ = images(level=0.5)
    page = new()
    add(page, "a.png", noisy, 0.01 * denoised)
    page.close()
    assert data(tmp_path)["brightness"] == 1
    assert np.array_equal(decoded(data(tmp_path)["files"]["noisy"]), to_uint8(noisy))


HOSTILE = [
    "<script>alert(1)</script>.png",
    "\"&'.png",
    "</script><!--.png",
    "$title",
    "a\nb\t.png",
    "\udc80.png",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_and_texts_are_escaped(tmp_path, name):
    page = Report(tmp_path, name, f"folder: {name}\n", name, 1)
    add(page, name, *images()[:2], None, {name: 1.0})
    page.close()
    written = html(tmp_path)
    assert len(re.findall(r"<script\b", written)) == len(re.findall("</script>", written)) == 2
    assert "<!--" not in written
    assert f"<h1>{escape(name)}</h1>".replace("\udc80", "?") in written
    Image.open(tmp_path / "panel.png").load()


def test_the_page_loads_nothing(new, tmp_path):
    page = new()
    add(page, "a.png", *images())
    page.close()
    links = set(re.findall(r"(?:https?:)?//[a-z][\w./-]*", re.sub(r"base64,[\w+/=]*", "", html(tmp_path))))
    assert links == {"http://www.w3.org/2000/svg"}  # a namespace, which no browser loads
    assert "default-src 'none'" in html(tmp_path)


def test_the_table_shows_infinity_and_missing_values(new, tmp_path):
    page = new(3)
    for metrics in ({"psnr": np.inf, "ssim": np.nan}, {"psnr": 30.0}, {"other <b>": -2e-5}):
        add(page, "a.png", *images(), metrics)
    page.close()
    rows = re.findall("<tr id=.*?</tr>", html(tmp_path))
    cells = [re.findall(r'data-value="([^"]*)">([^<]*)<', row)[2:] for row in rows]
    assert cells == [
        [("Infinity", "∞"), ("", "–"), ("", "–")],
        [("30.0", "30.00"), ("", "–"), ("", "–")],
        [("", "–"), ("", "–"), ("-2e-05", "−2e−05")],
    ]
    assert "<dt>mean PSNR (1 of 3, 1 identical)</dt><dd>30.00" in html(tmp_path)
    assert "mean SSIM" not in html(tmp_path)


def test_the_panel_shows_eight_images_spread_over_all(new, tmp_path):
    page = new(100)
    for number in range(100):
        add(page, f"{number}.png", *images(130, 130, 1, 0.2 + number / 200), {"psnr": 30})
    assert [row[0][0] for row in page._rows()] == [
        f"{n + 1}  {n}.png" for n in (0, 14, 28, 42, 57, 71, 85, 99)
    ]
    assert [caption for caption, _ in page._rows()[0][1:]] == [
        "denoised, PSNR 30.00 dB", f"noisy - denoised, times {RESIDUAL_GAIN:g}", "clean",
    ]  # fmt: skip
    page.close()
    sheet = np.asarray(Image.open(tmp_path / "panel.png"))
    assert sheet.shape[2] == 3 and max(sheet.shape) < 2500
    assert (sheet[-130:, -130:] == to_uint8(images(1, 1, 1, 0.2 + 99 / 200)[2])).all()


def test_images_of_two_sizes_are_refused(new):
    noisy, denoised, clean = images()
    with pytest.raises(ValueError, match=r"a\.png: clean is \(39, 60\), noisy is \(40, 60\)"):
        add(new(), "a.png", noisy, denoised, clean[:, 1:])


def test_a_report_does_not_modify_images(new):
    given = images(level=0.01)
    before = [image.clone() for image in given]
    add(new(), "a.png", *given)
    assert all(torch.equal(one, other) for one, other in zip(given, before, strict=True))


def test_an_empty_report_keeps_an_earlier_page(new, tmp_path):
    (tmp_path / "report.html").write_text("earlier")
    new().close()
    assert html(tmp_path) == "earlier" and not (tmp_path / "panel.png").exists()


def test_a_full_disk_leaves_the_earlier_page(new, tmp_path, monkeypatch):
    page = new()
    add(page, "a.png", *images())
    page.close()
    before = html(tmp_path)
    add(page, "b.png", *images())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError, match=r"report\.html"):
        page.close()
    assert html(tmp_path) == before
