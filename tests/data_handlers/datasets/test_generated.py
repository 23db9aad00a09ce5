"""Generated images: new ones in each epoch, which depend only on seed, epoch and number."""

import pickle

import numpy as np
import pytest
import torch

from src.data_handlers import build_samples
from src.data_handlers.datasets.generated import Generated
from src.data_handlers.datasets.photographs import SHORT_SIDE, Photographs
from src.data_handlers.loading.sampling import build_loader
from src.data_handlers.samples.checks import check_images
from src.trainer.config.build import build_images
from src.util.config.schema import arguments
from src.util.errors import ConfigError, DataError
from src.util.images.io import write_image
from tests.data_handlers.conftest import make_samples
from tests.trainer.conftest import config, problem


def drawn(number=6, seed=0, **options):
    source = Generated(count=number, size=64, **options)
    return [source.draw(n, np.random.default_rng([seed, n])).noisy for n in range(number)]


def samples(training=True, seed=0, **options):
    return make_samples(Generated(count=4, size=32), training=training, seed=seed, **options)


def test_an_image_depends_only_on_seed_epoch_and_number():
    first, again = samples(), samples()
    images = [first[epoch, index]["noisy"] for epoch in (1, 2) for index in range(4)]
    backwards = [again[epoch, index]["noisy"] for epoch in (2, 1) for index in reversed(range(4))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(images, backwards, strict=True))
    images += [samples(seed=1)[1, index]["noisy"] for index in range(4)]
    assert len({image.numpy().tobytes() for image in images}) == 12  # all are different


def test_validation_has_the_same_images_in_each_epoch_and_none_of_training():
    training, validation = samples(), samples(training=False)
    kept = [validation[0, index]["noisy"] for index in range(4)]
    assert all(torch.equal(validation[epoch, i]["noisy"], kept[i]) for epoch in (1, 5) for i in range(4))
    trained = [training[epoch, index]["noisy"] for epoch in range(1, 6) for index in range(4)]
    assert not any(torch.equal(image, other) for image in kept for other in trained)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_draw_the_same_images_and_noise(workers):
    loaded = config(
        "training: {dataset: Generated, dataset_args: {count: 6, size: 32, crop_size: 24, repeat_times: 2,"
        " augmentations: [flip, rotate], add_noise: {camera: {}}}, objective: imitate, loss: 1*target_L1}"
    )
    batches = {}
    for count in (0, workers):
        loader = build_loader(build_images(loaded, "training"), 3, count)
        for epoch in (1, 2):
            loader.set_epoch(epoch)
            batches[count, epoch] = [{k: b[k].clone() for k in ("noisy", "clean")} for b in loader]
        loader.close()
    for epoch in (1, 2):
        for ours, theirs in zip(batches[0, epoch], batches[workers, epoch], strict=True):
            assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not torch.equal(batches[0, 1][0]["clean"], batches[0, 2][0]["clean"])


def test_generated_images_are_not_cached():
    source = samples()
    for epoch in (1, 2):
        for index in range(4):
            source[epoch, index]
    assert source._cache == {} and source._cached_bytes == 0


def test_crops_are_parts_of_the_image_of_the_epoch():
    whole, cropped = samples(), samples(crop_size=20, repeat_times=2)
    images = {sample["name"]: sample["noisy"] for sample in (whole[3, index] for index in range(4))}
    for index in range(8):
        image, crop = images[cropped[3, index]["name"]], cropped[3, index]["noisy"]
        places = image.unfold(1, 20, 1).unfold(2, 20, 1)
        assert (places == crop[:, None, None]).all(dim=(0, 3, 4)).any()


def test_a_crop_larger_than_the_images_is_rejected():
    with pytest.raises(DataError, match="leaves 0: 32x32 px are less than crop_size 48x48"):
        check_images(samples(crop_size=48))


@pytest.mark.parametrize("where", ["ram", "disk"])
def test_a_cache_is_rejected(where):
    loaded = config(f"training: {{dataset: Generated, dataset_args: {{cache: {where}}}}}")
    with pytest.raises(ConfigError) as caught:
        build_images(loaded, "training")
    assert caught.value.problems == [
        f"cache: generated images change with each epoch, `{where}` would keep those of the first;"
        " remove this key"
    ]


def test_images_are_8_bit_rgb_and_the_source_can_be_pickled():
    source = pickle.loads(pickle.dumps(Generated(count=2, size=48)))
    info, image = source.inspect(1), source.read(1)
    assert (info.height, info.width, info.channels) == (48, 48, 3) == image.noisy.shape
    assert image.noisy.dtype == np.uint8 and image.name == source.name(1) != source.name(0)


def test_images_have_edges_and_flat_areas_and_fill_the_range():
    images = np.stack(drawn(16, dark=0.0, grey=0.0)).astype(np.float32)
    steps = np.abs(np.diff(images, axis=2))
    assert np.median(steps) < 6 and np.quantile(steps, 0.99) > 30
    assert images.min() < 16 and images.max() > 239
    assert images.mean(axis=(1, 2)).std() > 20


@pytest.mark.parametrize(("share", "channels"), [(0.0, {3}), (0.999, {1}), (1.0, {1})])
def test_grey_is_the_share_of_grey_images(share, channels):
    images = drawn(grey=share, dark=0.0)
    assert {1 if (p == p[..., :1]).all() else 3 for p in images} == channels


