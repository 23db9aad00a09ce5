"""CMYK, YCbCr and CIELab images are read and written as RGB."""

import io
import struct
import warnings

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from src.util.images.io import inspect_image, read_image
from tests.util.images.formats.conftest import cmyk_profile, noise

SMOOTH = cv2.normalize(
    cv2.GaussianBlur(noise((64, 48, 3), "uint8"), (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX
)
INKS = np.asarray(Image.fromarray(SMOOTH).convert("CMYK"))
SRGB = ImageCms.createProfile("sRGB")


def read(path, space):
    with pytest.warns(UserWarning, match=f"^{space} is converted to RGB$"):
        image = read_image(path)
    info = inspect_image(path)
    assert (info.height, info.width, info.channels) == image.shape
    assert info.dtype == image.dtype
    return image


def as_printed(inks):
    """Convert CMYK by Pillow, which also uses Little CMS."""
    printer = ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile()))
    image = Image.frombytes("CMYK", inks.shape[1::-1], inks.tobytes())
    relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return np.asarray(ImageCms.profileToProfile(image, printer, SRGB, relative, "RGB")).astype(int)


def profile_in(path):
    with Image.open(path) as image:
        return image.info.get("icc_profile", b"")


def is_srgb(icc):
    """Return whether a profile leaves sRGB values unchanged."""
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    image = Image.fromarray(SMOOTH)
    same = np.asarray(ImageCms.profileToProfile(image, profile, SRGB, outputMode="RGB"))
    return np.abs(same.astype(int) - SMOOTH).max() <= 1


def jpeg_of(coded, stored=255 - INKS):
    return imagecodecs.jpeg_encode(stored, 98, colorspace="CMYK", outcolorspace=coded)


def not_of_adobe():
    """Return a CMYK JPEG without Adobe's marker, whose values are not inverted."""
    data = jpeg_of("CMYK", INKS)
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 16 :]


@pytest.mark.parametrize(
    "data", [jpeg_of("CMYK"), jpeg_of("YCCK"), not_of_adobe()], ids=["CMYK", "YCCK", "not of Adobe"]
)
def test_a_cmyk_jpeg_without_a_profile_is_converted_ink_by_ink(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    assert np.abs(read(tmp_path / "a.jpg", "CMYK").astype(int) - SMOOTH).mean() < 3


def test_black_ink_darkens_all_colours(tmp_path):
    inks = noise((64, 48, 4), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", inks, photometric="separated")
    paper = 1 - inks / 255
    assert np.array_equal(read(tmp_path / "a.tif", "CMYK"), np.rint(255 * paper[..., :3] * paper[..., 3:]))


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_cmyk_with_a_profile_is_converted_by_it(tmp_path, copy, ending):
    path = tmp_path / f"a.{ending}"
    Image.fromarray(SMOOTH).convert("CMYK").save(path, quality=98, icc_profile=cmyk_profile())
    pixels = read(path, "CMYK").astype(int)
    assert np.abs(pixels - as_printed(INKS)).max() <= (12 if ending == "jpg" else 1)
    assert np.abs(pixels - SMOOTH).max() > 50  # the profile matters
    for target in ("png", "jpg", ending):
        lost = copy(path, tmp_path / f"b.{target}")
        assert "CMYK (it is RGB)" in lost
        assert is_srgb(profile_in(tmp_path / f"b.{target}"))
        with Image.open(tmp_path / f"b.{target}") as image:
            assert image.mode == "RGB"
            assert np.abs(np.asarray(image).astype(int) - pixels).max() <= (0 if target != "jpg" else 12)


@pytest.mark.parametrize("profile", [b"damaged" * 40, ImageCms.ImageCmsProfile(SRGB).tobytes()])
def test_a_profile_that_is_not_for_cmyk_is_ignored(tmp_path, copy, profile):
    Image.fromarray(SMOOTH).convert("CMYK").save(tmp_path / "a.tif", icc_profile=profile)
    assert np.abs(read(tmp_path / "a.tif", "CMYK").astype(int) - SMOOTH).max() <= 1
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    assert profile_in(tmp_path / "b.tif") == b""
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), read(tmp_path / "a.tif", "CMYK"))


