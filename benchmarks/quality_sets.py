"""Noisy and clean images for `benchmarks.quality`: folders, and scikit-image's photographs made noisy."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from src.data_handlers.datasets.camera_noise import CameraNoise, add_camera_noise
from src.data_handlers.datasets.demo import Demo
from src.data_handlers.datasets.folder import Folder
from src.util.images.io import to_uint8, write_image
from src.util.seed import derive_seed, numpy_generator

EDGE = 256
"""Edge of the crops of photographs, px."""

Noise = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Adds noise to a clean image, float32 (H, W, C) in [0, 1], without clipping or rounding."""

# A sensor at a high ISO: demosaicked, not compressed.
_SENSOR = CameraNoise(raw=1, shot=(0.01, 0.01), mosaic=1, reduced=0, jpeg=0)


class Pair(NamedTuple):
    """A noisy and a clean image, uint8 (H, W, C)."""

    name: str
    noisy: np.ndarray
    clean: np.ndarray


class PairSet(NamedTuple):
    """Pairs whose scores are averaged."""

    name: str
    pairs: list[Pair]


def _white(sigma: float) -> Noise:
    return lambda clean, rng: clean + np.float32(sigma / 255) * rng.standard_normal(clean.shape, np.float32)


def _blurred(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal(clean.shape, np.float32), (0, 0), 2.0)
    return clean + np.float32(15 / 255) * noise / noise.std()


def _striped(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rows = rng.standard_normal((len(clean), 1, clean.shape[2]), np.float32)
    return _white(4)(clean, rng) + np.float32(10 / 255) * rows


def _salted(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = rng.random(clean.shape[:2])[..., None]
    return np.where(drawn < 0.01, 0, np.where(drawn > 0.99, 1, clean)).astype(np.float32)


def _compressed(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    stored = np.rint(_white(20)(clean, rng).clip(0, 1) * 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", stored[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 40])
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))[..., ::-1].astype(np.float32) / 255


def _counted(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.poisson(30 * clean).astype(np.float32) / 30


KINDS: dict[str, Noise] = {
    "white, 25 levels": _white(25),
    "sensor": lambda clean, rng: add_camera_noise(clean, _SENSOR, rng),
    "blurred by 2 px": _blurred,
    "row stripes": _striped,
    "salt and pepper, 2 %": _salted,
    "JPEG 40 after white 20": _compressed,
    "Poisson, 30 at white, grey": _counted,
    "none": lambda clean, rng: clean,
}
"""Kinds of noise on the built-in photographs."""


def built_in(kind: str) -> PairSet:
    """Return crops of scikit-image's colour photographs with one kind of noise, the same at each call."""
    pairs = []
    for number, (name, crop) in enumerate(_crops()):
        clean = crop.astype(np.float32) / 255
        clean = clean.mean(axis=2, keepdims=True) if kind.endswith("grey") else clean
        noisy = KINDS[kind](clean, numpy_generator(derive_seed(0, kind, number)))
        pairs.append(Pair(name, *(to_uint8(values.transpose(2, 0, 1)) for values in (noisy, clean))))
    return PairSet(kind, pairs)


def _crops() -> Iterator[tuple[str, np.ndarray]]:
    photographs = Demo()
    for number in range(len(photographs)):
        image = photographs.read(number).noisy
        for row in range(image.shape[0] // EDGE):
            for column in range(image.shape[1] // EDGE):
                top, left = row * EDGE, column * EDGE
                yield f"{photographs.name(number)} {row}{column}", image[top : top + EDGE, left : left + EDGE]


def demo_set() -> PairSet:
    """Return the test images of `configs/demo.yaml`."""
    from src.trainer.config.build import build_images
    from src.trainer.config.reading import read_config

    samples = build_images(read_config("demo"), "test")
    found = (samples[0, place] for place in range(samples.images))
    return PairSet(
        "the demo", [Pair(each["name"], to_uint8(each["noisy"]), to_uint8(each["clean"])) for each in found]
    )


def folders(name: str, noisy: Path, clean: Path, every: int) -> PairSet:
    """Return every `every`-th pair of two folders."""
    source = Folder(str(noisy), str(clean))
    read = (source.read(number) for number in range(0, len(source), every))
    return PairSet(name, [Pair(each.name, each.noisy, np.asarray(each.clean)) for each in read])


def write(pairs: PairSet, folder: Path) -> None:
    """Write the images of a set as PNGs into `folder/SET/noisy` and `folder/SET/clean`."""
    for kind in ("noisy", "clean"):
        target = folder / pairs.name / kind
        target.mkdir(parents=True, exist_ok=True)
        for pair in pairs.pairs:
            write_image(target / f"{pair.name}.png", getattr(pair, kind))
