"""What holds for every registered masker."""

import inspect

import pytest
import torch

from src.masker import MASKERS, Masked


@pytest.mark.parametrize("name", MASKERS)
def test_m18_every_masker_is_called_the_same_way(name: str, generator: torch.Generator) -> None:
    masker = MASKERS[name]()
    masker.check_size(64, 72)
    batch = torch.rand(2, 3, 64, 72, generator=generator)
    for masked in (
        masker.mask(batch, generator),
        masker.mask(batch),
        masker.mask_at(batch, torch.tensor([[30, 40]])),
    ):
        assert isinstance(masked, Masked) and masked.image.shape == batch.shape
        assert masked.mask.shape == (2, 1, 64, 72) and masked.image.isfinite().all()


@pytest.mark.parametrize("name", MASKERS)
def test_m17_every_option_is_described_typed_and_kept(name: str) -> None:
    """The configuration's schema is read from the constructor; no option may get lost."""
    masker = MASKERS[name]()
    for key, parameter in inspect.signature(MASKERS[name]).parameters.items():
        assert any(getattr(note, "description", None) for note in parameter.annotation.__metadata__)
        assert getattr(masker, key) == parameter.default