@pytest.mark.parametrize("profile", [None, cmyk_profile()])
def test_16_bit_cmyk_keeps_its_levels_and_transparency(tmp_path, copy, profile):
    inks = INKS.astype(np.uint16) * 256 + noise(INKS.shape, "uint8")
    alpha = noise((64, 48, 1), "uint16")
    stored = np.concatenate([inks, alpha], axis=2)
    tags = {"photometric": "separated", "planarconfig": "contig", "extrasamples": ["unassalpha"]}
    tifffile.imwrite(tmp_path / "a.tif", stored, iccprofile=profile, **tags)
    with pytest.warns(UserWarning, match="transparency is dropped, CMYK is converted to RGB"):
        image = read_image(tmp_path / "a.tif")
    assert np.abs(image / 257 - (as_printed(INKS) if profile else SMOOTH)).max() < 3
    assert len(np.unique(image)) > 256
    copy(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as tiff:
        assert tiff.pages[0].photometric == tifffile.PHOTOMETRIC.RGB
        assert np.array_equal(tiff.asarray(), np.concatenate([image, alpha], axis=2))


def lab_of(image):
    lab = ImageCms.createProfile("LAB")
    return ImageCms.profileToProfile(Image.fromarray(image), SRGB, lab, outputMode="LAB")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("photometric", ["cielab", "icclab"])
def test_cielab_is_converted_to_the_original_colours(tmp_path, copy, dtype, photometric):
    stored = np.asarray(lab_of(SMOOTH)).astype(int)  # a* and b* have a sign
    if photometric == "icclab":
        stored = (stored + np.array((0, 128, 128))) % 256
    if dtype == "uint16":  # L* has another maximum
        stored = stored * (257 if photometric == "cielab" else 256, 256, 256)
    path = tmp_path / "a.tif"
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    tifffile.imwrite(path, stored.astype(dtype), photometric=photometric, iccprofile=lab)
    difference = read(path, "CIELab") / (257 if dtype == "uint16" else 1) - SMOOTH
    assert np.abs(difference).mean() < 1.5 and abs(difference.mean()) < 0.3
    copy(path, tmp_path / "b.tif")
    assert is_srgb(profile_in(tmp_path / "b.tif"))


def subsampled(across, down, height, width, rows):
    """Return a TIFF with subsampled chroma, in strips of `rows` rows."""
    strips, blocks = [], across * down + 2
    for top in range(0, height, rows):
        high = -(-min(rows, height - top) // down)
        strips.append(noise((high, -(-width // across), blocks), "uint8").tobytes())
    reference = [(0, 1), (255, 1), (128, 1), (255, 1), (128, 1), (255, 1)]
    entries = {
        256: ("H", [width]), 257: ("H", [height]), 258: ("H", [8, 8, 8]), 259: ("H", [1]), 262: ("H", [6]),
        273: ("L", [0] * len(strips)), 277: ("H", [3]), 278: ("H", [rows]),
        279: ("L", [len(strip) for strip in strips]), 530: ("H", [across, down]), 532: ("LL", reference),
    }  # fmt: skip
    behind = 8 + 2 + 12 * len(entries) + 4
    sizes = {code: struct.calcsize(f"<{kind}") * len(numbers) for code, (kind, numbers) in entries.items()}
    first = behind + sum(size for size in sizes.values() if size > 4)
    starts = np.cumsum([first, *(len(strip) for strip in strips)])[:-1]
    entries[273] = ("L", list(map(int, starts)))
    directory, rest = struct.pack("<H", len(entries)), b""
    for code, (kind, numbers) in entries.items():
        content = b"".join(struct.pack(f"<{kind}", *np.ravel(number)) for number in numbers)
        place = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack("<L", behind + len(rest))
        rest += content if len(content) > 4 else b""
        directory += struct.pack("<HHL", code, {"H": 3, "L": 4, "LL": 5}[kind], len(numbers)) + place
    return b"II*\0" + struct.pack("<L", 8) + directory + bytes(4) + rest + b"".join(strips)


@pytest.mark.parametrize("shared", [(1, 1), (2, 1), (2, 2), (4, 2), (4, 4)])
@pytest.mark.parametrize(("height", "width", "rows"), [(64, 48, 64), (37, 45, 16)])
def test_ycbcr_is_read_as_by_libtiff(tmp_path, copy, shared, height, width, rows):
    data = subsampled(*shared, height, width, rows)
    (tmp_path / "a.tif").write_bytes(data)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    image = read(tmp_path / "a.tif", "YCbCr")
    assert np.abs(image.astype(int) - expected).max() <= 1
    assert copy(tmp_path / "a.tif", tmp_path / "b.tif") == ["YCbCr (it is RGB)"]
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), image)


@pytest.mark.parametrize("reference", [(0, 1, 0, 1, 128, 1, 255, 1, 128, 1, 255, 1), (0, 0, 255, 1), (7,)])
def test_an_invalid_reference_range_is_taken_for_the_full_one(tmp_path, reference):
    ycc = np.asarray(Image.fromarray(SMOOTH).convert("YCbCr"))
    tags = [(530, 3, 2, (1, 1), True), (532, 4, len(reference), reference, True)]
    tifffile.imwrite(tmp_path / "a.tif", ycc, photometric="ycbcr", extratags=tags, metadata=None)
    assert np.abs(read(tmp_path / "a.tif", "YCbCr").astype(int) - SMOOTH).max() <= 3


def test_the_profile_of_ycbcr_is_kept(tmp_path, copy):
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    Image.fromarray(SMOOTH).convert("YCbCr").save(tmp_path / "a.tif", icc_profile=profile)
    assert np.abs(read(tmp_path / "a.tif", "YCbCr").astype(int) - SMOOTH).max() <= 3
    copy(tmp_path / "a.tif", tmp_path / "b.png")
    assert profile_in(tmp_path / "b.png") == profile


def test_the_same_image_gives_the_same_file_on_another_day(tmp_path, copy, monkeypatch):
    Image.fromarray(SMOOTH).convert("CMYK").save(tmp_path / "a.tif", icc_profile=cmyk_profile())
    copy(tmp_path / "a.tif", tmp_path / "b.png")
    now = imagecodecs.cms_profile("srgb")
    tomorrow = now[:24] + struct.pack(">6H", 2099, 12, 31, 23, 59, 59) + now[36:]
    monkeypatch.setattr(imagecodecs, "cms_profile", lambda name: tomorrow)
    copy(tmp_path / "a.tif", tmp_path / "c.png")
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_a_ycbcr_jpeg_is_read_without_a_warning(tmp_path):
    """The decoder returns RGB, also for JPEG in a TIFF."""
    Image.fromarray(SMOOTH).save(tmp_path / "a.jpg", quality=98)
    Image.fromarray(SMOOTH).convert("YCbCr").save(tmp_path / "a.tif", compression="jpeg", quality=98)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("a.jpg", "a.tif"):
            assert np.abs(read_image(tmp_path / name).astype(int) - SMOOTH).mean() < 4
