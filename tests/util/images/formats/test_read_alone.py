"""Formats that are read but not written: GIF, HEIC, AVIF, JPEG of more than 8 bits, text PNM."""

import subprocess
import sys
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms, features

from src.util.errors import DataError
from src.util.images.formats.known import AVIF, HEIC
from src.util.images.io import inspect_image, read_image
from tests.util.images.formats.conftest import noise

ROOT = Path(__file__).parents[4]
SMOOTH = cv2.normalize(
    cv2.GaussianBlur(noise((64, 48, 3), "uint8"), (0, 0), 5), None, 0, 255, cv2.NORM_MINMAX
)
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_the_first_image_of_a_gif_is_read(tmp_path, copy):
    first, second = (
        Image.fromarray(p).convert("P", palette=Image.Palette.ADAPTIVE) for p in (SMOOTH, 255 - SMOOTH)
    )
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], comment=b"words")
    with pytest.warns(UserWarning, match="a palette is expanded, further images inside are left out"):
        image = read_image(tmp_path / "a.gif")
    assert np.array_equal(image, np.asarray(first.convert("RGB")))
    assert copy(tmp_path / "a.gif", tmp_path / "b.png") == ["comment", "further images inside"]
    assert np.array_equal(read_image(tmp_path / "b.png"), image)


