"""Write the targets that a student imitates, and the measured noise, to files."""

import hashlib
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from src.data_handlers.datasets.adapted import LIST, noise_file, target_files
from src.data_handlers.samples.samples import Samples
from src.trainer.adapt.measure import NoisePlaces, noise_places, noise_ratio
from src.trainer.adapt.parts import Part, denoise_part, noise_gamma, read_parts, select_parts
from src.trainer.adapt.relatives import noise_of_each
from src.trainer.finish import Finish
from src.trainer.finish.strips import Pair
from src.trainer.network.whole_image import WholeImage
from src.util.atomic_file import write_atomically
from src.util.images.io import to_uint8
from src.util.logger import LOG, progress_bar


@dataclass(frozen=True)
class TargetMaker:
    """Makes targets from noisy images.

    Parameters
    ----------
    before : WholeImage
        The network to adapt.
    teacher : WholeImage or None
        A network trained on these images. If None, targets come from `before` alone.
    half : float
        Standard deviation of the noise, grey levels of 255, at which both networks have equal weight.
    finish : Finish
        Applied to the output of each network.
    pixels : int
        Largest number of pixels of all targets together. Larger images are cropped to their middle.
    """

    before: WholeImage
    teacher: WholeImage | None
    half: float
    finish: Finish
    pixels: int

    def write(self, samples: Samples, folder: Path, made_by: dict[str, Any]) -> None:
        """Write the targets of all images, then their list.

        Parameters
        ----------
        samples : Samples
            Whole noisy images.
        folder : Path
            An existing folder. Earlier targets in it are replaced.
        made_by : dict
            Everything that the targets depend on. Stored in the list.
        """
        selection = select_parts(samples, self.pixels)
        some = read_parts(samples, selection.numbers[:: selection.gamma_stride], selection.edge)
        gamma = noise_gamma(self.finish, (denoise_part(self.before, part) for part in some))
        if self.finish.gamma == "auto":
            LOG.info("the noise is symmetric in light of gamma %g", gamma)
        finish = self.finish.model_copy(update={"gamma": gamma})
        names: list[str] = []
        files: dict[str, str] = {}
        places: list[NoisePlaces] = []
        with progress_bar(len(selection.numbers), "target") as bar:
            for part in read_parts(samples, *selection):
                pair = denoise_part(self.before, part)
                places.append(noise_places(pair, gamma))
                contents = _stored(part), self._target(part, pair, finish)
                for file, values in zip(target_files(len(names)), contents, strict=True):
                    files[file] = _write(folder / file, values)
                names.append(part.name)
                bar.update()
        noises = noise_of_each(places, gamma, part.step)
        if not noises:
            LOG.warning("the noise cannot be measured: there are too few flat places, or they are clipped")
        for number, noise in enumerate(noises):
            content = io.BytesIO()
            noise.save(content)
            files[noise_file(number)] = _write(folder / noise_file(number), content.getvalue())
        listed = {
            "made_by": made_by, "images": names, "measured": bool(noises), "noise_ratio": noise_ratio(places),
            "files": files,
        }  # fmt: skip
        _write(folder / LIST, json.dumps(listed, indent=0).encode())

    def _target(self, part: Part, pair: Pair, finish: Finish) -> np.ndarray:
        target = _finished(pair, finish)
        if self.teacher is not None:
            # The teacher never sees a pixel's own value, so it loses detail. This matters most in weak noise.
            noise = 255 * float(np.std(part.values - pair.denoised))
            share = np.float32(noise / (noise + self.half))
            # Smaller versions are for the other network: the teacher learned this size, and takes long.
            hidden = replace(denoise_part(self.teacher, part), denoise=pair.denoise)
            target = (1 - share) * target + share * _finished(hidden, finish)
        return target


def _stored(part: Part) -> np.ndarray:
    """Return the values of a part, as uint8 if the image is 8-bit, which takes a quarter of the space."""
    if part.step != 1 / 255:
        return part.values
    return to_uint8(part.values.transpose(2, 0, 1))


def _finished(pair: Pair, finish: Finish) -> np.ndarray:
    return np.concatenate([band for _, band in finish(pair)])


def _write(path: Path, content: np.ndarray | bytes) -> str:
    """Write an array or bytes, and return the SHA-256 of the file."""
    if isinstance(content, np.ndarray):
        file = io.BytesIO()
        np.save(file, content)
        content = file.getvalue()
    with write_atomically(path, durable=False) as written:
        written.write(content)
    return hashlib.sha256(content).hexdigest()
