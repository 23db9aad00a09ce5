"""Commands import no more than they need: nothing heavy for help or a refusal, no training to denoise.

The tests look at modules, not at time. PyTorch takes two seconds to import, TensorBoard and scipy.stats half.
"""

import json
import subprocess
import sys

import pytest

from tests.scripts.conftest import ROOT, SCRIPTS

HEAVY = ("torch", "tensorboard", "scipy", "skimage", "cv2", "tifffile", "h5py")
LOADED = """
import contextlib, io, json, runpy, sys
results = []
for sys.argv in json.loads(sys.argv[1]):
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
    results.append((code, err.getvalue(), list(sys.modules)))
print(json.dumps(results))
"""
REFUSED = {
    "main --no-such-flag": "unrecognized arguments",
    "main --thread many": "expected a number of workers",
    "main -g first": "-g first: expected the number of one GPU",
    "main -r": "name the run to resume with -s RUN",
    "main -c sid_train": "did you mean 'sidd_train'?",
    "main -c sidd_train -s a/b": "expected one plain folder name",
    "main -c sidd_train -s taken": "taken exists; add -r to resume it",
    "main -s absent -r": "there is no run output/absent to resume",
    "main -c sidd_train --set nothing": "expected KEY.PATH=VALUE",
    "main -c broken.yaml": "broken.yaml, line 2: not valid YAML",
    "test": "choose what to denoise: --test_img PATH",
    "test -e 3 --test_img some.pth": "name a network",
    "test --pretrained gone.pth": "gone.pth: there is no such checkpoint",
    "test -s absent": "-s absent: there is no run output/absent",
    "test -s taken -e 7": "taken_007.pth: there is no such checkpoint",
    "test --pretrained some.pth --test_img gone.png": "gone.png: there is no such file",
    "test --pretrained some.pth --test_dir gone": "gone: there is no such folder",
    "test --pretrained some.pth --tile small": "expected auto, or a number of pixels",
    "prep_SIDD --step": "expected one argument",
    "prep_submission_SIDD --out a.csv": "missing; --help shows an example",
}


def loaded(folder, *commands):
    """Run commands in one process. Return exit code, stderr and the modules so far of each."""
    calls = [[str(ROOT / f"{name}.py"), *map(str, words)] for name, *words in commands]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LOADED, json.dumps(calls)]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """Exit code, stderr and modules of each command of REFUSED."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "output" / "taken" / "checkpoint").mkdir(parents=True)
    (folder / "some.pth").write_bytes(b"not read")
    (folder / "broken.yaml").write_text("seed: 1\nmax_epochs:5\n")
    return dict(zip(REFUSED, loaded(folder, *(command.split() for command in REFUSED)), strict=True))


def test_help_loads_nothing_heavy(tmp_path):
    for script, (code, _, modules) in zip(
        SCRIPTS, loaded(tmp_path, *((s, "-h") for s in SCRIPTS)), strict=True
    ):
        assert code == 0 and set(modules).isdisjoint(HEAVY), script


@pytest.mark.parametrize("command", REFUSED)
def test_a_wrong_flag_or_name_is_refused_before_anything_heavy_is_loaded(refused, command):
    code, err, modules = refused[command]
    assert code in (2, 3, 4, 7) and REFUSED[command] in err
    assert set(modules).isdisjoint(HEAVY)


def test_a_wrong_value_is_refused_before_training_modules_are_loaded(tmp_path):
    words = ("main", "-c", "nl_folder", "--set", "training.batch_size=x")
    ((code, err, modules),) = loaded(tmp_path, words)
    assert (code, "training.batch_size: expected an integer" in err) == (2, True)
    assert set(modules).isdisjoint({"tensorboard", "scipy", "skimage.transform", "h5py"})
    assert not [name for name in modules if name.startswith("src.trainer.training")]


def test_denoising_loads_no_training_modules(ckpt, image, tmp_path):
    words = ("test", "--pretrained", ckpt, "--test_img", image, "-g", "cpu")
    ((code, err, modules),) = loaded(tmp_path, words)
    assert code == 0, err
    assert set(modules).isdisjoint({"tensorboard", "scipy.stats"})
    assert not [name for name in modules if name.startswith("src.trainer.training")]
