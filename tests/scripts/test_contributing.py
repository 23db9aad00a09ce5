"""CONTRIBUTING's recipes, to the letter: put into a copy of the project, and used for all that it does."""

import ast
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml

from src.util.images.io import read_image, write_image
from tests.scripts.conftest import ROOT

pytestmark = pytest.mark.long

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r'```python\n# (src/\S+\.py), "(\w+)": (\w+) in (\w+)\n(.*?)```', PAGE, re.DOTALL)
REGISTRIES = dict(re.findall(r"\| `([A-Z]+)` in `(src/\S+\.py)` \|", PAGE))
INTERFACES = re.findall(r"^\| [\w ]+ \| `(\w+)` in `(src/\S+\.py)` \|", PAGE, re.MULTILINE)
CONFIG = {
    "model": {"kwargs": {"bsn": "Plain", "features": [4, 4]}},
    "masker": {"masker_type": "Dropped", "masker_args": {"share": 0.05}},
    "training": {
        "dataset": "Archive",
        "dataset_args": {
            "data_dir": "images.npz", "crop_size": 32, "augmentations": ["flip"], "repeat_times": 2,
            "cache": "disk", "cache_folder": "cache",
        },
        "batch_size": 4, "max_epochs": 2, "init_lr": 1e-3, "loss": "1*self_charbonnier",
        "optimizer": {"type": "SGD", "SGD": {"momentum": 0.8}},
    },
    "validation": {"dataset_args": {"crop_size": None}},
    "log": {"iter_interval": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with every recipe in it, and something to train on."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("src", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("main.py", "test.py", "pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, folder / name)
    if (ROOT / ".mypy_cache").is_dir():  # of `make test`: what mypy knows of PyTorch
        shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
    for path, key, made, registry, text in BLOCKS:
        (folder / path).write_text(text, encoding="utf-8")
        register(folder / REGISTRIES[registry], registry, key, made, path)
    sort = [sys.executable, "-m", "ruff", "check", "-q", "--select", "I", "--fix", "src"]
    subprocess.run(sort, cwd=folder, check=True)
    random = np.random.default_rng(0)
    clean = np.repeat(random.integers(60, 190, (4, 8, 8, 3)), 8, axis=1).repeat(8, axis=2)
    noisy = (clean + random.normal(0, 12, clean.shape)).clip(0, 255)
    np.savez(folder / "images.npz", noisy=noisy.astype(np.uint8), clean=clean.astype(np.uint8))
    (folder / "mine.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    return folder


def register(file, registry, key, made, path):
    """One import and one entry, as the page says."""
    text = file.read_text(encoding="utf-8")
    module = path.removesuffix(".py").replace("/", ".")
    entry = f'    "{key}": {made},\n'
    (head,) = re.findall(rf"^{registry}: [^\n]* = \{{", text, re.MULTILINE)
    start = text.index(head)
    end = text.index("}", start + len(head))
    inner = text[start + len(head) : end].strip().rstrip(",")
    text = f"{text[:start]}{head}\n    {inner},\n{entry}{text[end:]}"
    lines = text.splitlines()
    last = max(
        node.end_lineno for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)
    )
    lines.insert(last, f"from {module} import {made}")
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")


def run(folder, *words):
    environment = {**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, words), "-g", "cpu", "--thread", "0"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def trained(project):
    """Train the run `run` with the recipes. Return its output."""
    return run(project, "main.py", "-c", "mine.yaml", "-s", "run")


def test_every_interface_of_the_page_has_its_recipe_or_is_one_line(project):
    for name, path in INTERFACES:
        assert re.search(rf"^(class )?{name}\b", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), (
            name
        )
    used = {registry for *_, registry, _ in BLOCKS}
    assert used == REGISTRIES.keys() - {"SCHEDULERS"}  # as optimisers, without their parameters
    assert len(REGISTRIES) == len(INTERFACES)


def test_the_recipes_pass_the_checks(project):
    for program in ("ruff check src", "mypy src"):
        words = [sys.executable, "-m", *program.split()]
        ended = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout


def test_the_recipes_train_are_resumed_cached_scored_and_reported(project, trained):
    assert "NL_BSN Plain" in trained and "; Dropped; seed 0" in trained and "charbonnier" in trained
    assert re.search(r"validation after epoch 2: PSNR \d+\.\d+ dB", trained), trained
    (cache,) = (project / "cache").glob("*.pictures")
    written = cache.stat().st_mtime_ns
    run(project, "main.py", "-s", "run", "-r", "--set", "training.max_epochs=3")
    assert cache.stat().st_mtime_ns == written  # by the images' own values it was known to be right
    run(project, "test.py", "-s", "run", "--out", "scored")
    assert (project / "scored" / "report.html").is_file()
    assert len(list((project / "scored").glob("*_DN_*.png"))) == 4


@pytest.mark.usefixtures("trained")
def test_the_network_of_the_page_is_cut_into_tiles_that_give_the_whole(project):
    image = np.random.default_rng(1).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    write_image(project / "large.png", image)
    results = []
    for tile in (0, 48):
        run(
            project, "test.py", "-s", "run", "--test_img", "large.png", "--tile", tile, "--out", f"tile{tile}"
        )
        results.append(read_image(project / f"tile{tile}" / "large_DN.png").astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1  # of rounding to 8 bits
    assert np.abs(results[0] - image).max() > 0


def test_the_objective_of_the_page_trains(project):
    words = ["training.objective=noisier", "training.loss=1*target_L2", "training.max_epochs=1"]
    said = run(
        project, "main.py", "-c", "mine.yaml", "-s", "noisier", *(w for x in words for w in ("--set", x))
    )
    assert "target_L2" in said


def test_the_strategy_of_the_page_hides(project):
    words = ["--set", "masker.masker_type=N2V_Masker", "--set", "masker.masker_args={strat_name: opposite}"]
    run(project, "main.py", "-c", "mine.yaml", "-s", "n2v", *words, "--set", "training.max_epochs=1")
