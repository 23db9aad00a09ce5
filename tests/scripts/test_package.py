"""`python -m pip install .` installs all that denoising and training need."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USED = """
import numpy as np
from src.trainer.config.reading import read_config
from src.trainer.inference.denoiser import Denoiser
noisy = np.random.default_rng(0).integers(90, 160, (40, 48, 3), np.uint8)
denoised = Denoiser.load(device="cpu")(noisy)
assert denoised.shape == noisy.shape and denoised.std() < noisy.std() / 2
print(read_config("folder").training.init)
"""


@pytest.mark.long
def test_an_installed_package_denoises_and_finds_the_configurations(tmp_path):
    tree, wheels, site = (tmp_path / name for name in ("tree", "wheels", "site"))
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, tree / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, tree)
    offline = ("--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", wheels)
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", *offline, tree], check=True)
    (wheel,) = wheels.iterdir()
    with zipfile.ZipFile(wheel) as content:
        content.extractall(site)
    ended = subprocess.run(
        [sys.executable, "-c", USED], cwd=tmp_path, env={"PYTHONPATH": str(site)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split()[-1] == "general"
