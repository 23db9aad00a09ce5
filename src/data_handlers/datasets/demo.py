"""Clean photographs from the scikit-image package, which need no download."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import skimage
from pydantic import Field

from src.data_handlers.datasets.base import Image, Source, stamp
from src.util.errors import DataError
from src.util.images.io import ImageInfo, inspect_image, read_image

Photograph = Literal["astronaut", "chelsea", "coffee", "motorcycle", "rocket"]

# The colour photographs in the wheel of scikit-image.
FILES: dict[Photograph, str] = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
}


class Demo(Source):
    """Clean photographs. `add_noise` makes them noisy, and the clean ones become the ground truth."""

    def __init__(
        self,
        photographs: Annotated[
            list[Photograph] | None, Field(min_length=1, description="photographs to use; None = all five")
        ] = None,
        scale: Annotated[
            float,
            Field(
                ge=0.1,
                le=4,
                description="factor by which the photographs are resized (cubic); enlarged ones are as"
                " smooth from pixel to pixel as full-size camera images",
            ),
        ] = 1.0,
    ) -> None:
        self.where = "the demo's photographs"
        self._names = list(FILES) if photographs is None else photographs
        self._scale = scale
        self._files = [Path(skimage.__file__).parent / "data" / FILES[name] for name in self._names]

    def __len__(self) -> int:
        return len(self._files)

    def name(self, number: int) -> str:
        """Return the name of the photograph, such as `astronaut`."""
        return self._names[number]

    def inspect(self, number: int) -> ImageInfo:
        """Return the size after resizing, and the channels."""
        file = self._files[number]
        if not file.exists():
            raise DataError(f"{file}: missing in scikit-image {version('scikit-image')}; try another version")
        info = inspect_image(file)
        height, width = self._size(info.height, info.width)
        return replace(info, height=height, width=width)

    def read(self, number: int) -> Image:
        """Read and resize the photograph."""
        image = read_image(self._files[number])
        if self._scale != 1:
            from skimage.transform import resize  # imports SciPy, which few commands need

            size = self._size(*image.shape[:2])
            image = resize(image, size, order=3, anti_aliasing=self._scale < 1, preserve_range=True)
            image = np.rint(image).clip(0, 255).astype(np.uint8)
        return Image(self.name(number), image)

    def origin(self, number: int) -> tuple[str, ...]:
        """Return the file and the scale; see `Source`."""
        return (stamp(self._files[number], self._scale),)

    def _size(self, height: int, width: int) -> tuple[int, int]:
        return round(height * self._scale), round(width * self._scale)
