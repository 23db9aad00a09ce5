"""Draw images side by side, each with a caption above it."""

import unicodedata
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 6
CAPTION_HEIGHT = 34
_FONT_SIZE = 16


def panel(rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> np.ndarray:
    """Draw rows of captioned images on white, aligned in columns.

    Parameters
    ----------
    rows : sequence of sequences of (caption, image)
        Images are uint8 (H, W, 3). The middle of a caption wider than its column is cut out.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    widths = [
        max(row[place][1].shape[1] for row in rows if place < len(row))
        for place in range(max(len(row) for row in rows))
    ]
    height = sum(max(image.shape[0] for _, image in row) + CAPTION_HEIGHT + GAP for row in rows) - GAP
    sheet = Image.new("RGB", (sum(widths) + GAP * (len(widths) - 1), height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_SIZE)
    top = 0
    for row in rows:
        left = 0
        for (caption, image), width in zip(row, widths, strict=False):
            text = _shortened(caption, draw, font, width - 2)
            draw.text((left + 2, top + CAPTION_HEIGHT // 2), text, fill="black", font=font, anchor="lm")
            sheet.paste(Image.fromarray(image), (left, top + CAPTION_HEIGHT))
            left += width + GAP
        top += max(image.shape[0] for _, image in row) + CAPTION_HEIGHT + GAP
    return np.asarray(sheet)


def enlarged(image: np.ndarray, edge: int) -> np.ndarray:
    """Enlarge an image (H, W, C) by the largest whole factor that fits into `edge` px, or by 1."""
    factor = max(1, edge // max(image.shape[:2]))
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _drawable(caption: str) -> str:
    """Drop accents and replace non-ASCII by question marks: Pillow's own font has no other characters."""
    signs = (sign for sign in unicodedata.normalize("NFKD", caption) if not unicodedata.combining(sign))
    return "".join(sign if sign.isascii() and sign.isprintable() else "?" for sign in signs)


def _shortened(
    caption: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int
) -> str:
    caption = _drawable(caption)
    kept = len(caption)
    text = caption
    while draw.textlength(text, font=font) > width and kept > 1:
        kept -= 1
        text = f"{caption[: (kept + 1) // 2]}…{caption[len(caption) - kept // 2 :]}"
    return text
