import numpy as np
import pytest

from src.data_handlers.preparation.grid import crop_boxes, offsets


@pytest.mark.parametrize(
    ("length", "crop", "step", "expected"),
    [
        (512, 512, 256, [0]),
        (513, 512, 256, [0, 1]),
        (767, 512, 256, [0, 255]),
        (768, 512, 256, [0, 256]),
        (1200, 512, 256, [0, 256, 512, 688]),
        (10, 3, 4, [0, 4, 7]),
        (11, 3, 4, [0, 4, 8]),
        (511, 512, 256, []),
    ],
)
def test_offsets_are_the_steps_that_fit_and_one_flush_with_the_far_edge(length, crop, step, expected):
    assert offsets(length, crop, step) == expected


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(3000, 5328, 11, 20), (3044, 4048, 11, 15), (3120, 4208, 12, 16), (2988, 5312, 11, 20)],
)
def test_frames_of_sidds_phones_give_as_many_pieces_as_counted_by_hand(height, width, rows, columns):
    """3000 rows: 0, 256, ..., 2304 and 2488 are 11; 5328 columns: 0, 256, ..., 4608 and 4816 are 20."""
    assert len(crop_boxes(height, width, 512, 256)) == rows * columns


@pytest.mark.parametrize(
    ("height", "width", "crop", "step"), [(50, 71, 16, 8), (33, 40, 16, 16), (20, 90, 20, 7)]
)
def test_every_pixel_is_in_a_crop_and_no_crop_comes_twice_or_leaves_the_image(height, width, crop, step):
    seen = np.zeros((height, width), int)
    boxes = crop_boxes(height, width, crop, step)
    for top, left, rows, columns in boxes:
        assert (rows, columns) == (crop, crop) == seen[top : top + rows, left : left + columns].shape
        seen[top : top + rows, left : left + columns] += 1
    assert seen.min() >= 1
    assert len(set(boxes)) == len(boxes)
    assert boxes == sorted(boxes)  # rows first
