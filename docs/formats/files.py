"""Writers of small files, each in one format and with one property."""

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import tifffile
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, features

from src.util.images.formats.known import HEIC

Make = Callable[[Path], object]

ENDINGS = {
    "PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "BMP": ".bmp", "PNM": ".pgm", "GIF": ".gif",
    "AVIF": ".avif", "HEIC": ".heic", "TIFF": ".tif", "NPY": ".npy",
}  # fmt: skip

_ROWS, _COLUMNS = np.mgrid[:48, :64]
SCENE = np.dstack([250 - 2 * _ROWS - 2 * _COLUMNS, 240 - 3 * _ROWS - _COLUMNS, 200 - _ROWS - 2 * _COLUMNS])
SCENE = SCENE.clip(0, 255).astype(np.uint8)
GREY = SCENE[..., 0]
_FADING = np.broadcast_to(4 * np.arange(64, dtype=np.uint8)[:, None], (64, 48)).T
_PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
_CAPTION = b"\x1c\x02\x78\x00\x09Cafe 1907"
_DATE = b"\x1c\x02\x37\x00\x0820260101"
_XMP_TAG, _IPTC_TAG, _NO_DATA, _MAX_SAMPLE = 700, 33723, 42113, 281


def missing() -> set[str]:
    """Return the formats that cannot be written or read here."""
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
        lacks_heic = not HEIC.is_here
    except ImportError:
        lacks_heic = True
    return {name for name, lacks in (("HEIC", lacks_heic), ("AVIF", not features.check("avif"))) if lacks}


def _save(path: Path, pixels: np.ndarray = SCENE, mode: str | None = None, **options: Any) -> None:
    image = Image.fromarray(pixels)
    image = image if mode is None else image.convert(mode)
    image.save(path, **options)


def _exif(turned: bool = False, exposure: bool = False) -> bytes:
    exif = Image.Exif()
    if turned:
        exif[ExifTags.Base.Orientation] = 6
    if exposure:
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.25
    return exif.tobytes()


def _exif_with_thumbnail() -> bytes:
    image_tags = struct.pack("<HHHI4sI", 1, ExifTags.Base.Make, 2, 4, b"Mak", 26)
    thumbnail_tags = struct.pack("<HHHIII", 1, ExifTags.Base.Compression, 3, 1, 6, 0)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + image_tags + thumbnail_tags


def _turned(path: Path) -> None:
    stored = np.ascontiguousarray(np.rot90(SCENE))
    image = Image.fromarray(stored)
    image.info["exif"] = _exif(turned=True)  # read by the HEIC writer
    image.save(path, exif=_exif(turned=True))


def _iptc(path: Path) -> None:
    records = _DATE + _CAPTION
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(records)) + records
    block += b"\0" * (len(records) % 2)
    _save(path, extra=struct.pack(">HH", 0xFFED, 2 + len(block)) + block)


def _png(key: str, content: bytes) -> Make:
    text = PngImagePlugin.PngInfo()
    text.add_itxt(key, content.decode())
    return partial(_save, pnginfo=text)


def _several(path: Path, **options: Any) -> None:
    second = Image.fromarray(SCENE[::-1].copy())
    Image.fromarray(SCENE).save(path, save_all=True, append_images=[second], **options)


def _fine(bits: int, channels: int = 1) -> np.ndarray:
    """Return a ramp of all levels of `bits` bits, uint16 (48, 64) or (48, 64, C)."""
    levels = np.rint(np.linspace(0, 2**bits - 1, 48 * 64 * channels))
    fine = levels.astype(np.uint16).reshape(48, 64, channels)
    return fine[..., 0] if channels == 1 else fine


def _tiff(pixels: np.ndarray, photometric: str = "minisblack", **options: Any) -> Make:
    options = {"metadata": None, **options}
    return lambda path: tifffile.imwrite(path, pixels, photometric=photometric, **options)


