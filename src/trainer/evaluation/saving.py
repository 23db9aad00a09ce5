"""Write the images of a validation or a test."""

from pathlib import Path

import numpy as np
from torch import Tensor

from src.trainer.evaluation.no_data import blackened
from src.util.atomic_file import write_atomically
from src.util.images.io import shown, to_uint8, write_image


def save_images(
    folder: Path, index: int, noisy: Tensor, denoised: Tensor, clean: Tensor | None, psnr: float | None
) -> None:
    """Write one evaluated image: `NNNN_NOISY.png`, `NNNN_DN.png` (`NNNN_DN_PP.PP.png`), `NNNN_CLEAN.png`.

    Parameters
    ----------
    folder : Path
        Folder of a validation or a test.
    index : int
        NNNN, the image's index in its dataset.
    noisy, denoised, clean : Tensor, shape (C, H, W)
        Values in [0, 1], clipped and rounded to 8 bits; NaN becomes black. Of more than three channels the
        first three are written, of two the first.
    psnr : float or None
        PP.PP in dB, if there is a clean image.
    """
    result = "DN" if psnr is None else f"DN_{psnr:.2f}"
    images = {"NOISY": noisy, result: denoised} | ({} if clean is None else {"CLEAN": clean})
    for suffix, image in images.items():
        write_image(folder / f"{index:04d}_{suffix}.png", to_uint8(blackened(shown(image))))


def save_values(folder: Path, index: int, denoised: Tensor) -> None:
    """Write a network's output (C, H, W) to `NNNN_DN.npy`, as float32 (H, W, C) of data range 1."""
    values = np.ascontiguousarray(denoised.permute(1, 2, 0).numpy(), dtype=np.float32)
    path = folder / f"{index:04d}_DN.npy"
    with write_atomically(path, durable=False) as file:
        np.save(file, values, allow_pickle=False)
