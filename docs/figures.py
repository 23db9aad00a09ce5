"""Draw the figures of docs/method.md and README's real photograph.

python -m docs.figures --run output/RUN
python -m docs.figures --photo Kleiber_by_Lukas_Baubkus.jpg

RUN is a run of `-c folder` with `adapt.teacher_above=0`. The figures of the method show the demo's
photographs and its networks. The real photograph is by Lukas Baubkus, from Debian's package
`lomiri-wallpapers-20.04` (CC BY-SA 3.0).
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from src.masker import NonLocalMasker
from src.masker.similarity import find_similar
from src.trainer.config.build import build_images
from src.trainer.config.reading import read_config
from src.trainer.inference.denoiser import Denoiser
from src.trainer.report.panel import enlarged, panel
from src.util.images.io import encode_image, read_image, to_uint8
from src.util.seed import make_generator

FOLDER = Path(__file__).parent
PHOTOGRAPH = 1
"""Which one of the demo's photographs: the cat."""
EDGE, SCALE = 128, 2
"""Edge of the crops, px, and how much larger they are drawn."""
PLACE = 60, 120
"""Top and left of the crops, px: an eye."""
RED, GREEN, YELLOW, BLUE = (220, 30, 30), (30, 170, 30), (240, 200, 20), (40, 90, 230)
PHOTO_PLACES = (1990, 2950), (1860, 2740), (1900, 2410)
"""Tops and lefts of the crops of the real photograph, px: head, back, and belly of the nuthatch."""
GAIN = 8
"""How much stronger differences are shown, around mid-grey."""

PUBLISHED = NonLocalMasker(speedup_factor=3)
CHANGED = NonLocalMasker(speedup_factor=3, exclude=21, similar=4, core_edge=5, spots="grid", pitch=18)


def main() -> None:
    """Draw the chosen figures into docs."""
    parser = argparse.ArgumentParser(description="Draw the figures of the method, or of a photograph.")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--run", type=Path, help="folder of a run of -c folder")
    chosen.add_argument("--photo", type=Path, help="README's photograph")
    flags = parser.parse_args()
    if flags.photo is not None:
        _write("photo", panel([_real(read_image(flags.photo))]))
    else:
        _draw_method(flags.run)


def _draw_method(run: Path) -> None:
    noisy, _ = _photograph("{sigma: 8, shot: 10, correlate: true, kernel_sigma: 0.8, fixed: true}")
    _write("method_masker", panel([_masker(_crop(noisy, 1))]))
    _write("method_stages", _row(_stages(*_photograph(None), run), 2))
    sensor = "{camera: {raw: 1, mosaic: 1, reduced: 0, shot: [0.0008, 0.0008], jpeg: 0}, fixed: true}"
    _write("method_finish", _row(_finish(*_photograph(sensor)), 1))


