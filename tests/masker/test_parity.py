"""The published masker's results, bit for bit, from the parity files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from src.masker import N2VMasker, NonLocalMasker, StructN2V
from src.masker.similarity import find_similar

FOLDER = Path(__file__).parents[1] / "parity"


def files(pattern: str) -> list[pytest.param]:
    """Return the parity files of one kind, with their names as test ids."""
    found = sorted(FOLDER.glob(pattern))
    assert found, f"no {pattern} in {FOLDER}"
    return [pytest.param(path, id=path.stem) for path in found]


def as_batch(image: np.ndarray, scale: float = 1) -> torch.Tensor:
    """Convert an (H, W, C) image to a float32 batch of one."""
    return torch.from_numpy(image).permute(2, 0, 1)[None].float() / scale


@pytest.mark.parametrize("scale", [1, 255])
@pytest.mark.parametrize("path", files("nl_masker_*.npz"))
def test_non_local_masker(path: Path, scale: float, device: torch.device) -> None:
    """Similar patches, image and mask, in grey levels and in [0, 1]."""
    case = np.load(path)
    batch, points = as_batch(case["image"], scale).to(device), torch.from_numpy(case["points"]).to(device)
    masker = NonLocalMasker(
        **{
            key: case[key].item()
            for key in ("sim_patch_edge", "repl_patch_edge", "speedup_factor", "pixel_perc")
        },
        center_only=case["center_only"].item(),
    )
    edges = masker.sim_patch_edge, masker.repl_patch_edge, masker.speedup_factor
    np.testing.assert_array_equal(find_similar(batch, points[None], *edges)[0, :, 0].cpu(), case["similar"])
    masked = masker.mask_at(batch, points)
    assert torch.equal(masked.image.cpu(), as_batch(case["masked"], scale))
    np.testing.assert_array_equal(masked.mask[0, 0].cpu(), case["mask"])


@pytest.mark.parametrize("path", files("n2v_masker_prox_*.npz"))
def test_n2v_masker(path: Path, device: torch.device) -> None:
    case = np.load(path)
    scale = 1 if case["masked"].max() > 1 else 255
    masker = N2VMasker(
        strat_name=path.stem.removeprefix("n2v_masker_"), prox_radius=case["prox_radius"].item()
    )
    masked = masker.mask_at(as_batch(case["image"], scale).to(device), torch.from_numpy(case["points"]))
    torch.testing.assert_close(masked.image.cpu(), as_batch(case["masked"]), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(masked.mask[0, 0].cpu(), case["mask"])


@pytest.mark.parametrize("path", files("structn2v_*.npz"))
def test_structn2v_footprint(path: Path, device: torch.device, generator: torch.Generator) -> None:
    """The input changes exactly in the published footprint."""
    case = np.load(path)
    structure = StructN2V(direction=case["direction"].item(), edge=case["edge"].item())
    masker = N2VMasker(prox_radius=case["prox_radius"].item(), strat_name="prox_mean", structN2V=structure)
    batch = as_batch(case["image"], 255).to(device)
    masked = masker.mask_at(batch, torch.from_numpy(case["points"]), generator)
    np.testing.assert_array_equal((masked.image != batch).any(1)[0].cpu(), case["footprint"])
    np.testing.assert_array_equal(masked.mask[0, 0].cpu(), case["mask"])
