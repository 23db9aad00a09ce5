"""Train on and denoise a folder like those of users, with all readable formats and many other files."""

import json

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from scipy.ndimage import uniform_filter

from src.util.images.formats.known import HEIC

ROWS, COLUMNS = np.mgrid[:64, :80]
BLOB = np.exp(-((ROWS - 14) ** 2 + (COLUMNS - 20) ** 2) / 400)  # shows the orientation of an image
LEVELS = np.stack([0.15 + 0.7 * BLOB, 0.8 - 0.4 * ROWS / 64, 0.2 + 0.5 * COLUMNS / 80], axis=2)
LEVELS = (LEVELS + np.random.default_rng(3).normal(0, 0.03, LEVELS.shape)).clip(0, 1)
RGB = np.rint(LEVELS * 255).astype(np.uint8)
GREY = RGB[..., 0]
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# How an image is stored for each value of its orientation tag.
STORED = {3: lambda seen: seen[::-1, ::-1], 5: lambda seen: seen.swapaxes(0, 1),
          6: np.rot90, 8: lambda seen: np.rot90(seen, -1)}  # fmt: skip


def wide(data_range, image=LEVELS):
    return np.rint(image * data_range).astype(np.uint16)


def saved(pixels, mode=None, turned=None, **options):
    """Return a function that writes a file with Pillow."""
    image = Image.fromarray(np.ascontiguousarray(STORED[turned](pixels) if turned else pixels))
    image = image if mode is None else image.convert(mode, palette=Image.Palette.ADAPTIVE)
    if turned:
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = turned
    return lambda path: image.save(path, **options)


def tiff(image, photometric="minisblack", **options):
    return lambda path: tifffile.imwrite(path, image, photometric=photometric, metadata=None, **options)


def content(data):
    return lambda path: path.write_bytes(data)


def lab(path):
    profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    ImageCms.profileToProfile(Image.fromarray(RGB), *profiles, outputMode="LAB").save(path)


def heic(path):
    import pillow_heif

    pillow_heif.register_heif_opener()
    Image.fromarray(RGB).save(path, quality=95)


TEXT = "P2\n80 64\n255\n" + "\n".join(" ".join(map(str, row)) for row in GREY)
JPEG = cv2.imencode(".jpg", RGB[..., ::-1])[1].tobytes()

