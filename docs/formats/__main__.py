"""Write docs/formats.md: which properties of an image file its result keeps.

    python -m docs.formats

Each cell of the tables stands for a small file with one property. A network that returns its input denoises
it. The cell says what other programs find in the result, and whether a message was logged.
"""

import sys
from pathlib import Path

from docs.formats.page import PAGE, page_text

if __name__ == "__main__":
    (Path(sys.argv[1]) if sys.argv[1:] else PAGE).write_text(page_text(), encoding="utf-8")
