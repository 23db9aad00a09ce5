"""Networks that learned nothing are detected."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from src.trainer.evaluation.sanity import is_blank
from src.util.images.io import write_image

RANDOM = np.random.default_rng(0)
SCENE = np.repeat(np.repeat(RANDOM.uniform(0.2, 0.8, (6, 8, 3)), 16, axis=0), 16, axis=1)
NOISE = RANDOM.normal(0, 0.1, SCENE.shape)


@pytest.mark.parametrize(
    ("noisy", "denoised", "expected"),
    [
        (SCENE + NOISE, np.full(SCENE.shape, 0.5), True),
        (SCENE + NOISE, 0.5 + 0.01 * SCENE, True),
        (SCENE + NOISE, SCENE, False),
        (SCENE + NOISE, gaussian_filter(SCENE, (8, 8, 0)), False),
        (0.5 + NOISE, np.full(SCENE.shape, 0.5), False),  # no structure to lose
        (SCENE[:6, :5] + NOISE[:6, :5], SCENE[:6, :5], False),
        (SCENE[:3, :2], SCENE[:3, :2], False),
    ],
    ids=["constant", "nearly", "clean", "blurred", "a plain", "small", "tiny"],
)
@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_is_blank_distinguishes_blank_from_smooth_results(noisy, denoised, expected, data_range):
    assert is_blank(noisy * data_range, denoised * data_range, data_range) is expected
    if data_range > 1:
        whole = [(each * data_range).round().clip(0, 255).astype(np.uint8) for each in (noisy, denoised)]
        assert is_blank(*whole, data_range) is expected


def test_a_diverged_training_is_reported(new_run, tmp_path):
    (tmp_path / "scenes").mkdir()
    write_image(tmp_path / "scenes" / "a.png", (255 * (SCENE + NOISE)).clip(0, 255).astype(np.uint8))
    settings = [
        "masker.masker_type=N2V_Masker", f"training.dataset_args.data_dir={tmp_path / 'scenes'}",
        "training.dataset_args.repeat_times=120", "training.batch_size=4", "log.iter_interval=30",
    ]  # fmt: skip
    for name, rate in (("diverged", 10), ("learned", 1e-2)):
        run = new_run(name)
        run.train(*settings, f"training.init_lr={rate}", "training.max_epochs=4")
        assert ("WARNING the network has not learned to denoise: " in run.log) == (name == "diverged")
