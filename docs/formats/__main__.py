"""Write docs/formats.md: what of an image is in its result, found by reading results back.

    python -m docs.formats

Each cell of the tables is of one small file with one property. It is denoised with a network that gives back
what it gets; what other programs find in the result, and whether a word was said about it, is the cell.
"""

import sys
from pathlib import Path

from docs.formats.page import PAGE, written

if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else PAGE).write_text(written(), encoding="utf-8")
