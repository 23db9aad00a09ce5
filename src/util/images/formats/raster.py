"""PNG, JPEG, BMP, WebP, PNM, GIF, HEIC and AVIF: pixels, and metadata as Pillow reads it."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import imagecodecs
import numpy as np
from PIL import Image

from src.util.errors import DataError
from src.util.images.formats import colour, exif, heif, jpeg, png
from src.util.images.formats.base import ImageInfo, Metadata, Page, damaged
from src.util.images.formats.known import JPEG_ENDINGS
from src.util.images.formats.orientation import UPRIGHT, swaps, upright, without_orientation_in_xmp
from src.util.images.formats.raster_header import describe, opened

# This program reports errors itself, with the file's name.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_PNM_ENDINGS = (".ppm", ".pgm", ".pnm")
_UP_TO_16_BITS = (".png", *_PNM_ENDINGS)
_ENCODED = (*_UP_TO_16_BITS, *JPEG_ENDINGS, ".webp", ".bmp")
_JPEG_QUALITY = 95
_EXIF_MARK = b"Exif\0\0"
_TEXT_PNM = (b"P2", b"P3")
_BY_PILLOW = {"BMP", "GIF", "HEIF", "AVIF"}  # OpenCV misreads compressed palettes of BMP


class RasterImage:
    """An open file of one of these formats; see `StoredImage`.

    Parameters
    ----------
    file : binary file
        The file, which must stay open.
    path : Path
        Its name in messages.
    max_pixels : int
        Larger images are refused.
    """

    pages = 1

    def __init__(self, file: BinaryIO, path: Path, max_pixels: int) -> None:
        self.path = path
        self.kind, self._info = describe(file, path, max_pixels)
        self._file = file

    def info(self, page: int = 0) -> ImageInfo:
        """See `StoredImage`."""
        return self._info

    def read(self, page: int = 0, alpha: bool = True) -> Page:
        """Decode the image, upright."""
        info = self._info
        stored = self._bytes()
        if self.kind == "PNG" and not png.checksums_agree(stored.data):
            raise DataError(f"{self.path}: the image is damaged (a checksum is wrong); copy the file again")
        pixels = self._decode(stored)
        transparency = self._alpha(stored, pixels) if alpha and info.alpha else None
        if info.orientation != UPRIGHT:
            pixels = np.ascontiguousarray(upright(pixels, info.orientation))
            if transparency is not None:
                transparency = np.ascontiguousarray(upright(transparency, info.orientation))
        return Page(pixels, transparency)

    def write(self, file: BinaryIO, pages: Iterable[Page], ending: str) -> list[str]:
        """Write the image upright; see `StoredImage`."""
        (page,) = pages
        encoded, lost = encode(page, ending, self._metadata(), self.path)
        file.write(encoded)
        return lost

    def _decode(self, stored: np.ndarray) -> np.ndarray:
        if self.kind in _BY_PILLOW:
            return self._decode_by_pillow()
        if self.kind == "JPEG":
            return self._decode_jpeg(stored)
        pixels = png.decode(stored.data, self._info) if self.kind == "PNG" else None
        return self._decode_by_opencv(stored) if pixels is None else pixels

    def _decode_jpeg(self, stored: np.ndarray) -> np.ndarray:
        inks = self._info.space == colour.CMYK
        try:
            pixels = jpeg.decode(stored, 4 if inks else self._info.channels, self._info.dtype == "uint16")
        except ValueError as error:
            raise damaged(self.path, error) from None
        if not inks:
            return pixels
        with opened(self._file, self.path) as image:
            return colour.from_cmyk(pixels, image.info.get("icc_profile") or b"")

    def _decode_by_opencv(self, stored: np.ndarray) -> np.ndarray:
        info = self._info
        colours = cv2.IMREAD_COLOR if info.channels == 3 else cv2.IMREAD_GRAYSCALE
        depth = cv2.IMREAD_ANYDEPTH if info.dtype == "uint16" else 0
        if self.kind == "PNG":
            stored = png.without_metadata(stored.data)
        if stored[:2].tobytes() in _TEXT_PNM:
            stored = np.append(stored, np.uint8(ord("\n")))  # OpenCV needs it to read the last value
        pixels = _decoded(stored, colours | depth | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is None or pixels.dtype != info.dtype:
            raise damaged(self.path)
        pixels = pixels.reshape(*pixels.shape[:2], info.channels)
        if pixels.shape[:2] != info.stored_size:
            raise DataError(f"{self.path}: header and content disagree about the size")
        return _red_first(np.ascontiguousarray(pixels))

    def _decode_by_pillow(self) -> np.ndarray:
        mode = {1: "L", 3: "RGB"}[self._info.channels]
        try:
            with opened(self._file, self.path) as image:
                return np.array(image.convert(mode)).reshape(*self._info.stored_size, -1)
        except DataError as error:
            raise damaged(self.path, error) from None

    def _bytes(self) -> np.ndarray:
        try:
            self._file.seek(0)
            return np.frombuffer(self._file.read(), np.uint8)
        except OSError as error:  # such as an unmounted disk
            raise DataError(f"{self.path}: cannot be read: {error.strerror or error}") from None

    def _alpha(self, stored: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Decode the transparency, which may be a channel, a colour or entries of a palette."""
        if pixels.dtype == np.uint8:
            depth = png.depth_and_channels(self._file)[0] if self.kind == "PNG" else 8
            with opened(self._file, self.path) as image:
                if depth in (2, 4) and image.mode == "L":  # Pillow compares the colour with scaled values
                    image.info["transparency"] *= 255 // (2**depth - 1)
                return np.asarray(image.convert("RGBA").getchannel("A"))[..., np.newaxis]
        four = _decoded(png.without_metadata(stored.data), cv2.IMREAD_UNCHANGED)
        if four is not None and four.ndim == 3 and four.shape[2] == 4:
            return np.ascontiguousarray(four[..., 3:])
        with opened(self._file, self.path) as image:
            key = image.info.get("transparency", -1)
        return np.where((pixels == key).all(axis=2, keepdims=True), 0, 65535).astype(np.uint16)

    def _metadata(self) -> Metadata:
        with opened(self._file, self.path) as image:
            info: dict[Any, Any] = dict(image.info)
            several = getattr(image, "n_frames", 1) > 1
        stored = self._bytes().data if self.kind in ("PNG", "JPEG", "AVIF") else memoryview(b"")
        dpi = _dpi(info.get("dpi"))
        return Metadata(
            icc=colour.profile_of_rgb(self._info.space, bytes(info.get("icc_profile") or b"")),
            exif=exif.of_result(bytes(info.get("exif") or b"").removeprefix(_EXIF_MARK)),
            xmp=without_orientation_in_xmp(_as_bytes(info.get("xmp"))),
            dpi=dpi[::-1] if dpi and swaps(self._info.orientation) else dpi,
            png=png.kept_chunks(stored, self._info.orientation) if self.kind == "PNG" else b"",
            jpeg=jpeg.kept_segments(stored) if self.kind == "JPEG" else b"",
            data_range=self._info.data_range,
            lost=tuple(self._lost(info, stored, several)),
        )

    def _lost(self, info: dict[Any, Any], stored: memoryview, several: bool) -> Iterator[str]:
        """Yield the names of what no result can keep."""
        if self._info.space:
            yield colour.lost(self._info.space)
        if self.kind == "PNG":
            yield from png.lost_chunks(stored)
        if self.kind == "GIF" and info.get("comment"):
            yield "comment"
        if info.get("bit_depth", 8) > 8 or (self.kind == "AVIF" and heif.is_avif_beyond_8_bits(stored)):
            yield "bits beyond 8"
        if several:
            yield "further images inside"


