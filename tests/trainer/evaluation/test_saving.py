import numpy as np
import pytest
import torch

from src.trainer.evaluation.saving import save_images
from src.util.errors import StorageError
from src.util.images.io import read_image


def test_images_are_named_and_rounded(tmp_path):
    noisy, denoised, clean = torch.full((3, 8, 8), 1.02), torch.full((3, 8, 8), 0.499), torch.zeros(3, 8, 8)
    save_images(tmp_path, 7, noisy, denoised, clean, 29.456)
    names = ["0007_CLEAN.png", "0007_DN_29.46.png", "0007_NOISY.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    values = [np.unique(read_image(tmp_path / name)).tolist() for name in names]
    assert values == [[0], [127], [255]]  # clipped at white, not wrapped (F9)


def test_f11_saving_does_not_modify_images(tmp_path):
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    before = image.clone()
    save_images(tmp_path, 0, image, image, None, None)
    assert torch.equal(image, before)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0000_DN.png", "0000_NOISY.png"]


def test_f8_an_image_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(StorageError):
        save_images(tmp_path / "gone", 0, torch.rand(3, 8, 8), torch.rand(3, 8, 8), None, None)
