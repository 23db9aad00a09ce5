"""Simulated camera noise: unbiased in linear light, correlated, of the given strength, stored in 8 bits."""

import numpy as np
import pytest
import torch

from src.data_handlers import build_samples
from src.data_handlers.datasets import camera_noise
from src.data_handlers.datasets.camera_noise import CameraNoise, _reduce_noise, add_camera_noise
from src.data_handlers.datasets.demo import Demo
from src.data_handlers.datasets.folder import Folder
from src.data_handlers.samples.view import View
from src.util.config.schema import arguments
from src.util.errors import ConfigError
from tests.trainer.conftest import config, problem

IN_SRGB = {"raw": 0.0, "jpeg": 0.0}
IN_RAW = {"raw": 1.0, "jpeg": 0.0, "reduced": 0.0}


def flat(level=0.5, size=64, channels=3):
    return np.full((size, size, channels), level, np.float32)


def noise(seed=0, level=0.5, size=64, **options):
    """Return noise in grey levels on a flat, nearly grey image."""
    clean = flat(level, size) + np.array([0, 0.004, 0.008], np.float32)
    noisy = add_camera_noise(clean, CameraNoise(**options), np.random.default_rng(seed))
    return (noisy - clean) * 255


def correlation(values):
    """Return the correlation of horizontal neighbours."""
    values = values - values.mean(axis=(0, 1))
    return (values[:, 1:] * values[:, :-1]).mean() / (values**2).mean()


@pytest.mark.parametrize("kind", [IN_SRGB, IN_RAW, {"jpeg": 1.0}])
@pytest.mark.parametrize("channels", [1, 3])
def test_results_are_8_bit_and_depend_only_on_the_random_numbers(kind, channels):
    clean = np.random.default_rng(9).random((33, 20, channels), np.float32)
    kept = clean.copy()
    first, again, other = (
        add_camera_noise(clean, CameraNoise(**kind), np.random.default_rng(seed)) for seed in (4, 4, 5)
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert np.array_equal(clean, kept) and first.shape == clean.shape and first.dtype == np.float32
    levels = first * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-4 and 0 <= first.min() and first.max() <= 1


@pytest.mark.parametrize("sigma", [4.0, 30.0])
def test_srgb_noise_has_the_given_strength(sigma):
    for seed in range(12):
        assert noise(seed, sigma=(sigma, sigma), **IN_SRGB).std() == pytest.approx(sigma, rel=0.06, abs=0.2)


def test_strengths_are_log_uniform():
    drawn = np.array([noise(seed, size=32, sigma=(2, 32), **IN_SRGB).std() for seed in range(120)])
    assert 1.8 < drawn.min() < 3 and 22 < drawn.max() < 34
    assert np.median(drawn) == pytest.approx(8, rel=0.35)


def test_most_srgb_noise_is_correlated_by_its_blur():
    wide = [correlation(noise(s, size=48, sigma=(20, 20), blur=(1, 1), **IN_SRGB)) for s in range(60)]
    assert np.median(wide) == pytest.approx(np.exp(-1 / 4), abs=0.04)
    assert 0.1 < np.mean(np.array(wide) < 0.1) < 0.4  # the others are white


@pytest.mark.parametrize(("level", "tint"), [(0.3, 0.0), (0.5, 0.0), (0.5, 0.1), (0.7, 0.1)])
def test_raw_noise_is_unbiased_in_linear_light(monkeypatch, level, tint):
    shifts, spreads, original = [], [], camera_noise._from_light
    clean = flat(level, 128) + np.array([0, tint, -tint], np.float32)

    def record(light, gamma, curved):
        before = camera_noise._to_light(clean, gamma, curved)
        shifts.append((light / before).mean(axis=(0, 1)) - 1)
        spreads.append((light / before).std())
        return original(light, gamma, curved)

    monkeypatch.setattr(camera_noise, "_from_light", record)
    for seed in range(8):
        add_camera_noise(clean, CameraNoise(shot=(2e-3, 2e-3), **IN_RAW), np.random.default_rng(seed))
    assert len(shifts) == 8 and np.mean(spreads) > 0.04
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.005 and np.abs(shifts).max() < 0.03


def test_raw_noise_grows_with_the_shot_noise():
    weak, strong = (
        np.median([noise(s, shot=(shot, shot), **IN_RAW).std() for s in range(12)]) for shot in (2e-4, 2e-2)
    )
    assert 5 < strong / weak < 20  # ten times the standard deviation, changed by the tone curve


def test_demosaicked_noise_is_correlated():
    demosaicked, full = (
        np.median([correlation(noise(s, mosaic=share, shot=(5e-3, 5e-3), **IN_RAW)) for s in range(16)])
        for share in (1.0, 0.0)
    )
    assert demosaicked > 0.3 and full < 0.1


@pytest.mark.parametrize("kind", [IN_SRGB, IN_RAW])
@pytest.mark.parametrize("jpeg", [0.0, 1.0])
def test_grey_stays_grey(kind, jpeg):
    for seed in range(6):
        options = CameraNoise(**kind | {"jpeg": jpeg})
        grey = np.random.default_rng(0).random((48, 48, 1), np.float32)
        noisy = add_camera_noise(np.repeat(grey, 3, axis=2), options, np.random.default_rng(seed))
        assert (noisy == noisy[..., :1]).all()
        assert np.array_equal(add_camera_noise(grey, options, np.random.default_rng(seed)), noisy[..., :1])


def test_compression_follows_its_share_and_quality():
    def difference(share, quality):
        plain = noise(3, sigma=(15, 15), raw=0.0, jpeg=0.0)
        other = noise(3, sigma=(15, 15), raw=0.0, jpeg=share, quality=(quality, quality))
        return np.abs(plain - other).mean()

    assert difference(0.0, 50) == 0
    assert 0 < difference(1.0, 99) < difference(1.0, 50)


def samples(dataset, maker, block, training=True, **more):
    return build_samples(
        dataset, arguments(block, maker, View), channels=3, seed=0, training=training, **more
    )


@pytest.mark.parametrize("dataset", ["Folder", "Demo"])
def test_camera_noise_works_with_any_dataset(fill_folder, tmp_path, dataset):
    own = {"data_dir": fill_folder(tmp_path, {"a.png": (40, 40, 3)})} if dataset == "Folder" else {}
    maker = Folder if dataset == "Folder" else Demo
    block = {**own, "crop_size": 32, "add_noise": {"camera": {"raw": 1.0}}}
    first = samples(dataset, maker, block)[1, 0]
    assert first["noisy"].shape == (3, 32, 32) and not torch.equal(first["noisy"], first["clean"])
    assert torch.equal(samples(dataset, maker, block)[1, 0]["noisy"], first["noisy"])
    scored = samples(dataset, maker, block, training=False)
    assert torch.equal(scored[1, 0]["noisy"], scored[2, 0]["noisy"])
    fixed = samples(dataset, maker, block | {"crop_size": None, "add_noise": {"camera": {}, "fixed": True}})
    whole = samples(dataset, maker, block | {"crop_size": None})
    assert torch.equal(fixed[1, 0]["noisy"], fixed[2, 0]["noisy"])
    assert not torch.equal(whole[1, 0]["noisy"], whole[2, 0]["noisy"])


def test_other_than_1_or_3_channels_are_rejected():
    dataset_args = arguments({"add_noise": {"camera": {}}}, Demo, View)
    with pytest.raises(ConfigError) as caught:
        build_samples("Demo", dataset_args, channels=5, seed=0, training=True)
    assert caught.value.problems == ["add_noise.camera: expected in_channels to be 1 or 3, got 5"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "{camera: {shot: [0.06, 0.0001]}}",
            "camera.shot: expected the smaller end first, got [0.06, 0.0001]",
        ),
        ("{camera: {sigma: [45, 1.5]}}", "camera.sigma: expected the smaller end first, got [45, 1.5]"),
        ("{camera: {blur: [1, 0.5]}}", "camera.blur: expected the smaller end first, got [1, 0.5]"),
        ("{camera: {quality: [99, 75]}}", "camera.quality: expected the smaller end first, got [99, 75]"),
        ("{camera: {mosaic: 2}}", "camera.mosaic: expected a number of at least 0 and of at most 1, got 2"),
        ("{camera: {}, sigma: 5}", "camera: replaces all other noise; remove sigma"),
        (
            "{camera: {}, shot: 3, quantise: true, fixed: true}",
            "camera: replaces all other noise; remove quantise, shot",
        ),
    ],
)
def test_invalid_values_are_rejected_with_their_key(text, message):
    line = problem(f"training: {{dataset: Demo, dataset_args: {{add_noise: {text}}}}}")
    assert line == f"training.dataset_args.add_noise.{message} (my.yaml, line 1)"