def encode(page: Page, ending: str, metadata: Metadata, path: Path) -> tuple[bytes, list[str]]:
    """Encode an image in the format of `ending`.

    Returns
    -------
    (bytes, list of str)
        The file's content, and the names of what the format could not keep.

    Raises
    ------
    DataError
        When the format cannot hold the pixels.
    """
    if ending not in _ENCODED:
        raise DataError(f"{path}: the content is not {ending}; rename it by its content")
    pixels = page.pixels
    fits = pixels.dtype == np.uint8 or (pixels.dtype == np.uint16 and ending in _UP_TO_16_BITS)
    if not fits or pixels.shape[2] not in (1, 3):
        raise DataError(
            f"{path}: {pixels.shape[2]} channel(s) of {pixels.dtype} do not fit {ending}; use .tif"
        )
    lost = list(metadata.lost)
    if metadata.data_range is not None and ending not in _PNM_ENDINGS:
        lost.append(f"data range of {metadata.data_range:g}")
    if page.holes is not None and page.holes.where.any():
        page = replace(page, pixels=np.where(page.holes.where, pixels.dtype.type(0), pixels), holes=None)
        pixels = page.pixels
        lost.append("which values are missing (they are black)")
    if ending not in JPEG_ENDINGS:
        lost += jpeg.names_of(metadata.jpeg)
    if ending == ".png":
        return png.with_chunks(_encode_png(page), metadata.png or png.chunks_of(metadata)), lost
    if ending in JPEG_ENDINGS or ending == ".webp":
        return _encode_by_pillow(page, ending, metadata, lost), lost
    carried = {"colour profile": metadata.icc, "EXIF data": metadata.exif, "XMP data": metadata.xmp}
    lost += [name for name, content in carried.items() if content]
    if ending == ".bmp":
        encoded = bytearray(_encoded(".bmp", page.stacked))
        if metadata.dpi and len(encoded) > 46:
            encoded[38:46] = struct.pack("<ii", *(round(dpi / 0.0254) for dpi in metadata.dpi))
        return bytes(encoded), lost
    lost += ["transparency"] if page.alpha is not None else []
    lost += ["resolution"] if metadata.dpi else []
    return _encode_pnm(pixels, metadata.data_range), lost


