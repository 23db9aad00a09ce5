import inspect
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest

from src.data_handlers import DATASETS, build_samples
from src.data_handlers.datasets.bsd68 import Grey
from src.data_handlers.datasets.demo import Demo
from src.data_handlers.datasets.folder import Folder
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.samples.checks import check_images
from src.data_handlers.samples.view import View
from src.util.config.schema import arguments_model
from src.util.errors import DataError
from src.util.images.io import read_image, write_image


@pytest.fixture
def folders(blocks, fill_folder):
    """Arguments of each registered dataset."""
    root = blocks[0]
    images = fill_folder(root / "images", {"a.png": (20, 24, 3), "b.png": (20, 24, 3)})
    boxes = fill_folder(root / "boxes", {"0001_01.png": (20, 24, 3), "0002_20.png": (20, 24, 3)})
    return {
        name: {"data_dir": boxes if name in ("DND_val", "DND_test") else images}
        for name in DATASETS
    } | {
        **{name: {"data_dir": str(root)} for name in ("SIDD_val", "SIDD_test")},
        "Demo": {}, "Generated": {"count": 3, "size": 32},
    }  # fmt: skip


# All


@pytest.mark.filterwarnings("ignore:.*boxes are missing")
def test_every_registered_dataset_gives_samples(folders):
    published = {f"{name}_{part}" for name in ("SIDD", "DND", "BSD68") for part in ("train", "val", "test")}
    assert set(DATASETS) == published | {"Folder", "Demo", "Generated"}
    for name, arguments in folders.items():
        samples = build_samples(name, {**arguments, "crop_size": 16}, channels=3, seed=0, training=True)
        with warnings.catch_warnings(record=True) as warned:
            assert check_images(samples, batch_size=2) == (1 if warned else 3)
        assert bool(warned) == name.startswith("BSD68")
        sample = samples[1, 1]
        assert sample["noisy"].shape == (3, 16, 16)
        names = [samples.source.name(number) for number in range(samples.images)]
        assert len(set(names)) == len(names)
        info = samples.source.inspect(1)
        assert samples.source.read(1).noisy.shape == (info.height, info.width, info.channels)


@pytest.mark.filterwarnings("ignore:.*boxes are missing")
def test_every_registered_dataset_can_be_pickled(folders):
    for name, arguments in folders.items():
        samples = build_samples(name, arguments, channels=3, seed=0, training=False)
        first = samples[0, 0]["noisy"]
        assert (pickle.loads(pickle.dumps(samples))[0, 0]["noisy"] == first).all()


@pytest.mark.parametrize("name", DATASETS)
def test_arguments_of_source_and_view_have_different_names_and_descriptions(name):
    of_source, of_view = (inspect.signature(made).parameters for made in (DATASETS[name], View))
    assert not set(of_source) & set(of_view)
    schema = arguments_model(DATASETS[name], View)
    assert set(schema.model_fields) == set(of_source) | set(of_view)
    assert all(field.description for field in schema.model_fields.values())


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"Demo", "Folder", "Generated"}))
def test_the_message_of_a_missing_dataset_says_how_to_get_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"^datasets/\w+: no such folder; put .*https://.*`data_dir`"):
        DATASETS[name]()


def test_yaml_values_reach_the_samples(fill_folder, tmp_path):
    folder = fill_folder(tmp_path, {"a.png": (20, 24, 3)})
    block = {"data_dir": folder, "crop_size": [8, 10], "augmentations": ["flip"], "add_noise": {"sigma": 5}}
    arguments = dict(arguments_model(Folder, View).model_validate(block))
    sample = build_samples("Folder", arguments, channels=3, seed=0, training=True)[1, 0]
    assert sample["noisy"].shape == (3, 8, 10)
    assert "clean" in sample


# Folder


def test_names_contain_folder_and_ending_and_are_unique(fill_folder, tmp_path):
    shapes = dict.fromkeys(("a.v1.png", "a.v2.png", "a.bmp", "scene/a.png"), (8, 8, 3))
    source = Folder(fill_folder(tmp_path, shapes))
    assert [source.name(n) for n in range(4)] == ["a.bmp", "a.v1.png", "a.v2.png", "scene/a.png"]
    assert len(Folder(str(tmp_path), recursive=False)) == 3


def test_clean_images_are_found_by_name_with_any_ending(fill_folder, tmp_path):
    noisy = fill_folder(tmp_path / "noisy", {"x/a.png": (8, 8, 3), "b.png": (8, 9, 1)})
    fill_folder(
        tmp_path / "clean", {"x/a.bmp": (8, 8, 3), "b.png": (8, 9, 1), "b.bmp": (3, 3, 1), "c.png": (8, 8, 3)}
    )
    source = Folder(noisy, str(tmp_path / "clean"))
    for number, clean in enumerate(("b.png", "x/a.bmp")):
        source.inspect(number)
        assert np.array_equal(source.read(number).clean, read_image(tmp_path / "clean" / clean))


def test_missing_and_ambiguous_clean_images_are_all_named(fill_folder, tmp_path):
    noisy = fill_folder(tmp_path / "noisy", dict.fromkeys(("a.png", "b.png", "c.png"), (8, 8, 3)))
    fill_folder(tmp_path / "clean", dict.fromkeys(("a.png", "c.bmp", "c.tif"), (8, 8, 3)))
    with pytest.raises(DataError) as caught:
        Folder(noisy, str(tmp_path / "clean"))
    first, second = str(caught.value).splitlines()
    assert "b.png: no clean image b.*" in first
    assert "c.png: more than one clean image" in second


