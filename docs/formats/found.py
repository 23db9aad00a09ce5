"""Read properties of image files with other libraries; None if a file lacks a property."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from PIL import ExifTags, Image, IptcImagePlugin

_COLOURS = {"L": "grey", "MINISBLACK": "grey", "P": "palette", "RGBA": "RGB", "SEPARATED": "CMYK"}
_DESCRIPTION, _MAX_SAMPLE, _PIXEL_SCALE, _TIE_POINTS, _NO_DATA = 270, 281, 33550, 33922, 42113


def _by_pillow(read: Callable[[Any], Any]) -> Callable[[Path], Any]:
    def found(path: Path) -> Any:
        with Image.open(path) as image:
            image.load()
            return read(image) or None

    return found


def _by_tifffile(
    read: Callable[[Any], Any], otherwise: Callable[[Path], Any] | None = None
) -> Callable[[Path], Any]:
    """Return a reader for TIFF that reads other formats with `otherwise`."""

    def found(path: Path) -> Any:
        if path.suffix != ".tif":
            return otherwise and otherwise(path)
        with tifffile.TiffFile(path) as tiff:
            return read(tiff) or None

    return found


def _orientation(image: Image.Image) -> str:
    """Return "upright" if the bright corner is top left and no tag says to rotate."""
    levels = np.asarray(image.convert("L"), int)
    corners = [levels[:8, :8], levels[:8, -8:], levels[-8:, :8], levels[-8:, -8:]]
    is_first = max(range(4), key=lambda number: corners[number].mean()) == 0
    return "upright" if is_first and image.getexif().get(ExifTags.Base.Orientation, 1) == 1 else "as stored"


def _resolution(image: Image.Image) -> Any:
    return tuple(round(float(value)) for value in image.info.get("dpi", ()))


def _exif(image: Image.Image) -> Any:
    return image.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ExposureTime)


def _text(image: Image.Image) -> Any:
    tags = getattr(image, "tag_v2", {})
    return image.info.get("comment") or image.info.get("Title") or tags.get(_DESCRIPTION)


def _transparency(image: Image.Image) -> Any:
    has_any = "A" in image.mode or "transparency" in image.info
    return np.asarray(image.convert("RGBA"))[..., 3].tolist() if has_any else None


def _pnm_data_range(path: Path) -> int | None:
    return int(path.read_bytes().split()[3]) if path.suffix == ".pgm" else None


def _pixels(path: Path) -> np.ndarray:
    if path.suffix == ".npy":
        return np.load(path)
    pixels: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return pixels[..., ::-1] if pixels.ndim == 3 else pixels


def _bits(path: Path) -> str:
    return f"{8 * _pixels(path).itemsize} bits"


def _exact(pixels: np.ndarray) -> tuple[str, list[Any]]:
    return pixels.dtype.name, np.where(np.isnan(pixels), -1, pixels).tolist()


def _no_data(tiff: Any) -> Any:
    number = tiff.pages[0].tags.valueof(_NO_DATA)
    return number and (tiff.asarray() == float(number)).tolist()


def _count(images: int) -> str:
    return "all of them" if images > 1 else "the first"


def _ome(tiff: Any) -> Any:
    pixels = tiff.is_ome and tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    return pixels and (
        tiff.series[0].axes, tiff.series[0].shape, pixels["PhysicalSizeX"], pixels["TimeIncrement"]
    )  # fmt: skip


def _imagej(tiff: Any) -> Any:
    scale = tiff.imagej_metadata
    return scale and (tiff.series[0].axes, tiff.series[0].shape, scale["spacing"], scale["finterval"])


def _georeference(tiff: Any) -> Any:
    tags = tiff.pages[0].tags
    return _PIXEL_SCALE in tags and (tags.valueof(_PIXEL_SCALE), tags.valueof(_TIE_POINTS))


_in_colours = _by_tifffile(
    lambda tiff: _COLOURS.get(tiff.pages[0].photometric.name, tiff.pages[0].photometric.name),
    _by_pillow(lambda image: _COLOURS.get(image.mode, image.mode)),
)
_exactly = _by_tifffile(lambda tiff: _exact(tiff.asarray()), lambda path: _exact(_pixels(path)))

FOUND: dict[str, Callable[[Path], Any]] = {
    "orientation": _by_pillow(_orientation),
    "colour profile": _by_pillow(lambda image: image.info.get("icc_profile")),
    "EXIF": _by_pillow(_exif),
    "XMP": _by_pillow(lambda image: image.info.get("xmp")),
    "resolution": _by_pillow(_resolution),
    "IPTC": _by_pillow(IptcImagePlugin.getiptcinfo),
    "title or comment": _by_pillow(_text),
    "thumbnail": _by_tifffile(
        lambda tiff: any(page.is_reduced for page in tiff.pages),
        _by_pillow(lambda image: image.getexif().get_ifd(ExifTags.IFD.IFD1)),
    ),
    "transparency": _by_pillow(_transparency),
    **dict.fromkeys(("palette", "CMYK", "YCbCr", "CIELab"), _in_colours),
    "16 bits": _exactly,
    "10 or 12 bits": _by_tifffile(lambda tiff: f"{tiff.pages[0].bitspersample} bits", _bits),
    "data range in the header": _by_tifffile(
        lambda tiff: tiff.pages[0].tags.valueof(_MAX_SAMPLE), _pnm_data_range
    ),
    "32-bit floats": _exactly,
    "NaN": _exactly,
    "no data (GDAL)": _by_tifffile(_no_data),
    "several images": _by_tifffile(
        lambda tiff: _count(len(tiff.pages)), _by_pillow(lambda image: _count(getattr(image, "n_frames", 1)))
    ),
    "OME": _by_tifffile(_ome),
    "ImageJ": _by_tifffile(_imagej),
    "georeference": _by_tifffile(_georeference),
    "LZW, predictor": _by_tifffile(lambda tiff: (tiff.pages[0].compression, tiff.pages[0].predictor)),
    "tiles": _by_tifffile(lambda tiff: tiff.pages[0].is_tiled and tiff.pages[0].tile),
    "BigTIFF": _by_tifffile(lambda tiff: tiff.is_bigtiff),
}
"""Readers by the columns of the tables."""
