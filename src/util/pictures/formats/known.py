"""What is known of picture files without opening one: how their names end, and how large they may be."""

JPEG_ENDINGS = (".jpg", ".jpeg")
TIFF_ENDINGS = (".tif", ".tiff")
ENDINGS = (".png", *JPEG_ENDINGS, ".bmp", *TIFF_ENDINGS, ".webp", ".ppm", ".pgm", ".pnm", ".npy")
"""Of all files that are read, in lower case."""

MAX_PIXELS = 200_000_000
"""Larger pictures are refused from the header: a few hundred bytes can claim any size."""
