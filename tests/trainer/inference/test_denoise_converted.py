"""Images whose colours or format a result cannot have: they are converted, with a warning."""

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from src.trainer.inference.denoise_files import FileOptions
from src.util.images.io import read_image


def test_read_only_formats_become_png(unchanged, tmp_path, messages):
    (tmp_path / "in").mkdir()
    image = Image.effect_noise((40, 30), 50).convert("RGB").convert("P")
    image.save(tmp_path / "in" / "a.gif")
    for kind in ("auto", "same", "png"):
        unchanged.options = FileOptions(format=kind)
        assert unchanged.folder(tmp_path / "in", tmp_path / kind) == 0
        assert np.array_equal(read_image(tmp_path / kind / "a_DN.png"), np.asarray(image.convert("RGB")))
    lost = [line for line in messages if "lost in the result" in line]
    assert lost == [
        f"WARNING {tmp_path / 'in' / 'a.gif'}: lost in the result: its format (.gif is read alone; it is a"
        " PNG) (reported once)"
    ]
    assert sum("a palette is expanded: the result is RGB" in line for line in messages) == 1


def test_a_cmyk_image_becomes_rgb_with_one_warning(unchanged, tmp_path, messages):
    (tmp_path / "in").mkdir()
    inks = Image.effect_noise((40, 30), 50).convert("RGB").convert("CMYK")
    for name in "ab":
        inks.save(tmp_path / "in" / f"{name}.jpg")
    assert unchanged.folder(tmp_path / "in", tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "b_DN.png") as result:
        assert (result.mode, result.size) == ("RGB", (40, 30))
    assert [line for line in messages if "CMYK" in line] == [
        f"WARNING {tmp_path / 'in' / 'a.jpg'}: lost in the result: CMYK (it is RGB) (reported once)"
    ]


@pytest.mark.parametrize("name", ["a.jpg", "a.JFIF"])
def test_a_12_bit_jpeg_becomes_png(unchanged, tmp_path, messages, name):
    """No 12-bit JPEG is written; a PNG holds its values."""
    (tmp_path / "in").mkdir()
    fine = np.add.outer(np.arange(40), np.arange(30)).astype(np.uint16) * 50
    (tmp_path / "in" / name).write_bytes(imagecodecs.jpeg_encode(fine, 100, bitspersample=12))
    unchanged.options = FileOptions(format="same")
    assert unchanged.folder(tmp_path / "in", tmp_path / "out") == 0
    ending = Path(name).suffix.lower()
    read = [read_image(path) for path in (tmp_path / "in" / name, tmp_path / "out" / "a_DN.png")]
    assert read[0].max() > 3000 and np.array_equal(*read)
    (lost,) = (line for line in messages if "lost in the result" in line)
    assert f"its format ({ending} of 12 bits is read alone; it is a PNG)" in lost
