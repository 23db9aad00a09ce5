"""Properties of every registered masker."""

import inspect

import pytest
import torch

from src.masker import MASKERS, Masked
from src.masker.replacement import STRATEGIES
from src.util.share import share_of


@pytest.mark.parametrize("name", MASKERS)
def test_m18_every_masker_has_the_same_interface(name: str, generator: torch.Generator) -> None:
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
def test_m17_every_option_is_described_and_stored(name: str) -> None:
    """The configuration's schema is read from the constructor, so it must have every option."""
    masker = MASKERS[name]()
    for key, parameter in inspect.signature(MASKERS[name]).parameters.items():
        assert any(getattr(note, "description", None) for note in parameter.annotation.__metadata__)
        assert getattr(masker, key) == parameter.default


SHARED = {
    "Masker": [{}, {"center_only": True}],
    "N2V_Masker": [
        *({"strat_name": name} for name in STRATEGIES), {"structN2V": {"direction": "Q", "edge": 2}}
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "options"), [(n, o) for n, options in SHARED.items() for o in options])
def test_a_share_is_masked_as_in_the_whole_batch(name: str, options: dict, generator) -> None:
    """For any number of processes, including more processes than images."""
    masker, batch = MASKERS[name](**options), torch.rand(3, 3, 64, 72, generator=generator)
    batch[1] = (batch[1] * 255).round() / 255  # 8-bit images use another search
    whole = masker.mask(batch, torch.Generator().manual_seed(5))
    for processes in (1, 2, 3, 4):
        shares = [share_of(3, rank, processes) for rank in range(processes)]
        parts = [masker.mask_share(batch[s.slice], torch.Generator().manual_seed(5), s) for s in shares]
        assert sum(share.images for share in shares) == 3
        assert torch.equal(torch.cat([part.image for part in parts]), whole.image)
        assert torch.equal(torch.cat([part.mask for part in parts]), whole.mask)
