"""The examples of docs/python.md run as they are, and do what the page says."""

import re
import runpy
import shutil

import pytest
import torch

from src.util.logger import start_console
from tests.scripts.test_docs import TEXT

DENOISING, TRAINING = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def ran(example, folder):
    """Run an example as a file. Return its global variables."""
    (folder / "example.py").write_text(example, encoding="utf-8")
    return runpy.run_path(str(folder / "example.py"))


def test_the_python_examples_run(trained, tmp_path):
    shutil.copy(trained / "checkpoint" / "run_002.pth", tmp_path / "ckpt.pth")
    start_console()
    assert ran(DENOISING, tmp_path)["denoised"].std() > 0
    losses = ran(TRAINING, tmp_path)["losses"]
    assert losses[-1] < losses[0] / 3


@pytest.mark.long
def test_the_training_loop_of_the_example_learns_to_denoise(tmp_path):
    """With real crops in place of its random ones, and more steps."""
    waves = torch.linspace(0, 3, 64).mul(torch.arange(1, 5)[:, None]).sin()
    clean = 0.5 + 0.2 * (waves[:, None, :, None] + waves.flip(0)[:, None, None]).expand(4, 3, 64, 64)
    noisy = clean + 0.15 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    torch.save(noisy, tmp_path / "noisy.pt")
    example = re.sub(r"crops = .*", f"crops = torch.load({str(tmp_path / 'noisy.pt')!r})", TRAINING)
    assert "torch.load" in example
    trained = ran(example.replace("range(60)", "range(150)"), tmp_path)
    with torch.no_grad():
        denoised = trained["network"].eval()(noisy)
    gain = 10 * torch.log10((noisy - clean).square().mean() / (denoised - clean).square().mean())
    assert gain > 6