@pytest.mark.parametrize("other", [(8, 9, 3), (8, 8, 1)])
def test_clean_images_of_another_shape_are_named_before_the_first_comparison(fill_folder, tmp_path, other):
    noisy = fill_folder(tmp_path / "noisy", {"a.png": (8, 8, 3)})
    clean = fill_folder(tmp_path / "clean", {"a.png": other})
    samples = build_samples(
        "Folder", {"data_dir": noisy, "clean_folder": clean}, channels=3, seed=0, training=False
    )
    with pytest.raises(DataError, match=r"clean.a\.png: .* but .*noisy.a\.png has 8x8 px"):
        check_images(samples)


def test_clean_images_are_read_only_if_needed(fill_folder, tmp_path):
    noisy = fill_folder(tmp_path / "noisy", {"a.png": (8, 8, 3)})
    clean = fill_folder(tmp_path / "clean", {"a.png": (8, 8, 3)})
    write_image(Path(clean) / "a.png", np.full((8, 8, 3), 200, np.uint8))

    def sample(**options):
        samples = build_samples(
            "Folder", {"data_dir": noisy, "clean_folder": clean} | options, channels=3, seed=0, training=True,
            clean=False,
        )  # fmt: skip
        check_images(samples)
        return samples[0, 0]

    noise = NoiseOptions(sigma=1)
    assert sample(add_noise=noise)["noisy"].mean() == pytest.approx(200 / 255, abs=0.01)
    (tmp_path / "clean" / "a.png").write_bytes(b"damaged")
    assert "clean" not in sample()
    with pytest.raises(DataError, match=r"clean.a\.png"):
        sample(add_noise=noise)


def test_clean_images_in_a_subfolder_are_not_noisy_images(fill_folder, tmp_path):
    folder = fill_folder(tmp_path, {"a.png": (8, 8, 3), "clean/a.png": (8, 8, 3)})
    source = Folder(folder, str(tmp_path / "clean"))
    assert [source.name(n) for n in range(len(source))] == ["a.png"]
    with pytest.raises(DataError, match="another path than `data_dir`"):
        Folder(folder, folder)


def test_d7_a_file_that_is_not_an_image_is_skipped_and_logged(fill_folder, tmp_path, messages):
    folder = fill_folder(tmp_path, {"a.png": (8, 8, 3)})
    (tmp_path / "notes.txt").write_text("x")
    assert len(Folder(folder)) == 1
    assert messages == [f"INFO {folder}: passed over: 1 .txt"]


def test_d7_a_damaged_image_is_named_before_the_first_step(fill_folder, tmp_path):
    folder = fill_folder(tmp_path, {"a.png": (8, 8, 3), "b.png": (8, 8, 3)})
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:-20])
    with pytest.raises(DataError, match=r"b\.png: the image is cut short"):
        check_images(build_samples("Folder", {"data_dir": folder}, channels=3, seed=0, training=True))


# BSD68


def test_d11_colour_images_become_luminance_with_the_same_data_range(tmp_path):
    colours = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [90, 90, 90]]], np.uint8)
    write_image(tmp_path / "a.png", colours)
    source = DATASETS["BSD68_test"](str(tmp_path))
    assert source.inspect(0).channels == 1
    assert source.read(0).noisy.ravel().tolist() == [255, 76, 150, 29, 90]


def test_other_than_1_or_3_channels_are_rejected(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((16, 16, 4), np.uint8))
    samples = build_samples("BSD68_train", {"data_dir": str(tmp_path)}, channels=1, seed=0, training=True)
    with pytest.raises(DataError, match=r"a\.npy: expected a grey or RGB image, got 4 channels"):
        check_images(samples)


def test_d12_bsd68_without_added_noise_has_no_ground_truth(fill_folder, tmp_path):
    folder = fill_folder(tmp_path, {"a.png": (16, 16, 1)})
    plain = build_samples("BSD68_val", {"data_dir": folder}, channels=1, seed=0, training=False)[0, 0]
    assert "clean" not in plain
    arguments = {"data_dir": folder, "add_noise": {"sigma": 25}}
    arguments = dict(arguments_model(DATASETS["BSD68_val"], View).model_validate(arguments))
    noised = build_samples("BSD68_val", arguments, channels=1, seed=0, training=False)[0, 0]
    assert not np.array_equal(noised["noisy"], noised["clean"])


def test_the_clean_image_becomes_luminance_too(memory, coordinates):
    image = coordinates(8, 8)
    assert Grey(memory([image], [image])).read(0).clean.shape == (8, 8, 1)


# Demo


def test_the_demo_needs_no_download():
    demo = Demo()
    for number in range(len(demo)):
        info = demo.inspect(number)
        assert info.height >= 300 and info.channels == 3
        assert demo.read(number).shape == (info.height, info.width)


def test_the_demo_has_the_chosen_photographs():
    demo = Demo(["coffee", "chelsea"])
    assert [demo.name(n) for n in range(len(demo))] == ["coffee", "chelsea"]


@pytest.mark.parametrize("scale, size", [(0.5, (150, 226)), (2, (600, 902))])
def test_the_demo_resizes_photographs(scale, size):
    demo = Demo(["chelsea"], scale=scale)
    image, whole = demo.read(0).noisy, Demo(["chelsea"]).read(0).noisy
    assert demo.inspect(0).size == "x".join(map(str, size)) and image.shape == (*size, 3)
    assert image.dtype == np.uint8 and abs(image.mean() - whole.mean()) < 0.5