def _encode_pnm(pixels: np.ndarray, data_range: float | None) -> bytes:
    height, width, channels = pixels.shape
    data_range = int(data_range or np.iinfo(pixels.dtype).max)
    header = f"P{5 if channels == 1 else 6}\n{width} {height}\n{data_range}\n"
    return header.encode() + np.minimum(pixels, data_range).astype(pixels.dtype.newbyteorder(">")).tobytes()


def _encode_png(page: Page) -> bytes:
    stacked = page.stacked
    if stacked.shape[2] == 2:  # OpenCV cannot write grey with transparency
        return bytes(imagecodecs.png_encode(stacked))
    return _encoded(".png", stacked)


def _encode_by_pillow(page: Page, ending: str, metadata: Metadata, lost: list[str]) -> bytes:
    options: dict[str, Any] = {"icc_profile": metadata.icc, "exif": metadata.exif, "xmp": metadata.xmp}
    options = {name: value for name, value in options.items() if value}
    if "exif" in options:
        options["exif"] = _EXIF_MARK + options["exif"]
    stacked = page.stacked
    if ending == ".webp":
        stacked = np.repeat(page.pixels, 3, axis=2) if page.pixels.shape[2] == 1 else page.pixels
        stacked = Page(stacked, page.alpha).stacked
        # `exact` keeps the pixels under full transparency.
        options |= {"format": "WEBP", "lossless": True, "exact": True}
    else:
        stacked = page.pixels
        lost += ["transparency"] if page.alpha is not None else []
        options |= {"format": "JPEG", "quality": _JPEG_QUALITY, "subsampling": 0}
        options |= {"dpi": metadata.dpi} if metadata.dpi else {}
    buffer = BytesIO()
    Image.fromarray(stacked[..., 0] if stacked.shape[2] == 1 else stacked).save(buffer, **options)
    encoded = buffer.getvalue()
    return encoded if ending == ".webp" else jpeg.with_segments(encoded, metadata.jpeg)


def _red_first(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels from OpenCV's channel order to RGB."""
    if pixels.shape[2] != 3:
        return pixels
    # A fifth of NumPy's time. cvtColor takes less, but its threads do not survive a fork.
    turned = np.empty_like(pixels)
    cv2.mixChannels([pixels], [turned], [0, 2, 1, 1, 2, 0])
    return turned


def _decoded(stored: np.ndarray, flags: int) -> np.ndarray | None:
    try:
        return cv2.imdecode(stored, flags)
    except cv2.error:
        return None


def _encoded(ending: str, image: np.ndarray) -> bytes:
    """Encode a grey, RGB or RGBA image by OpenCV."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[image.shape[2]]
    done, encoded = cv2.imencode(ending, np.ascontiguousarray(image[..., order]))
    if not done:
        raise ValueError(f"a {image.shape} image does not fit {ending}")
    return encoded.tobytes()


def _as_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")


def _dpi(value: Any) -> tuple[float, float] | None:
    try:
        across, down = float(value[0]), float(value[1])
    except (TypeError, ValueError, IndexError, ZeroDivisionError):
        return None
    return (across, down) if across > 0 and down > 0 else None
