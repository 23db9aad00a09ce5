"""DND, real noise of consumer cameras, without ground truth: https://noise.visinf.tu-darmstadt.de/.

Plötz, Roth: Benchmarking Denoising Algorithms with Real Photographs. CVPR 2017. https://doi.org/10.1109/CVPR.2017.294
"""

import re
from typing import Annotated

from pydantic import Field

from src.data_handlers.base import expect_folder
from src.data_handlers.folder import Folder
from src.util.picture_folder import raise_together

PAGE = "https://noise.visinf.tu-darmstadt.de/"

# Image and box, both counted from 1: the submission puts a picture in its place by its name.
_IMAGE_BOX = re.compile(r"\d{4}_\d{2}(_noisy)?\.\w+")


def dnd_train(
    folder: Annotated[
        str, Field(description="folder of pieces cut from DND's sRGB images")
    ] = "datasets/DND_train",
) -> Folder:
    """Pieces of DND's images."""
    expect_folder(folder, "pieces of DND's sRGB images", PAGE)
    return Folder(folder)


def dnd_test(
    folder: Annotated[
        str, Field(description="folder of DND's 512x512 boxes, IMAGE_BOX.png, such as 0001_01.png")
    ] = "datasets/DND_test",
) -> Folder:
    """DND's official boxes, for validation and test; their ground truth is kept by the benchmark's server."""
    expect_folder(folder, "DND's 512x512 boxes as IMAGE_BOX.png", PAGE)
    source = Folder(folder, recursive=False)
    names = [source.name(number) for number in range(len(source))]
    raise_together(
        [
            f"{folder}: {name}: expected a name such as 0001_01.png (image and box)"
            for name in names
            if not _IMAGE_BOX.fullmatch(name)
        ]
    )
    return source
