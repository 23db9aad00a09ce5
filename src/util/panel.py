"""Pictures side by side with a caption above each: for people, who would rather look than read."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

GAP = 6
CAPTION_HEIGHT = 34


def panel(rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> np.ndarray:
    """Draw rows of captioned pictures on white.

    Parameters
    ----------
    rows : sequence of sequences of (caption, picture)
        Pictures are uint8 (H, W, 3), of one size within a row.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    width = max(sum(picture.shape[1] + GAP for _, picture in row) - GAP for row in rows)
    height = sum(max(picture.shape[0] for _, picture in row) + CAPTION_HEIGHT + GAP for row in rows) - GAP
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(16)
    top = 0
    for row in rows:
        left = 0
        for caption, picture in row:
            draw.text((left + 2, top + CAPTION_HEIGHT // 2), caption, fill="black", font=font, anchor="lm")
            sheet.paste(Image.fromarray(picture), (left, top + CAPTION_HEIGHT))
            left += picture.shape[1] + GAP
        top += max(picture.shape[0] for _, picture in row) + CAPTION_HEIGHT + GAP
    return np.asarray(sheet)
