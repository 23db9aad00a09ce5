"""What a network shall make of the images that it is adapted to, and their noise: in files, for its training.

Shape letters: H rows, W columns, C channels.
"""

import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from src.data_handlers.datasets.adapted import LIST, NOISE, target_files
from src.data_handlers.samples.samples import Samples
from src.trainer.adapt.measure import NoisePlaces, measure_noise, noise_places
from src.trainer.finish import Finish, found_gamma
from src.trainer.finish.strips import Pair
from src.trainer.inference.pixels import denoised_pair
from src.trainer.network.whole_image import WholeImage
from src.util.atomic_file import write_atomically
from src.util.logger import LOG, progress_bar
from src.util.pictures.formats.holes import without_nan
from src.util.pictures.io import middle, to_uint8

LOOKED_AT = 16
"""Images that tell in which light the noise is fair."""
SMALLEST = 256
"""Edge of the parts that are taken of many images, px, at least."""


class Part(NamedTuple):
    """The middle of an image: values (H, W, C), float32 where 1.0 is white; `step` as in `Pair`."""

    name: str
    values: np.ndarray
    step: float


@dataclass(frozen=True)
class TargetMaker:
    """Makes targets of noisy images.

    Parameters
    ----------
    before : WholeImage
        The network that is to be adapted.
    teacher : WholeImage or None
        Has learnt from these very images; None = the network before alone.
    half : float
        Standard deviation of the noise, grey levels of 255, at which the two count alike.
    finish : Finish
        What is given back after each of them.
    pixels : int
        Of all images together, at most; of larger ones the middle is taken.
    """

    before: WholeImage
    teacher: WholeImage | None
    half: float
    finish: Finish
    pixels: int

    def write(self, samples: Samples, folder: Path, made_by: dict[str, Any]) -> None:
        """Write the targets of all images, and the list of them last.

        Parameters
        ----------
        samples : Samples
            The noisy images, whole.
        folder : Path
            It is there; earlier targets in it are replaced.
        made_by : dict
            What they depend on, kept in the list.
        """
        count = min(len(samples), max(1, self.pixels // SMALLEST**2))
        numbers = [number * len(samples) // count for number in range(count)]
        edge = math.isqrt(self.pixels // count)
        gamma = self._gamma(_parts(samples, numbers[:: -(-count // LOOKED_AT)], edge))
        finish = self.finish.model_copy(update={"gamma": gamma})
        names: list[str] = []
        files: dict[str, str] = {}
        places: list[NoisePlaces] = []
        with progress_bar(count, "target") as bar:
            for part in _parts(samples, numbers, edge):
                pair = _pair(self.before, part)
                places.append(noise_places(pair, gamma))
                contents = _stored(part), self._target(part, pair, finish)
                for file, values in zip(target_files(len(names)), contents, strict=True):
                    files[file] = _write(folder / file, values)
                names.append(part.name)
                bar.update()
        noise = measure_noise(places, gamma, part.step)
        if noise is None:
            LOG.warning("the noise cannot be measured: there are too few flat places, or they are clipped")
        else:
            content = io.BytesIO()
            noise.save(content)
            files[NOISE] = _write(folder / NOISE, content.getvalue())
        listed = {"made_by": made_by, "images": names, "files": files}
        _write(folder / LIST, json.dumps(listed, indent=0).encode())

    def _gamma(self, parts: Iterable[Part]) -> float:
        if self.finish.gamma != "auto":
            return self.finish.gamma
        gamma = found_gamma(_pair(self.before, part) for part in parts)
        LOG.info("the noise is fair in light of gamma %g", gamma)
        return gamma

    def _target(self, part: Part, pair: Pair, finish: Finish) -> np.ndarray:
        target = _finished(pair, finish)
        if self.teacher is not None:
            # A prediction from outside costs an image detail, the more of what is lost the lighter the noise.
            noise = 255 * float(np.std(part.values - pair.denoised))
            share = np.float32(noise / (noise + self.half))
            target = (1 - share) * target + share * _finished(_pair(self.teacher, part), finish)
        return target


def _parts(samples: Samples, numbers: Iterable[int], edge: int) -> Iterator[Part]:
    for number in numbers:
        sample = samples[0, number]
        if "noisy" not in sample:  # lost, and `unreadable` says to go on
            continue
        values, _ = without_nan(np.ascontiguousarray(middle(sample["noisy"], edge).permute(1, 2, 0).numpy()))
        if values.shape[2] == 3 and (values == values[..., :1]).all():
            values = values[..., :1]
        step = 0.0 if np.dtype(sample["dtype"]).kind == "f" else 1 / sample["white"]
        yield Part(sample["name"], np.ascontiguousarray(values), step)


def _stored(part: Part) -> np.ndarray:
    """In 8 bits where that is what the image has: a quarter of the room."""
    if part.step != 1 / 255:
        return part.values
    return to_uint8(part.values.transpose(2, 0, 1))


def _pair(network: WholeImage, part: Part) -> Pair:
    apart = part.values.shape[2] not in (1, 3)
    pair = denoised_pair(network, part.values, 1.0, part.name, apart)
    return Pair(pair.noisy, pair.denoised, 1.0, part.step)


def _finished(pair: Pair, finish: Finish) -> np.ndarray:
    return np.concatenate([band for _, band in finish(pair)])


def _write(path: Path, content: np.ndarray | bytes) -> str:
    """Write an array or bytes; the SHA-256 of the file."""
    if isinstance(content, np.ndarray):
        file = io.BytesIO()
        np.save(file, content)
        content = file.getvalue()
    with write_atomically(path, durable=False) as written:
        written.write(content)
    return hashlib.sha256(content).hexdigest()
