"""Texts in TIFF tags that speak of other files, or of values that denoising changed."""

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
    """What is true of the result, too.

    Parameters
    ----------
    code : int
        The tag's number.
    text : bytes
        Its value.

    Returns
    -------
    bytes
        OME-XML without the names and marks by which it refers to files, so that it describes the file that it
        stands in; empty where the image is spread over several files. GDAL's items without the statistics.
        Any other text as it is.
    """
    if code == DESCRIPTION and _OME.search(text):
        return b"" if is_spread(text) else _UUIDS.sub(b"", text)
    return _STATISTICS.sub(b"", text) if code == GDAL_METADATA else text


def is_spread(text: bytes) -> bool:
    """Whether a description names more files than one, or another that holds the rest of it."""
    return bool(_OME.search(text)) and (len(set(_FILES.findall(text))) > 1 or b"BinaryOnly" in text)
