"""The first losses of a training equal stored ones.

They depend on order, crops, flips, noise, blind spots, weights, loss and schedule. Another PyTorch version or
processor changes only the last digits.
"""

import json
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden_losses.json")
SETTINGS = [
    "seed=7", "training.max_epochs=4", "training.init_lr=5e-6", "training.batch_size=2",
    "training.dataset=Demo", "training.scheduler.type=cosine", "validation.val=false",
    "training.dataset_args={photographs: [astronaut, coffee], scale: 0.25, crop_size: 48, repeat_times: 5,"
    " augmentations: [flip, rotate], add_noise: {sigma: 25, correlate: true, shot: 10, quantise: true}}",
]  # fmt: skip
MASKERS = {
    "Masker": ["masker.masker_args={sim_patch_edge: 9, repl_patch_edge: 5}"],
    "N2V_Masker": ["masker.masker_args={prox_radius: 2}"],
}


@pytest.mark.parametrize("masker", MASKERS)
def test_k15_the_first_losses_equal_the_stored_ones(new_run, masker):
    run = new_run("run")
    run.train(f"masker.masker_type={masker}", *MASKERS[masker], *SETTINGS)
    losses = [losses["total"] for losses in run.last["state"]["recent"]]
    golden = json.loads(GOLDEN.read_text())[masker]
    assert len(losses) == len(golden) == 20
    assert losses == pytest.approx(golden, rel=1e-4)
