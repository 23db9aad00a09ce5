"""What is known of picture files without opening one: how their names end, and how large they may be."""

JPEG_ENDINGS = (".jpg", ".jpeg", ".jfif", ".jpe")
TIFF_ENDINGS = (".tif", ".tiff")
ENDINGS = (".png", *JPEG_ENDINGS, ".bmp", *TIFF_ENDINGS, ".webp", ".ppm", ".pgm", ".pnm", ".npy")
"""Of all files that are read, in lower case."""

RAW_ENDINGS = (
    ".3fr", ".arw", ".cr2", ".cr3", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf", ".pef",
    ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""Of cameras' raw files, many of which begin as a TIFF does but hold no picture yet."""

MAGICS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\x93NUMPY")
"""The first bytes of PNG, JPEG, TIFF and .npy; of the other formats they are too few to tell."""

MAX_PIXELS = 200_000_000
"""Larger pictures are refused from the header: a few hundred bytes can claim any size."""
