"""Update texts in TIFF tags that refer to other files, or to values that denoising changed."""

import re

DESCRIPTION, GDAL_METADATA = 270, 42112
"""Numbers of tags."""
_OME = re.compile(rb"<(?:\w+:)?OME\b")
_FILES = re.compile(
    rb"""<(?:\w+:)?(?:UUID|BinaryOnly)\b[^>]*?\b(?:FileName|MetadataFile)\s*=\s*["']([^"']*)"""
)
_UUIDS = re.compile(
    rb"""<(?:(\w+:)?UUID)\b[^>]*?(?:/>|>[^<]*</(?:\w+:)?UUID\s*>)|\sUUID\s*=\s*["'][^"']*["']"""
)
_STATISTICS = re.compile(rb"""\s*<Item\b[^>]*\bname\s*=\s*["']STATISTICS_[^>]*>[^<]*</Item\s*>""")


def of_result(code: int, text: bytes) -> bytes:
    """Return the text of a tag for the denoised image.

    Parameters
    ----------
    code : int
        The tag's number.
    text : bytes
        Its value.

    Returns
    -------
    bytes
        OME-XML without file names and UUIDs, so that it describes the file it is in, or empty if the image is
        spread over several files. GDAL's metadata without statistics. Any other text unchanged.
    """
    if code == DESCRIPTION and _OME.search(text):
        return b"" if is_spread(text) else _UUIDS.sub(b"", text)
    return _STATISTICS.sub(b"", text) if code == GDAL_METADATA else text


def is_spread(text: bytes) -> bool:
    """Return whether a description names several files, or another file that completes it."""
    return bool(_OME.search(text)) and (len(set(_FILES.findall(text))) > 1 or b"BinaryOnly" in text)
