"""Clean photographs that scikit-image brings along: nothing to find, nothing to download."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import skimage
from pydantic import Field

from src.data_handlers.base import Picture
from src.util.errors import DataError
from src.util.image_io import PictureInfo, inspect_picture, read_picture

Photograph = Literal["astronaut", "chelsea", "coffee", "motorcycle", "rocket"]

# Of the pictures in scikit-image's wheel, the colour photographs.
FILES: dict[Photograph, str] = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
}


class Demo:
    """A few photographs without noise: `add_noise` makes them noisy, and they become the ground truth.

    Parameters
    ----------
    photographs, shrink
        See their descriptions.
    """

    def __init__(
        self,
        photographs: Annotated[
            list[Photograph] | None, Field(min_length=1, description="which ones; None = all five")
        ] = None,
        shrink: Annotated[
            int,
            Field(
                ge=1,
                le=8,
                description="factor by which each photograph is made smaller, by means of shrink x shrink px;"
                " that is quicker, and takes out the camera's own noise",
            ),
        ] = 1,
    ) -> None:
        self.where = "the demo's photographs"
        self._names = list(FILES) if photographs is None else photographs
        self._shrink = shrink
        self._files = [Path(skimage.__file__).parent / "data" / FILES[name] for name in self._names]

    def __len__(self) -> int:
        return len(self._files)

    def name(self, number: int) -> str:
        """Name of the photograph, such as `astronaut`."""
        return self._names[number]

    def inspect(self, number: int) -> PictureInfo:
        """Size and channels; see `Source`."""
        file = self._files[number]
        if not file.exists():
            raise DataError(f"{file}: missing in scikit-image {version('scikit-image')}; install another")
        info = inspect_picture(file)
        return replace(info, height=info.height // self._shrink, width=info.width // self._shrink)

    def read(self, number: int) -> Picture:
        """The photograph, shrunk."""
        return Picture(self.name(number), _shrunk(read_picture(self._files[number]), self._shrink))


def _shrunk(picture: np.ndarray, factor: int) -> np.ndarray:
    """Means of factor x factor px; rows and columns beyond a multiple are left out."""
    height, width = (edge // factor for edge in picture.shape[:2])
    blocks = picture[: height * factor, : width * factor].reshape(height, factor, width, factor, -1)
    return np.rint(blocks.mean(axis=(1, 3))).astype(np.uint8)
