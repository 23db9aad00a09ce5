import numpy as np

from src.util.panel import CAPTION_HEIGHT, GAP, panel


def tile(value, height=20, width=30):
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_side_by_side_unchanged_under_their_captions():
    sheet = panel([[("noisy", tile(10)), ("N2V", tile(20))], [("clean", tile(30, 12, 16))]])
    assert sheet.dtype == np.uint8
    assert sheet.shape == (2 * CAPTION_HEIGHT + 20 + GAP + 12, 30 + GAP + 30, 3)
    assert (sheet[CAPTION_HEIGHT : CAPTION_HEIGHT + 20, :30] == 10).all()
    assert (sheet[CAPTION_HEIGHT : CAPTION_HEIGHT + 20, 30 + GAP :] == 20).all()
    assert (sheet[-12:, :16] == 30).all()
    assert (sheet[CAPTION_HEIGHT : CAPTION_HEIGHT + 20, 30 : 30 + GAP] == 255).all()


def test_captions_are_drawn_above_each_picture():
    sheet = panel([[("left", tile(0, 20, 100)), ("right", tile(0, 20, 100))]])
    captions = sheet[:CAPTION_HEIGHT]
    assert (captions[:, :100] < 128).any()
    assert (captions[:, 100 + GAP :] < 128).any()
