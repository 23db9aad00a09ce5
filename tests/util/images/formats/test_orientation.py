"""Images of every orientation are read and written upright, as other programs show them."""

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from src.util.images.formats.orientation import upright, without_orientation_in_xmp
from src.util.images.formats.stored import open_image
from src.util.images.io import inspect_image, read_image

SCENE = np.zeros((40, 60, 4), np.uint8)
SCENE[:20, :20] = 200, 90, 60, 255
SCENE[20:, :20] = 30, 200, 90, 255
SCENE[:20, 20:] = 60, 60, 220, 120
ALL = range(1, 9)
# The orientation that turns the upright scene back into the stored one, if it is another one.
BACK = {6: 8, 8: 6}


def stored(pixels, orientation):
    return np.ascontiguousarray(upright(pixels, BACK.get(orientation, orientation)))


def write(path, pixels, orientation):
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", orientation
    options = {"exif": exif, "dpi": (72, 144)} | ({"lossless": True} if path.suffix == ".webp" else {})
    options |= {"quality": 100, "subsampling": 0} if path.suffix == ".jpg" else {}
    if path.suffix == ".tif":
        alpha = {"extrasamples": ["unassalpha"]} if pixels.shape[2] == 4 else {}
        tifffile.imwrite(path, pixels, photometric="rgb", resolution=(72, 144), resolutionunit="inch",
                         metadata=None, extratags=[(274, 3, 1, orientation, True)], **alpha)  # fmt: skip
    else:
        Image.fromarray(pixels).save(path, **options)


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", ALL)
@pytest.mark.parametrize("alpha", [False, True], ids=["RGB", "RGBA"])
def test_an_image_is_read_and_written_upright(tmp_path, copy, ending, orientation, alpha):
    if alpha and ending == ".jpg":
        pytest.skip("JPEG has no transparency")
    scene = SCENE if alpha else SCENE[..., :3]
    path, result = tmp_path / f"a{ending}", tmp_path / f"b{ending}"
    write(path, stored(scene, orientation), orientation)
    info = inspect_image(path)
    assert (info.height, info.width) == (40, 60)
    assert np.abs(read_image(path).astype(int) - scene[..., :3]).max() <= 3
    copy(path, result)
    with Image.open(path) as before, Image.open(result) as after:
        assert after.size == (60, 40)
        assert after.getexif().get(0x0112, 1) == 1
        seen = [np.asarray(ImageOps.exif_transpose(image)).astype(int) for image in (before, after)]
        if alpha and ending == ".tif":  # Pillow turns these twice
            seen[0] = scene
        assert np.abs(seen[0] - seen[1]).max() <= (12 if ending == ".jpg" else 0)
        if ending == ".png" and orientation >= 5:
            assert after.info["dpi"] == pytest.approx((144, 72), abs=0.1)
    with open_image(result) as again:
        page = again.read()
    assert (page.alpha is not None) == alpha
    if alpha:
        assert np.array_equal(page.alpha, SCENE[..., 3:])


def test_a_tiff_of_other_channels_depth_and_planes_is_turned_too(tmp_path, copy):
    image = np.arange(2 * 6 * 9, dtype=np.uint16).reshape(2, 6, 9)
    tag = [(274, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", image, planarconfig="separate", photometric="minisblack",
                     metadata=None, extratags=tag)  # fmt: skip
    assert np.array_equal(read_image(tmp_path / "a.tif"), np.rot90(np.moveaxis(image, 0, 2), -1))
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif"), read_image(tmp_path / "b.tif"))
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert file.pages[0].tags[274].value == 1 and file.pages[0].shape[-2:] == (9, 6)


def test_a_georeferenced_tiff_is_not_turned(tmp_path):
    image = np.arange(54, dtype=np.uint16).reshape(6, 9)
    tags = [(274, 3, 1, 6, True), (33550, 12, 3, (10.0, 10.0, 0.0), True), (33922, 12, 6, (0.0,) * 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", image, metadata=None, extratags=tags)
    assert np.array_equal(read_image(tmp_path / "a.tif")[..., 0], image)


def test_the_orientation_in_xmp_is_updated():
    for xmp in (b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>8</tiff:Orientation>"):
        assert without_orientation_in_xmp(xmp) == xmp.replace(b"6", b"1").replace(b"8", b"1")
    assert without_orientation_in_xmp(b'tiff:Make="6"') == b'tiff:Make="6"'
