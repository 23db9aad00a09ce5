import io

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from src.trainer.training.board import Board


@pytest.fixture
def read(tmp_path):
    """Read the folder with TensorBoard itself."""

    def accumulate():
        events = EventAccumulator(str(tmp_path))
        events.Reload()
        return events

    return accumulate


def points(events, name):
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def image(events, name):
    (event,) = events.Images(name)
    return event.step, np.asarray(Image.open(io.BytesIO(event.encoded_image_string)))


def test_f13_curves_are_on_disk_when_the_board_is_closed(tmp_path, read):
    board = Board(tmp_path, 0)
    board.curves({"loss/total": 0.5, "validation/psnr": 30.25}, 10)
    board.curves({"loss/total": 0.25}, 20)
    board.close()
    assert points(read(), "loss/total") == [(10, 0.5), (20, 0.25)]
    assert points(read(), "validation/psnr") == [(10, 30.25)]


def test_curves_can_be_read_while_the_run_goes_on(tmp_path, read):
    board = Board(tmp_path, 0)
    board.curves({"loss/total": 0.5}, 10)
    board.flush()
    assert points(read(), "loss/total") == [(10, 0.5)]
    board.close()


def test_a_resumed_run_draws_each_point_once(tmp_path, read):
    first = Board(tmp_path, 0)
    for step in (10, 20, 30):
        first.curves({"loss/total": float(step)}, step)
    first.close()
    second = Board(tmp_path, 20)  # from the checkpoint of step 20
    second.curves({"loss/total": 31.0}, 30)
    second.close()
    assert points(read(), "loss/total") == [(10, 10.0), (20, 20.0), (30, 31.0)]


def test_an_image_shows_noisy_denoised_residual_and_clean_side_by_side(tmp_path, read):
    noisy, denoised, clean = (
        torch.full((3, 8, 8), 0.6),
        torch.full((3, 8, 8), 0.5),
        torch.full((3, 8, 8), 1.2),
    )
    board = Board(tmp_path, 0)
    board.image("a", noisy, denoised, clean, 7)
    board.close()
    step, shown = image(read(), "a")
    assert step == 7
    assert shown.shape == (8, 32, 3)
    levels = [np.unique(shown[:, 8 * n : 8 * n + 8]).tolist() for n in range(4)]
    # noisy, denoised, a residual of a tenth around mid-grey and amplified four times, and clean, clipped.
    for level, expected in zip(levels, (0.6, 0.5, 0.9, 1.0), strict=True):
        assert len(level) == 1
        assert abs(level[0] - 255 * expected) <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_of_any_number_of_channels_are_shown_in_grey_or_colour(tmp_path, read, channels):
    board = Board(tmp_path, 0)
    board.image("a", torch.rand(channels, 8, 8), torch.rand(channels, 8, 8), None, 1)
    board.close()
    shown = image(read(), "a")[1]
    assert shown.shape == (8, 24, 3)
    assert (shown == shown[..., :1]).all() == (channels < 3)


def test_a_large_image_is_cut_to_its_middle(tmp_path, read):
    noisy = torch.zeros(3, 600, 700)
    noisy[:, 44:556, 94:606] = 1
    board = Board(tmp_path, 0)
    board.image("large", noisy, noisy, None, 1)
    board.close()
    _, levels = image(read(), "large")
    assert levels.shape == (512, 3 * 512, 3)
    assert (levels[:, :1024] == 255).all()
