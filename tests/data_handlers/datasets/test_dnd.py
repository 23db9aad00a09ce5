import pickle

import numpy as np
import pytest

from src.data_handlers import DATASETS, build_samples
from src.data_handlers.datasets.base import Box
from src.data_handlers.datasets.dnd_mat import DndImage
from src.data_handlers.loading.sampling import build_loader
from src.data_handlers.samples.checks import check_images
from src.util.errors import DataError
from src.util.images.io import ImageWarning, write_image


@pytest.fixture
def download(tmp_path, write_info, write_dnd_image):
    """Make a folder like DND's, with boxes at (10 * box, image). Images 2 and 50 differ from all others."""
    write_info(tmp_path, lambda image, box: (10 * box, image))
    images = {}
    _, blank = write_dnd_image(tmp_path / "images_srgb" / "0001.mat", (702, 561))
    for number in range(2, 51):
        target = tmp_path / "images_srgb" / f"{number:04d}.mat"
        if number in (2, 50):
            _, images[number] = write_dnd_image(target, (702, 561), seed=number)
        else:
            target.hardlink_to(tmp_path / "images_srgb" / "0001.mat")
            images[number] = blank
    return tmp_path, images | {1: blank}


# The boxes, for validation and test


@pytest.mark.parametrize("inner", ["", "images_srgb"])
def test_p7_s2_boxes_are_read_from_the_download_unrounded(download, inner):
    root, images = download
    source = DATASETS["DND_test"](str(root / inner))
    assert len(source) == 1000
    assert [source.name(number) for number in (0, 19, 20, 999)] == [
        "0001_01",
        "0001_20",
        "0002_01",
        "0050_20",
    ]
    for image, box in ((2, 3), (50, 20), (1, 1)):
        number = (image - 1) * 20 + box - 1
        top, left = 10 * (box - 1), image - 1
        found = source.read(number)
        assert found.name == f"{image:04d}_{box:02d}" and found.clean is None
        assert np.array_equal(found.noisy, images[image][top : top + 512, left : left + 512])


def test_p8_values_of_the_download_reach_the_network_unchanged(download):
    root, images = download
    samples = build_samples(
        "DND_val", {"data_dir": str(root), "n_data": 23}, channels=3, seed=0, training=False
    )
    assert check_images(samples) == 3 and samples.data_range == 1
    noisy = samples[0, 22]["noisy"].permute(1, 2, 0).numpy()
    assert np.array_equal(noisy, images[2][20:532, 1:513])
    (batch,) = [b for b in build_loader(samples, 1, workers=1) if b["index"] == 22]
    assert np.array_equal(batch["noisy"][0].permute(1, 2, 0), noisy)


def test_p7_missing_images_are_named(download):
    root, _ = download
    for name in ("0003.mat", "0050.mat"):
        (root / "images_srgb" / name).unlink()
    with pytest.raises(DataError, match=r"2 of 50 images missing: 0003\.mat, 0050\.mat \(https"):
        DATASETS["DND_test"](str(root))


def test_boxes_need_info_mat_and_images_that_contain_them(download, write_info, write_dnd_image):
    root, _ = download
    write_dnd_image(root / "images_srgb" / "0007.mat", (600, 561))
    samples = build_samples("DND_test", {"data_dir": str(root)}, channels=3, seed=0, training=False)
    with pytest.raises(DataError, match=r"0007\.mat: its 600x561 px do not contain Box\(top=90"):
        check_images(samples)
    (root / "info.mat").unlink()
    with pytest.raises(DataError, match=r"info\.mat: no such file; download it from"):
        DATASETS["DND_test"](str(root))


