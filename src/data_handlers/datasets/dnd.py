"""DND: images with real noise of consumer cameras. https://noise.visinf.tu-darmstadt.de/.

Plötz, Roth: Benchmarking Denoising Algorithms with Real Photographs. CVPR 2017. https://doi.org/10.1109/CVPR.2017.294
"""

import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Annotated

from pydantic import Field

from src.data_handlers.datasets.base import Box, CropSource, Image, Source, expect_folder, noisy_root, stamp
from src.data_handlers.datasets.dnd_mat import (
    BOXES_PER_IMAGE,
    IMAGES,
    PAGE,
    DndImage,
    find_images,
    find_info,
    read_boxes,
)
from src.data_handlers.datasets.folder import Folder
from src.util.errors import DataError
from src.util.images.folder import raise_together
from src.util.images.io import ImageInfo, ImageWarning

# Image and box, both counted from 1. The submission uses these numbers.
_IMAGE_BOX = re.compile(r"(\d{4})_(\d{2})(_noisy)?\.\w+")


def dnd_train(
    data_dir: Annotated[
        str,
        Field(
            description="folder of pieces cut by prep_DND.py, or the download (crops of its"
            " images_srgb/*.mat), or a folder prepared by AP-BSN (its RN)"
        ),
    ] = "datasets/DND_train",
) -> Source:
    """Read the images of DND, in pieces or whole."""
    how = f"{PAGE}; cut by `python prep_DND.py -c 512 -s 256 -df DND -nf {data_dir} --split train`"
    root = noisy_root(expect_folder(data_dir, "pieces of DND's sRGB images", how))
    images = find_images(root)
    return DndImages(root, images) if images else Folder(str(root))


def dnd_test(
    data_dir: Annotated[
        str,
        Field(
            description="folder of DND's 1,000 boxes cut by prep_DND.py (IMAGE_BOX.png), or the download"
            " (images_srgb/*.mat and info.mat), whose boxes are not rounded to 8 bits"
        ),
    ] = "datasets/DND_test",
) -> Source:
    """Read the official boxes of DND. Only the benchmark server has their ground truth."""
    how = f"{PAGE}; cut by `python prep_DND.py -df DND -nf {data_dir} --split test`"
    root = expect_folder(data_dir, "DND's 512x512 boxes as IMAGE_BOX.png", how)
    images = find_images(root)
    if not images:
        return _prepared_boxes(data_dir)
    missing = [f"{number:04d}.mat" for number in range(1, IMAGES + 1) if number not in images]
    if missing:
        raise DataError(
            f"{data_dir}: {len(missing)} of {IMAGES} images missing: {', '.join(missing)} ({PAGE})"
        )
    return DndBoxes(root, images, read_boxes(find_info(root)))


def _prepared_boxes(data_dir: str) -> Folder:
    source = Folder(data_dir, recursive=False)
    found: Counter[tuple[int, int]] = Counter()
    problems = []
    for name in map(source.name, range(len(source))):
        match = _IMAGE_BOX.fullmatch(name)
        image, box = (int(match[1]), int(match[2])) if match else (0, 0)
        found[image, box] += 1
        if not (1 <= image <= IMAGES and 1 <= box <= BOXES_PER_IMAGE):
            problems.append(
                f"{data_dir}: {name}: expected a name such as 0001_01.png (image 1 to 50, box 1 to 20)"
            )
        elif found[image, box] == 2:
            problems.append(f"{data_dir}: {name}: there is another file of image {image}, box {box}")
    raise_together(problems)
    missing = IMAGES * BOXES_PER_IMAGE - len(found)
    if missing:
        warnings.warn(f"{data_dir}: {missing} of DND's 1,000 boxes are missing", ImageWarning, stacklevel=3)
    return source


class DndImages(CropSource):
    """The downloaded images of DND, read in crops.

    Parameters
    ----------
    folder : Path
        Their folder, for messages.
    images : dict of int to Path
        The files, from `find_images`.
    """

    def __init__(self, folder: Path, images: dict[int, Path]) -> None:
        self.where = str(folder)
        self._images = [DndImage(path) for _, path in sorted(images.items())]

    def __len__(self) -> int:
        return len(self._images)

    def name(self, number: int) -> str:
        """Return the number of the image, in four digits."""
        return self._images[number].path.stem

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels."""
        return ImageInfo(*self._images[number].shape, 3, dtype="float32")

    def read(self, number: int) -> Image:
        """Read the whole image as float32, up to 430 MB."""
        return self.read_crop(number, Box(0, 0, *self._images[number].shape))

    def read_crop(self, number: int, box: Box) -> Image:
        """Read a part of the image as float32."""
        return Image(self.name(number), self._images[number].read(box))

    def origin(self, number: int) -> tuple[str, ...]:
        """Return the file; see `Source`."""
        return (stamp(self._images[number].path),)


class DndBoxes(Source):
    """The official boxes of DND, read from the downloaded images.

    Parameters
    ----------
    folder : Path
        Folder of the images, for messages.
    images : dict of int to Path
        All 50 files, from `find_images`.
    boxes : list of list of Box
        Boxes of each image, from `read_boxes`.
    """

    def __init__(self, folder: Path, images: dict[int, Path], boxes: list[list[Box]]) -> None:
        self.where = str(folder)
        self._images = [DndImage(images[number]) for number in sorted(images)]
        self._boxes = boxes

    def __len__(self) -> int:
        return IMAGES * BOXES_PER_IMAGE

    def name(self, number: int) -> str:
        """Return image and box, counted from 1, such as `0001_01`."""
        image, box = divmod(number, BOXES_PER_IMAGE)
        return f"{image + 1:04d}_{box + 1:02d}"

    def inspect(self, number: int) -> ImageInfo:
        """Return size and channels of the box; DataError when the box is not inside its image."""
        image, box = self._place(number)
        height, width = image.shape
        if box.top + box.height > height or box.left + box.width > width:
            raise DataError(f"{image.path}: its {height}x{width} px do not contain {box} of info.mat")
        return ImageInfo(box.height, box.width, 3, dtype="float32")

    def read(self, number: int) -> Image:
        """Read the box as float32."""
        image, box = self._place(number)
        return Image(self.name(number), image.read(box))

    def origin(self, number: int) -> tuple[str, ...]:
        """Return the file and the box; see `Source`."""
        image, box = self._place(number)
        return (stamp(image.path, box),)

    def _place(self, number: int) -> tuple[DndImage, Box]:
        image, box = divmod(number, BOXES_PER_IMAGE)
        return self._images[image], self._boxes[image][box]