def test_a_damaged_gif_is_refused_with_its_name(tmp_path, copy):
    Image.fromarray(noise((64, 48, 3), "uint8")).convert("P").save(tmp_path / "a.gif")
    data = (tmp_path / "a.gif").read_bytes()
    for part in (0, 3, 50, len(data) // 2):
        (tmp_path / "a.gif").write_bytes(data[:part])
        with pytest.raises(DataError, match=r"a\.gif: "):
            copy(tmp_path / "a.gif", tmp_path / "b.png")


def test_the_transparent_colour_of_a_gif_is_transparent_in_its_result(tmp_path, copy):
    numbers = noise((16, 16), "uint8") % 4
    image = Image.fromarray(numbers)
    image.putpalette(bytes(range(12)))
    image.save(tmp_path / "a.gif", transparency=2)
    assert inspect_image(tmp_path / "a.gif").alpha
    copy(tmp_path / "a.gif", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as result:
        assert np.array_equal(np.asarray(result)[..., 3] == 0, numbers == 2)


@pytest.fixture(params=["heic", "avif"])
def phone(request):
    """Returns a function that saves an image as HEIC or AVIF."""
    if request.param == "heic":
        pytest.importorskip("pi_heif", reason="pi-heif is not installed")
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed").register_heif_opener()
    elif not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")

    def save(folder, image, **options):
        path = folder / f"a.{request.param}"
        Image.fromarray(image).save(path, **{"quality": 95, **options})
        return path

    return save


@pytest.mark.parametrize("alpha", [False, True])
def test_heic_and_avif_are_read_and_written_as_png(tmp_path, copy, phone, alpha):
    image = np.dstack([SMOOTH, SMOOTH[::-1, :, 0]]) if alpha else SMOOTH
    path = phone(tmp_path, image, icc_profile=PROFILE)
    info = inspect_image(path)
    assert (info.height, info.width, info.dtype, info.alpha) == (64, 48, "uint8", alpha)
    assert copy(path, tmp_path / "b.png") == []
    with Image.open(tmp_path / "b.png") as result:
        assert result.info["icc_profile"] == PROFILE
        assert np.abs(np.asarray(result).astype(int) - image).mean() < 6


def test_a_10_bit_heic_is_read_in_8_bits_and_reported(tmp_path, copy):
    heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    fine = SMOOTH.astype(np.uint16) << 8
    heif.from_bytes("RGB;16", (48, 64), fine.tobytes()).save(tmp_path / "a.heic", quality=95)
    assert copy(tmp_path / "a.heic", tmp_path / "b.png") == ["bits beyond 8"]
    assert np.abs(read_image(tmp_path / "b.png").astype(int) - SMOOTH).mean() < 6


@pytest.mark.parametrize(("bits", "lost"), [(8, []), (10, ["bits beyond 8"]), (12, ["bits beyond 8"])])
def test_a_10_or_12_bit_avif_is_read_in_8_bits_and_reported(tmp_path, copy, bits, lost):
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    fine = SMOOTH.astype(np.uint16) << (bits - 8) if bits > 8 else SMOOTH
    (tmp_path / "a.avif").write_bytes(imagecodecs.avif_encode(fine, 95, bitspersample=bits))
    assert copy(tmp_path / "a.avif", tmp_path / "b.png") == lost
    assert np.abs(read_image(tmp_path / "b.png").astype(int) - SMOOTH).mean() < 6


def test_heic_and_avif_are_turned_upright(tmp_path, copy, phone):
    """The container's orientation counts, not that of the EXIF data."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(SMOOTH)
    turned.info["exif"] = exif.tobytes()
    path = phone(tmp_path, SMOOTH, exif=exif.tobytes())
    turned.save(path, quality=95, exif=exif.tobytes())
    assert np.abs(read_image(path).astype(int) - np.rot90(SMOOTH, -1)).mean() < 6
    copy(path, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as result:
        assert result.size == (64, 48) and result.getexif().get(0x0112, 1) == 1


def test_a_damaged_heic_or_avif_is_refused_with_its_name(tmp_path, phone):
    path = phone(tmp_path, SMOOTH)
    data = path.read_bytes()
    for part in (0.3, 0.5, 0.9):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(DataError, match=rf"{path.name}: the image('s header)? is damaged"):
            read_image(path)


def test_without_decoders_heic_and_avif_are_skipped_with_a_hint(tmp_path):
    """In a process that cannot import the decoders."""
    code = (
        "import sys; sys.modules['pi_heif'] = sys.modules['PIL._avif'] = None\n"
        "from pathlib import Path; from src.util.images.folder import list_images\n"
        "from src.util.images.io import read_image; from src.util.errors import DataError\n"
        "from src.util.logger import start_console; start_console()\n"
        "print([path.name for path in list_images(Path('.'))])\n"
        "for name in ('a.heic', 'a.avif', 'a.mov'):\n"
        "    try: read_image(name)\n"
        "    except DataError as error: print(error)\n"
    )
    Image.fromarray(SMOOTH).save(tmp_path / "a.png")
    for name, brand in (("a.heic", b"heic"), ("B.HEIC", b"mif1"), ("a.avif", b"avif"), ("a.mov", b"qt  ")):
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(4) + brand + bytes(100))
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    passed_over, names, *refused = ended.stdout.splitlines()
    assert names == "['a.png']"
    assert refused[:2] == [f"a.heic: {HEIC.hint}", f"a.avif: {AVIF.hint}"]
    assert refused[2].startswith("a.mov: not an image")
    assert HEIC.hint == "HEIC is read once pi-heif is installed (pip install pi-heif)"
    assert passed_over == f".: passed over: 1 .HEIC, 1 .avif, 1 .heic, 1 .mov ({HEIC.hint}) ({AVIF.hint})"


@pytest.mark.parametrize(("bits", "lossless"), [(12, False), (10, True), (12, True), (16, True)])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpegs_of_more_than_8_bits_keep_all_of_them(tmp_path, copy, bits, lossless, channels):
    fine = SMOOTH[..., :channels].astype(np.uint16) << (bits - 8)
    fine = fine[..., 0] if channels == 1 else fine
    (tmp_path / "a.jpg").write_bytes(
        imagecodecs.jpeg_encode(fine, 100, bitspersample=bits, lossless=lossless)
    )
    info = inspect_image(tmp_path / "a.jpg")
    assert (info.dtype, info.data_range) == ("uint16", None if bits == 16 else 2**bits - 1)
    difference = np.abs(read_image(tmp_path / "a.jpg").astype(int).squeeze() - fine)
    assert difference.max() == 0 if lossless else difference.mean() < 6 * 2 ** (bits - 8)
    copy(tmp_path / "a.jpg", tmp_path / "b.png")
    assert np.array_equal(read_image(tmp_path / "b.png"), read_image(tmp_path / "a.jpg"))


def test_a_lossless_jpeg_of_8_bits_is_read(tmp_path):
    (tmp_path / "a.jpg").write_bytes(imagecodecs.jpeg_encode(SMOOTH, lossless=True))
    assert np.array_equal(read_image(tmp_path / "a.jpg"), SMOOTH)


def test_a_jpeg_of_12_bits_that_is_cut_short_is_named(tmp_path):
    data = imagecodecs.jpeg_encode(SMOOTH.astype(np.uint16) << 4, bitspersample=12)
    for part in (20, len(data) // 2, len(data) - 2):
        (tmp_path / "a.jpg").write_bytes(data[:part])
        with pytest.raises(DataError, match=r"a\.jpg: "):
            inspect_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("text", "image"),
    [
        (b"P2\n2 2\n255\n1 2\n3 40", [[[1], [2]], [[3], [40]]]),
        (b"P3\n2 1\n255\n1 2 3 4 5 60", [[[1, 2, 3], [4, 5, 60]]]),
        (b"P2\n2 2\n65535\n1 2\n3 4000", [[[1], [2]], [[3], [4000]]]),
        (b"P1\n2 2\n1 0\n0 1", [[[0], [255]], [[255], [0]]]),
    ],
)
def test_a_pnm_of_text_may_end_without_a_line_break(tmp_path, text, image):
    for end in (b"", b"\n"):
        (tmp_path / "a.pnm").write_bytes(text + end)
        assert read_image(tmp_path / "a.pnm").tolist() == image


@pytest.mark.parametrize("data", [b"P2\n2 2\n255\n1 2\n3", b"P5\n2 2\n255\nabc", b"P6\n2 1\n255\nabcde"])
def test_a_pnm_whose_last_value_is_missing_is_damaged(tmp_path, data):
    (tmp_path / "a.pnm").write_bytes(data)
    with pytest.raises(DataError, match="is damaged"):
        read_image(tmp_path / "a.pnm")
