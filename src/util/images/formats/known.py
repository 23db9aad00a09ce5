"""What is known of image files without opening one: how their names end, and how large they may be."""

import os
from importlib.util import find_spec
from typing import NamedTuple


class Optional(NamedTuple):
    """A format that is read where a module is installed that decodes it; `package` is what to install."""

    name: str
    endings: tuple[str, ...]
    module: str
    package: str

    @property
    def is_here(self) -> bool:
        """Whether it can be read."""
        return find_spec(self.module) is not None

    @property
    def hint(self) -> str:
        """How it can be read."""
        return f"{self.name} is read once {self.package} is installed (pip install {self.package})"


JPEG_ENDINGS = (".jpg", ".jpeg", ".jfif", ".jpe")
TIFF_ENDINGS = (".tif", ".tiff")
_OME = ".ome"
WRITTEN = (".png", *JPEG_ENDINGS, ".bmp", *TIFF_ENDINGS, ".webp", ".ppm", ".pgm", ".pnm", ".npy")
"""Of results, in lower case; those of images in other formats are PNGs."""

HEIC = Optional("HEIC", (".heic", ".heif", ".hif"), "pi_heif", "pi-heif")
AVIF = Optional("AVIF", (".avif",), "PIL._avif", "'pillow>=11.3'")  # an older one, or one built without it
OPTIONAL = (HEIC, AVIF)
ENDINGS = (*WRITTEN, ".gif", *(ending for kind in OPTIONAL if kind.is_here for ending in kind.endings))
"""Of all files that are read."""

RAW_ENDINGS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""Of cameras' raw files, many of which begin as a TIFF does but hold no image yet."""

MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x93NUMPY")
"""The first bytes of PNG, JPEG, TIFF and .npy; of the other formats they are too few to tell."""

MAX_PIXELS = 200_000_000
"""Larger images are refused from the header: a few hundred bytes can claim any size."""


def stem_and_ending(name: str) -> tuple[str, str]:
    """A file's name without its ending, and the ending, which is `.ome.tif` of an OME-TIFF."""
    stem, ending = os.path.splitext(name)
    if ending.lower() in TIFF_ENDINGS and stem.lower().endswith(_OME) and len(stem) > len(_OME):
        return stem[: -len(_OME)], stem[-len(_OME) :] + ending
    return stem, ending