def _real(photo: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Denoise a photograph with the general network and return its crops, each before and after."""
    denoised = Denoiser.load(device="cpu")(photo)
    tiles = []
    for top, left in PHOTO_PLACES:
        for name, image in (("photograph", photo), ("denoised", denoised)):
            crop = image[top : top + EDGE, left : left + EDGE]
            tiles.append((name, np.ascontiguousarray(enlarged(crop, SCALE * EDGE))))
    return tiles


def _photograph(noise: str | None) -> tuple[Tensor, Tensor]:
    """Return a photograph with and without noise; None is the demo's noise, on the photograph enlarged."""
    arguments = "training.dataset_args"
    settings = [] if noise is None else [f"{arguments}.scale=1", f"{arguments}.add_noise={noise}"]
    sample = build_images(read_config("demo", settings), "test")[0, PHOTOGRAPH]
    return sample["noisy"], sample["clean"]


def _row(images: list[tuple[str, Tensor]], scale: int) -> np.ndarray:
    return panel([[(name, _tile(_crop(image, scale))) for name, image in images]])


def _crop(image: Tensor, scale: int) -> Tensor:
    """Return the crop at `PLACE` of a photograph that was enlarged by `scale`."""
    top, left = (scale * (start + EDGE // 2) - EDGE // 2 for start in PLACE)
    return image[:, top : top + EDGE, left : left + EDGE]


def _masker(noisy: Tensor) -> list[tuple[str, np.ndarray]]:
    generator = make_generator(0, "figures")
    published = PUBLISHED.mask(noisy[None], generator)
    changed = CHANGED.mask(noisy[None], generator)
    return [
        ("noisy; what is hidden", _outlined(noisy, published.mask[0, 0], RED)),
        ("the search for similar patches", _search(noisy)),
        ("filled, as published", _tile(published.image[0])),
        ("filled with all options; cores", _outlined(changed.image[0], changed.mask[0, 0], RED)),
    ]


def _search(noisy: Tensor) -> np.ndarray:
    """A region (red), its patch (yellow), the match as published (green), four with `exclude` (blue)."""
    spot = torch.tensor([[[EDGE // 2, EDGE // 2]]])
    sheet = _tile(noisy)
    for masker, colour in ((CHANGED, BLUE), (PUBLISHED, GREEN)):
        found = find_similar(
            noisy[None], spot, masker.sim_patch_edge, masker.repl_patch_edge, masker.speedup_factor,
            masker.exclude, masker.similar,
        )  # fmt: skip
        for centre in found.reshape(-1, 2).tolist():
            _square(sheet, centre, masker.repl_patch_edge, colour)
    _square(sheet, spot[0, 0].tolist(), PUBLISHED.sim_patch_edge, YELLOW)
    _square(sheet, spot[0, 0].tolist(), PUBLISHED.repl_patch_edge, RED)
    return sheet


def _stages(noisy: Tensor, clean: Tensor, run: Path) -> list[tuple[str, Tensor]]:
    def denoised(folder: Path, masked: bool = False) -> Tensor:
        checkpoint = sorted((folder / "checkpoint").glob("*[0-9].pth"))[-1]
        return _as_image(Denoiser.load(checkpoint, device="cpu", masked=masked)(_as_array(noisy)))

    general = _as_image(Denoiser.load(device="cpu")(_as_array(noisy)))
    return [
        ("noisy", noisy),
        ("general network", general),
        ("first student", denoised(run / "first")),
        ("teacher", denoised(run / "teacher", masked=True)),
        ("student", denoised(run)),
        ("clean", clean),
    ]


def _finish(noisy: Tensor, clean: Tensor) -> list[tuple[str, Tensor]]:
    plain, light, whole = (
        _as_image(Denoiser.load(device="cpu", finish=parts)(_as_array(noisy)))
        for parts in ("none", "light", "all")
    )
    return [
        ("noisy", noisy),
        ("denoised, no finish", plain),
        (f"light given back, x{GAIN}", (0.5 + GAIN * (light - plain)).clamp(0, 1)),
        (f"detail given back, x{GAIN}", (0.5 + GAIN * (whole - light)).clamp(0, 1)),
        ("finished", whole),
        ("clean", clean),
    ]


def _outlined(image: Tensor, mask: Tensor, colour: tuple[int, int, int]) -> np.ndarray:
    sheet = _tile(image)
    large = enlarged(mask.numpy().astype(np.uint8)[..., None], SCALE * EDGE)
    edges, _ = cv2.findContours(np.ascontiguousarray(large[..., 0]), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(sheet, edges, -1, colour, 2))


def _square(sheet: np.ndarray, centre: list[int], edge: int, colour: tuple[int, int, int]) -> None:
    row, column = ((SCALE * (value - edge // 2), SCALE * (value + edge // 2 + 1) - 1) for value in centre)
    cv2.rectangle(sheet, (column[0], row[0]), (column[1], row[1]), colour, 2)


def _tile(image: Tensor) -> np.ndarray:
    return np.ascontiguousarray(enlarged(to_uint8(image), SCALE * EDGE))


def _as_array(image: Tensor) -> np.ndarray:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def _as_image(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).permute(2, 0, 1).clamp(0, 1)


def _write(name: str, sheet: np.ndarray) -> None:
    path = FOLDER / f"{name}.jpg"
    path.write_bytes(encode_image(path, sheet))


if __name__ == "__main__":
    main()
