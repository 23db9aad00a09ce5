import importlib.util
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from src.trainer.config.reading import to_yaml
from src.util import script
from src.util.images.io import read_image, write_image

ROOT = Path(__file__).parents[2]
ORIGINAL = ROOT / "tests" / "parity" / "unet2_005.pth"
OF_ORIGINAL = ["-c", "sidd_train", "--set", "model.kwargs.features=[8, 16]", "--pretrained", ORIGINAL]


def load(name):
    """Load a script as a module by its path, as `test` is also a package of Python."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", ROOT / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPTS = {path.stem: load(path.stem) for path in ROOT.glob("*.py")}


class Ended(NamedTuple):
    """Exit code and output of a script."""

    code: int
    out: str
    err: str

    @property
    def complaints(self):
        """`err` without the warning that a network of a few steps has learned nothing."""
        return unexpected(self.err)


def unexpected(err):
    return "".join(line for line in err.splitlines(True) if "has not learned to denoise" not in line)


@pytest.fixture
def scripts():
    return SCRIPTS


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Call a script in an empty folder, as `call("main", "-c", "tiny")`, on the CPU by default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("os.fsync", lambda descriptor: None)

    def called(name, *arguments, device=("-g", "cpu"), workers=("--thread", "0")):
        words = [f"{name}.py", *map(str, arguments), *device, *workers]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        try:
            code = script.run(SCRIPTS[name].main)
        except SystemExit as error:  # of argparse
            code = error.code or 0
        return Ended(code, *capsys.readouterr())

    return called


@pytest.fixture
def tiny_yaml(tmp_path, tiny_config):
    """Write the tiny configuration, with relative paths, into the current folder of `call`."""
    paths = "output_folder=output", "training.dataset_args.data_dir=noisy"
    (tmp_path / "tiny.yaml").write_text(to_yaml(tiny_config(*paths)), encoding="utf-8")
    return tmp_path / "tiny.yaml"


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A folder for the run that all tests copy."""
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def trained(call, tiny_yaml, tmp_path, finished):
    """The folder of a run named `run`, of two epochs. Only the first test trains it."""
    if not (finished / "output").exists():
        ended = call("main", "-c", "tiny.yaml", "-s", "run")
        assert ended.code == 0, ended.err
        shutil.copytree(tmp_path / "output", finished / "output")
    else:
        shutil.copytree(finished / "output", tmp_path / "output")
    return tmp_path / "output" / "run"


@pytest.fixture
def image(tmp_path, noisy_folder):
    """A colour image of odd size, outside the current folder."""
    path = tmp_path / "photos" / "my.photo.png"
    path.parent.mkdir()
    write_image(path, read_image(noisy_folder / "b.png")[:51, :67])
    return path


@pytest.fixture
def ckpt(trained):
    return trained / "checkpoint" / "run_002.pth"


def pngs(folder):
    """List the PNG files of a folder, except the contact sheet."""
    return sorted(path.name for path in folder.glob("*.png") if path.name != "panel.png")