# Name: writer, and of the result in the same format extension, type and data range.
IMAGES = {
    "grey.png": (saved(GREY, turned=6), ".png", "uint8", 255),
    "colour.png": (saved(RGB, turned=3), ".png", "uint8", 255),
    "alpha.png": (saved(np.dstack([RGB, GREY]), turned=5), ".png", "uint8", 255),
    "palette.png": (saved(RGB, "P", turned=8), ".png", "uint8", 255),
    "sixteen.png": (content(imagecodecs.png_encode(wide(65535))), ".png", "uint16", 65535),
    "inks.jpg": (saved(RGB, "CMYK", quality=95), ".jpg", "uint8", 255),
    "PHONE.JPG": (saved(RGB, turned=6, icc_profile=PROFILE, quality=95), ".JPG", "uint8", 255),
    "progressive.jpeg": (saved(RGB, progressive=True), ".jpeg", "uint8", 255),
    "old.jfif": (content(JPEG), ".jfif", "uint8", 255),
    "deep.jpg": (content(imagecodecs.jpeg_encode(wide(4095), 98, bitspersample=12)), ".png", "uint16", 4095),
    "packed.tif": (tiff(wide(4095)[..., 0], bitspersample=12), ".tif", "uint16", 4095),
    "floats.tif": (tiff(LEVELS.astype(np.float32), "rgb"), ".tif", "float32", 1),
    "big.tiff": (tiff(RGB, "rgb", bigtiff=True, compression="lzw", predictor=True), ".tiff", "uint8", 255),
    "pages.tif": (tiff(np.stack([GREY, GREY])), ".tif", "uint8", 255),
    "lab.tif": (lab, ".tif", "uint8", 255),
    "web.webp": (saved(RGB, quality=95), ".webp", "uint8", 255),
    "bits.bmp": (saved(RGB), ".bmp", "uint8", 255),
    "text.pgm": (content(TEXT.encode()), ".pgm", "uint8", 255),
    "ten.ppm": (content(b"P6\n80 64\n1023\n" + wide(1023).astype(">u2").tobytes()), ".ppm", "uint16", 1023),
    "film.gif": (
        saved(RGB, "P", save_all=True, append_images=[Image.fromarray(GREY)]), ".png", "uint8", 255
    ),
    "counts.npy": (lambda path: np.save(path, wide(65535)), ".npy", "uint16", 65535),
    "100% of #1; a.png": (saved(RGB), ".png", "uint8", 255),
    "it's \"so\".png": (saved(RGB), ".png", "uint8", 255),
    "<img src=x onerror=alert(1)>.png": (saved(RGB), ".png", "uint8", 255),
    "a\nb.png": (saved(RGB), ".png", "uint8", 255),
    f"{'n' * 200}.png": (saved(RGB), ".png", "uint8", 255),
    **({"mobile.heic": (heic, ".png", "uint8", 255)} if HEIC.is_here else {}),
}  # fmt: skip
NOT_AS_PNG = {"floats.tif", "pages.tif"}
BAD = {"cut.jpg": JPEG[: len(JPEG) // 2], "empty.png": b""}
OTHERS = {"phone.xmp": b"<x:xmpmeta/>", "picasa.ini": b"[Picasa]", "IMG_1.CR2": b"II*\0" + bytes(50)}
PASSED_OVER = (
    "passed over: 1 .CR2, 1 .ini, 1 .xmp (develop raw files to 16-bit TIFF, without sharpening and noise"
    " reduction), 1 folders named as images"
)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    (folder / "IMG_0.jpg").mkdir(parents=True)
    (folder / "IMG_0.jpg" / "thumbnail.png").write_bytes(b"of another program")
    for name, (write, *_) in IMAGES.items():
        write(folder / name)
    for name, data in (BAD | OTHERS).items():
        (folder / name).write_bytes(data)
    return folder


def read(path):
    """Read the stored pixels of a result with other libraries."""
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix.startswith(".tif"):
        with tifffile.TiffFile(path) as tiff:
            assert tiff.pages[0].tags.valueof(274, default=1) == 1, path
            return tiff.asarray()
    with Image.open(path) as image:
        assert image.getexif().get(0x0112, 1) == 1, path
    pixels = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    return pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]


def check(path, dtype, data_range):
    """Check that a result has the right type and size, is upright, and is close to the clean scene."""
    result = read(path)
    assert result.dtype == dtype, path
    smooth = uniform_filter(LEVELS, (7, 7, 0))
    for page in result if path.name == "pages_DN.tif" else [result]:
        assert page.shape[:2] == (64, 80), path
        difference = (
            page[..., :3] / data_range - smooth if page.ndim == 3 else page / data_range - smooth[..., 0]
        )
        assert np.abs(difference[8:-8, 8:-8]).mean() < 0.05, (
            path
        )  # rotated, or red and blue swapped: above 0.13
    if path.stem == "alpha_DN":
        assert np.array_equal(result[..., 3], GREY)


def expected(kind):
    """Map the name of each result to that of its image."""
    same = {f"{name.rpartition('.')[0]}_DN{IMAGES[name][1]}": name for name in IMAGES}
    if kind == "same":
        return same
    return {f"{name.rpartition('.')[0]}_DN.png": name for name in IMAGES if name not in NOT_AS_PNG}


@pytest.mark.parametrize(
    ("method", "kinds"), [("nl_folder", ("same", "png")), ("n2v_folder", ("same",))], ids=["nl", "n2v"]
)
def test_each_file_is_denoised_or_named(call, photos, tmp_path, method, kinds):
    settings = [
        f"training.dataset_args.data_dir={photos}", "training.dataset_args.unreadable=skip",
        "training.dataset_args.crop_size=32", "training.dataset_args.repeat_times=8", "training.batch_size=4",
        "training.init_lr=0.01", "training.max_epochs=1", "model.kwargs.features=[4, 8]",
        "model.kwargs.local_mean=2",
    ]  # fmt: skip
    ended = call("main", "-c", method, "-s", "run", *(word for line in settings for word in ("--set", line)))
    assert ended.code == 0, ended.err
    assert PASSED_OVER in ended.out and all(f"{photos}/{name}: " in ended.err for name in BAD)
    assert f"2 of {len(IMAGES) + 3} images cannot be read and are left out" in ended.err
    used = json.loads((tmp_path / "output" / "run" / "pictures.json").read_text(encoding="utf-8"))
    pages = {"pages.tif, page 1", "pages.tif, page 2"}
    assert set(used["training"]["pictures"]) == IMAGES.keys() - {"pages.tif"} | pages
    for kind in kinds:
        out = tmp_path / kind
        ended = call("test", "-s", "run", "--test_dir", photos, "--format", kind, "--out", out)
        assert ended.code == 7 and PASSED_OVER in ended.out
        made = {path.name for path in out.iterdir()} - {"report.html", "panel.png"}
        assert made == expected(kind).keys()
        named = {line.partition(f"{photos}/")[2].partition(": ")[0] for line in errors(ended.err)}
        assert named == BAD.keys() | (NOT_AS_PNG if kind == "png" else set())
        for result, name in expected(kind).items():
            check(out / result, *IMAGES[name][2:])
        page = (out / "report.html").read_text(encoding="utf-8")
        assert "&lt;img src=x onerror=alert(1)&gt;.png" in page and "<img src=x" not in page
    assert Image.open(tmp_path / "same" / "PHONE_DN.JPG").info["icc_profile"] == PROFILE


def errors(text):
    """Return an error line for each failed image; check the summary in the last line."""
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert f"{len(lines) - 1} of {len(IMAGES) + 2} images failed" in lines[-1]
    return lines[:-1]
