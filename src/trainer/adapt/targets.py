"""What a network shall make of the images that it is adapted to, and their noise: in files, for its training.

Shape letters: H rows, W columns, C channels.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from src.data_handlers.datasets.adapted import LIST, NOISE, target_files
from src.data_handlers.samples.samples import Samples
from src.trainer.adapt.measure import NoisePlaces, measure_noise, noise_places
from src.trainer.adapt.parts import Part, chosen_of, fair_gamma, pair_of, parts_of
from src.trainer.finish import Finish
from src.trainer.finish.strips import Pair
from src.trainer.network.whole_image import WholeImage
from src.util.atomic_file import write_atomically
from src.util.images.io import to_uint8
from src.util.logger import LOG, progress_bar


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
        chosen = chosen_of(samples, self.pixels)
        looked_at = parts_of(samples, chosen.numbers[:: chosen.every], chosen.edge)
        gamma = fair_gamma(self.finish, (pair_of(self.before, part) for part in looked_at))
        if self.finish.gamma == "auto":
            LOG.info("the noise is fair in light of gamma %g", gamma)
        finish = self.finish.model_copy(update={"gamma": gamma})
        names: list[str] = []
        files: dict[str, str] = {}
        places: list[NoisePlaces] = []
        with progress_bar(len(chosen.numbers), "target") as bar:
            for part in parts_of(samples, *chosen):
                pair = pair_of(self.before, part)
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

    def _target(self, part: Part, pair: Pair, finish: Finish) -> np.ndarray:
        target = _finished(pair, finish)
        if self.teacher is not None:
            # A prediction from outside costs an image detail, the more of what is lost the lighter the noise.
            noise = 255 * float(np.std(part.values - pair.denoised))
            share = np.float32(noise / (noise + self.half))
            target = (1 - share) * target + share * _finished(pair_of(self.teacher, part), finish)
        return target


def _stored(part: Part) -> np.ndarray:
    """In 8 bits where that is what the image has: a quarter of the room."""
    if part.step != 1 / 255:
        return part.values
    return to_uint8(part.values.transpose(2, 0, 1))


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
