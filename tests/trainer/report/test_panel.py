import numpy as np
import pytest

from src.trainer.report.panel import CAPTION_HEIGHT, GAP, enlarged, panel


def tile(value, height=20, width=30):
    return np.full((height, width, 3), value, np.uint8)


def test_images_are_drawn_side_by_side_under_their_captions():
    sheet = panel([[("noisy", tile(10)), ("N2V", tile(20))], [("clean", tile(30, 12, 16))]])
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * CAPTION_HEIGHT + 20 + GAP + 12, 30 + GAP + 30, 3)
    assert (sheet[CAPTION_HEIGHT : CAPTION_HEIGHT + 20, :30] == 10).all()
    assert (sheet[CAPTION_HEIGHT : CAPTION_HEIGHT + 20, 30 + GAP :] == 20).all()
    assert (sheet[-12:, :16] == 30).all()
    assert (sheet[CAPTION_HEIGHT : CAPTION_HEIGHT + 20, 30 : 30 + GAP] == 255).all()


def test_images_are_aligned_in_columns():
    sheet = panel([[("", tile(10)), ("", tile(20))], [("", tile(30, 12, 16)), ("", tile(40, 12, 16))]])
    assert (sheet[-12:, 30 + GAP : 30 + GAP + 16] == 40).all()
    assert (sheet[-12:, 16 : 30 + GAP] == 255).all()


def test_captions_are_drawn_above_each_image():
    sheet = panel([[("left", tile(0, 20, 100)), ("right", tile(0, 20, 100))]])
    captions = sheet[:CAPTION_HEIGHT]
    assert (captions[:, :100] < 128).any()
    assert (captions[:, 100 + GAP :] < 128).any()


@pytest.mark.parametrize("name", ["long " * 60, "two\nlines", "\udc80", "名前", ""])
def test_any_caption_stays_above_its_image(name):
    captions = panel([[(name, tile(0, 20, 100)), ("", tile(0, 20, 100))]])[:CAPTION_HEIGHT]
    assert (captions[:, 102:] == 255).all()
    assert (captions[:, :100] < 128).any() == bool(name)


def test_accents_are_dropped_in_captions():
    names = ("März", "Marz", "M?rz", "M名rz")
    accent, without, unknown, other = (panel([[(name, tile(0, 20, 100))]]).tobytes() for name in names)
    assert accent == without != unknown == other


def test_small_images_are_enlarged_by_whole_squares():
    image = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
    large = enlarged(image, 9)
    assert large.shape == (4, 8, 3)
    assert (large[:, :4] == image[:, :1]).all() and (large[:, 4:] == image[:, 1:]).all()
    assert enlarged(large, 8) is not None and enlarged(large, 8).shape == (4, 8, 3)
    assert enlarged(large, 2).shape == (4, 8, 3)