def _with_a_reduced_copy(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(GREY, photometric="minisblack", metadata=None)
        writer.write(GREY[::2, ::2].copy(), photometric="minisblack", subfiletype=1, metadata=None)


def _with_hole(number: float, dtype: str) -> np.ndarray:
    pixels = GREY.astype(dtype) / (255 if dtype == "float32" else 1)
    pixels[9:20, 5:30] = number
    return pixels.astype(dtype)


def _npy(pixels: np.ndarray) -> Make:
    return lambda path: np.save(path, pixels)


def _pgm(data_range: int) -> Make:
    fine = _fine(data_range.bit_length())
    head = f"P5\n64 48\n{data_range}\n".encode()
    return lambda path: path.write_bytes(head + fine.astype(">u2").tobytes())


def _heic_10_bit(path: Path) -> None:
    import pillow_heif

    fine = _fine(16, 3)
    pillow_heif.from_bytes("RGB;16", (64, 48), fine.tobytes()).save(path, quality=95)


def _each(formats: str, make: Make) -> dict[str, Make]:
    return dict.fromkeys(formats.split(), make)


_SUBSAMPLED = np.dstack([GREY, np.full_like(SCENE[..., 1:], 128)])
_STACK = np.stack([_fine(16), _fine(16)[::-1]])
_SCALE = {"axes": "TYX", "PhysicalSizeX": 0.5, "TimeIncrement": 2.0}
_MAP = [(33550, "d", 3, (2.0, 2.0, 0.0)), (33922, "d", 6, (0.0, 0.0, 0.0, 400.0, 5000.0, 0.0))]

FILES: dict[str, dict[str, Make]] = {
    "orientation": _each("PNG JPEG WebP AVIF HEIC", _turned)
    | {"TIFF": _tiff(np.ascontiguousarray(np.rot90(SCENE)), "rgb", extratags=[(274, "H", 1, 6)])},
    "colour profile": _each("PNG JPEG WebP AVIF HEIC TIFF", partial(_save, icc_profile=_PROFILE)),
    "EXIF": _each("PNG JPEG WebP AVIF HEIC TIFF", partial(_save, exif=_exif(exposure=True))),
    "XMP": _each("JPEG WebP AVIF HEIC", partial(_save, xmp=_XMP))
    | {
        "PNG": _png("XML:com.adobe.xmp", _XMP),
        "TIFF": _tiff(GREY, extratags=[(_XMP_TAG, "B", len(_XMP), _XMP)]),
    },
    "resolution": _each("PNG JPEG BMP TIFF", partial(_save, dpi=(300, 240))),
    "IPTC": {"JPEG": _iptc, "TIFF": _tiff(GREY, extratags=[(_IPTC_TAG, "B", len(_CAPTION), _CAPTION)])},
    "title or comment": _each("JPEG GIF", partial(_save, comment="a quay"))
    | {"PNG": _png("Title", b"a quay"), "TIFF": _tiff(GREY, description="a quay")},
    "thumbnail": _each("PNG JPEG WebP AVIF HEIC", partial(_save, exif=_exif_with_thumbnail()))
    | {"TIFF": _with_a_reduced_copy},
    "transparency": _each("PNG WebP AVIF HEIC TIFF", partial(_save, pixels=np.dstack([SCENE, _FADING])))
    | {
        "BMP": lambda path: cv2.imwrite(str(path), np.dstack([SCENE[..., ::-1], _FADING])),
        "GIF": partial(_save, pixels=GREY, mode="P", transparency=100),
    },
    "palette": _each("PNG BMP GIF TIFF", partial(_save, mode="P")),
    "CMYK": _each("JPEG TIFF", partial(_save, mode="CMYK")),
    "YCbCr": {"TIFF": _tiff(_SUBSAMPLED, "ycbcr")},
    "CIELab": {"TIFF": _tiff(_SUBSAMPLED - np.uint8(128) * (np.arange(3) > 0).astype(np.uint8), "cielab")},
    "16 bits": {
        "PNG": lambda path: path.write_bytes(imagecodecs.png_encode(_fine(16, 3))),
        "PNM": _pgm(65535),
        "TIFF": _tiff(_fine(16, 3), "rgb"),
        "NPY": _npy(_fine(16, 3)),
    },
    "10 or 12 bits": {
        "JPEG": lambda path: path.write_bytes(imagecodecs.jpeg_encode(_fine(12), 100, bitspersample=12)),
        "AVIF": lambda path: path.write_bytes(imagecodecs.avif_encode(_fine(10, 3), bitspersample=10)),
        "HEIC": _heic_10_bit,
        "TIFF": _tiff(_fine(12), bitspersample=12),
    },
    "data range in the header": {
        "PNM": _pgm(1023),
        "TIFF": _tiff(_fine(12), extratags=[(_MAX_SAMPLE, "H", 1, 4095)]),
    },
    "32-bit floats": {
        "TIFF": _tiff(GREY.astype(np.float32) / 255),
        "NPY": _npy(GREY.astype(np.float32) / 255),
    },
    "NaN": {"TIFF": _tiff(_with_hole(np.nan, "float32")), "NPY": _npy(_with_hole(np.nan, "float32"))},
    "no data (GDAL)": {"TIFF": _tiff(_with_hole(0, "uint8"), extratags=[(_NO_DATA, "s", 0, "0")])},
    "several images": _each("PNG WebP GIF AVIF HEIC TIFF", _several)
    | {"JPEG": partial(_several, format="MPO")},
    "OME": {"TIFF": _tiff(_STACK, ome=True, metadata=_SCALE)},
    "ImageJ": {
        "TIFF": _tiff(_STACK, imagej=True, metadata={"axes": "TYX", "spacing": 0.5, "finterval": 2.0})
    },
    "georeference": {"TIFF": _tiff(GREY, extratags=_MAP)},
    "LZW, predictor": {"TIFF": _tiff(GREY, compression="lzw", predictor=True)},
    "tiles": {"TIFF": _tiff(GREY, tile=(32, 32))},
    "BigTIFF": {"TIFF": _tiff(GREY, bigtiff=True)},
}
"""Writers by property and format."""
