"""The supported image formats: their endings, first bytes and largest size."""

import os
from importlib.util import find_spec
from typing import NamedTuple


class Optional(NamedTuple):
    """A format that needs a module of an optional package."""

    name: str
    endings: tuple[str, ...]
    module: str
    package: str

    @property
    def is_here(self) -> bool:
        """Whether the module is installed."""
        return find_spec(self.module) is not None

    @property
    def hint(self) -> str:
        """How to install it, for messages."""
        return f"{self.name} is read once {self.package} is installed (pip install {self.package})"


JPEG_ENDINGS = (".jpg", ".jpeg", ".jfif", ".jpe")
TIFF_ENDINGS = (".tif", ".tiff")
_OME = ".ome"
WRITTEN = (".png", *JPEG_ENDINGS, ".bmp", *TIFF_ENDINGS, ".webp", ".ppm", ".pgm", ".pnm", ".npy")
"""Endings of the formats that are written; results of other formats become PNGs."""

HEIC = Optional("HEIC", (".heic", ".heif", ".hif"), "pi_heif", "pi-heif")
AVIF = Optional("AVIF", (".avif",), "PIL._avif", "'pillow>=11.3'")
OPTIONAL = (HEIC, AVIF)
ENDINGS = (*WRITTEN, ".gif", *(ending for kind in OPTIONAL if kind.is_here for ending in kind.endings))
"""Endings of all formats that are read."""

RAW_ENDINGS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""Endings of camera raw files, which are not read. Many have the first bytes of a TIFF."""

MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x93NUMPY")
"""First bytes of PNG, JPEG, TIFF and .npy; those of the other formats are too short to be reliable."""

MAX_PIXELS = 200_000_000
"""Larger images are refused by their headers, which can claim any size."""


def stem_and_ending(name: str) -> tuple[str, str]:
    """Split a file's name into stem and ending; the ending of an OME-TIFF is `.ome.tif`."""
    stem, ending = os.path.splitext(name)
    if ending.lower() in TIFF_ENDINGS and stem.lower().endswith(_OME) and len(stem) > len(_OME):
        return stem[: -len(_OME)], stem[-len(_OME) :] + ending
    return stem, ending