def test_only_grey_images_have_one_channel_for_a_network_of_one():
    for share, channels in ((0.5, 3), (1.0, 1)):
        source = Generated(count=4, size=32, grey=share)
        assert source.inspect(0).channels == channels
        assert {source.draw(n, np.random.default_rng(n)).noisy.shape[2] for n in range(4)} == {channels}


def test_dark_images_are_the_same_but_darker():
    bright, dark = drawn(dark=0.0, grey=0.0), drawn(dark=1.0, grey=0.0)
    for one, other in zip(bright, dark, strict=True):
        factor = other.mean() / one.mean()
        assert 0.1 < factor < 0.75
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98


def test_without_texture_shapes_are_smoother():
    plain, textured = (np.stack(drawn(16, textured=share, dark=0.0)) for share in (0.0, 1.0))
    rough = [np.abs(np.diff(p.astype(float), 2, axis=2)).mean() for p in (plain, textured)]
    assert rough[1] > 1.3 * rough[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size: 8", "size: expected an integer of at least 16 and of at most 4096, got 8"),
        ("count: 0", "count: expected an integer of at least 1, got 0"),
        ("grey: 1.5", "grey: expected a number of at least 0 and of at most 1, got 1.5"),
    ],
)
def test_invalid_values_are_rejected_with_their_key(text, message):
    line = problem(f"training: {{dataset: Generated, dataset_args: {{{text}}}}}")
    assert line == f"training.dataset_args.{message} (my.yaml, line 1)"


# Photographs


@pytest.fixture
def photographs(tmp_path):
    """Two photographs of two colours each, red and green, and blue and white."""
    colours = {"a": ((200, 20, 20), (20, 200, 20)), "below/b": ((20, 20, 200), (250, 250, 250))}
    for name, (one, other) in colours.items():
        image = np.full((90, 120, 3), one, np.uint8)
        image[:, 60:] = other
        path = tmp_path / "photographs" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, image)
    return tmp_path / "photographs"


def test_photographed_is_the_share_of_parts_of_photographs(photographs):
    images = drawn(12, photographs=str(photographs), photographed=1.0, dark=0.0, grey=0.0)
    of_photographs = {(200, 20, 20), (20, 200, 20), (20, 20, 200), (250, 250, 250)}
    for image in images:
        colours = {tuple(colour) for colour in image[:, [0, -1]].reshape(-1, 3).tolist()}
        assert colours <= of_photographs
    assert len({image.tobytes() for image in images}) > 4
    assert any(len(np.unique(image.reshape(-1, 3), axis=0)) > 1 for image in images)


def test_dead_leaves_have_colours_of_photographs(photographs):
    parts = Photographs(str(photographs), 32)
    colours = {
        tuple(c) for c in np.rint(parts.colours(50, np.random.default_rng(3)) * 255).astype(int).tolist()
    }
    assert colours in ({(200, 20, 20), (20, 200, 20)}, {(20, 20, 200), (250, 250, 250)})
    borrowed = drawn(16, photographs=str(photographs), photographed=0.0, dark=0.0, grey=0.0)
    plain = drawn(16, dark=0.0, grey=0.0)
    saturation = [np.mean([np.ptp(p, axis=2).mean() for p in each]) for each in (borrowed, plain)]
    assert saturation[0] > 1.2 * saturation[1]


def test_large_photographs_are_reduced_and_grey_ones_get_three_channels(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (SHORT_SIDE * 2, SHORT_SIDE * 2 + 100, 1))
    write_image(tmp_path / "a.png", noise.astype(np.uint8))
    parts = Photographs(str(tmp_path), 64)
    (reduced,) = parts._reduced
    assert reduced.shape == (SHORT_SIDE, SHORT_SIDE + 50, 3)
    assert reduced.std() < 0.6 * noise.std()  # noise is averaged
    part = parts.part(np.random.default_rng(0))
    assert part.shape == (64, 64, 3) and part.dtype == np.float32 and (part == part[..., :1]).all()


def test_parts_of_photographs_have_several_scales(tmp_path):
    ramp = np.broadcast_to(np.arange(200, dtype=np.uint8)[:, None], (200, 200))
    write_image(tmp_path / "a.png", np.ascontiguousarray(ramp)[..., None])
    parts, rng = Photographs(str(tmp_path), 32), np.random.default_rng(0)
    steps = [np.diff(parts.part(rng)[:, 0, 0]).mean() * 255 for _ in range(40)]
    assert 0.99 < min(steps) < 1.2 and 2.5 < max(steps) < 3.05


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (32, "absent: expected a folder of images, found nothing"),
        (100, "a.png: expected a photograph of at least 100 px in 1 or 3 channels"),
        (1024, "size: expected at most 900 px with photographs, got 1024"),
    ],
)
def test_unusable_photographs_are_rejected_in_one_line(photographs, size, message):
    folder = photographs if size > 32 else photographs / "absent"
    block = {"photographs": str(folder), "size": size}
    with pytest.raises(DataError) as caught:
        build_samples("Generated", arguments(block, Generated), channels=3, seed=0, training=True)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_photographs_is_rejected(tmp_path):
    with pytest.raises(DataError, match="no images"):
        Generated(photographs=str(tmp_path))