def test_a_resolved_configuration_with_camera_noise_can_be_loaded():
    """A resolved configuration contains the defaults of the other keys."""
    loaded = config("training: {dataset: Demo, dataset_args: {add_noise: {camera: {raw: 1}}}}")
    again = config(f"training: {{dataset: Demo, dataset_args: {loaded.training.dataset_args}}}"
                   .replace("None", "null").replace("True", "true").replace("False", "false"))  # fmt: skip
    assert again.training.dataset_args == loaded.training.dataset_args


def test_noise_reduction_leaves_weaker_coarser_noise_that_is_stronger_at_edges():
    """It does not smooth the image itself."""
    ratios, coarser = [], []
    for seed in range(30):
        before, after = (
            noise(seed, raw=1.0, jpeg=0.0, shot=(0.01, 0.01), mosaic=0.0, reduced=share) for share in (0, 1)
        )
        ratios.append(after.std() / before.std())
        coarser.append(correlation(after[..., 1]) - correlation(before[..., 1]))
    assert 0.2 < np.median(ratios) < 0.8 and max(ratios) < 1.02
    assert np.median(coarser) > 0.2
    rng, edge = np.random.default_rng(0), np.where(np.arange(64) < 32, 0.2, 0.8).astype(np.float32)
    image = np.broadcast_to(edge[:, None], (64, 64, 3)).copy()
    added = np.repeat(rng.normal(0, 0.05, (64, 64, 1)).astype(np.float32), 3, axis=2)
    left = np.stack([_reduce_noise(image, added, np.random.default_rng(s)) for s in range(20)])
    assert np.abs(left.mean(axis=(0, 2))).max() < 0.02  # no bright or dark line along the edge
    assert left[:, 31:33].std() > 1.1 * left[:, 8:24].std()