def test_prepared_boxes_must_be_named_by_image_and_box(fill_folder, tmp_path):
    shapes = dict.fromkeys(("0001_01.png", "0050_20_noisy.png", "holiday.png", "0051_01.png"), (8, 8, 3))
    folder = fill_folder(tmp_path, shapes)
    with pytest.raises(DataError) as caught:
        DATASETS["DND_test"](folder)
    first, second = str(caught.value).splitlines()
    assert "0051_01.png: expected a name such as 0001_01.png (image 1 to 50, box 1 to 20)" in first
    assert "holiday.png" in second
    for name in ("holiday.png", "0051_01.png"):
        (tmp_path / name).unlink()
    with pytest.warns(ImageWarning, match=r"998 of DND's 1,000 boxes are missing"):
        assert DATASETS["DND_val"](folder).read(0).clean is None
    fill_folder(tmp_path, {"0001_01.bmp": (8, 8, 3)})
    with pytest.raises(DataError, match="there is another file of image 1, box 1"):
        DATASETS["DND_test"](folder)


# Training


def test_only_the_crop_is_read_from_the_download(download, monkeypatch):
    root, images = download
    boxes_read = []
    read = DndImage.read
    monkeypatch.setattr(DndImage, "read", lambda self, box: boxes_read.append(box) or read(self, box))
    arguments = {"data_dir": str(root), "crop_size": 64, "repeat_times": 2}
    samples = build_samples("DND_train", arguments, channels=3, seed=0, training=True)
    assert check_images(samples, batch_size=4) == 3 and len(samples) == 100
    boxes_read.clear()
    sample = samples[1, 1]
    assert sample["name"] == "0002"
    ((top, left, height, width),) = boxes_read
    assert (height, width) == (64, 64)
    expected = images[2][top : top + 64, left : left + 64]
    assert np.array_equal(sample["noisy"].permute(1, 2, 0), expected)
    assert np.array_equal(pickle.loads(pickle.dumps(samples))[1, 1]["noisy"], sample["noisy"])


def test_an_incomplete_download_can_be_trained_on(tmp_path, write_dnd_image):
    write_dnd_image(tmp_path / "0009.mat", (30, 40))
    arguments = {"data_dir": str(tmp_path), "crop_size": 16}
    samples = build_samples("DND_train", arguments, channels=3, seed=0, training=True)
    assert [samples.source.name(n) for n in range(len(samples.source))] == ["0009"]
    whole = samples.source.read(0)
    assert whole.shape == (30, 40)
    part = samples.source.read_crop(0, Box(3, 4, 5, 6))
    assert np.array_equal(part.noisy, whole.noisy[3:8, 4:10])


def test_inspect_reports_floats(tmp_path, write_dnd_image):
    write_dnd_image(tmp_path / "0009.mat", (600, 550))
    arguments = {"data_dir": str(tmp_path), "crop_size": 16}
    samples = build_samples("DND_train", arguments, channels=3, seed=0, training=True)
    assert check_images(samples) == 3 and samples.data_range == 1
    # A cache needs the right size.
    assert samples.source.inspect(0).dtype == samples.source.read(0).noisy.dtype


def test_only_the_centre_of_a_large_image_is_checked(tmp_path, write_dnd_image, monkeypatch):
    write_dnd_image(tmp_path / "0009.mat", (1200, 30))
    boxes_read = []
    read = DndImage.read
    monkeypatch.setattr(DndImage, "read", lambda self, box: boxes_read.append(box) or read(self, box))
    arguments = {"data_dir": str(tmp_path), "crop_size": 16}
    check_images(build_samples("DND_train", arguments, channels=3, seed=0, training=True))
    assert boxes_read == [Box(88, 0, 1024, 30)]


def test_a_damaged_image_is_named_before_the_first_step(download):
    root, _ = download
    (root / "images_srgb" / "0007.mat").unlink()
    (root / "images_srgb" / "0007.mat").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    arguments = {"data_dir": str(root), "crop_size": 64}
    with pytest.raises(DataError, match=r"0007\.mat: not a MAT file of version 7\.3, or damaged"):
        check_images(build_samples("DND_train", arguments, channels=3, seed=0, training=True))


def test_pieces_of_ap_bsn_are_found_in_rn(tmp_path):
    (tmp_path / "RN").mkdir()
    write_image(tmp_path / "RN" / "0.png", np.zeros((8, 8, 3), np.uint8))
    assert DATASETS["DND_train"](str(tmp_path)).name(0) == "0.png"
