"""What a command loads: nothing heavy for a help or a refusal, nothing of training for denoising.

Modules are looked at, not clocks: PyTorch takes two seconds to load, TensorBoard and scipy.stats half of one.
"""

import json
import subprocess
import sys

import pytest

from tests.scripts.conftest import ROOT, SCRIPTS

HEAVY = ("torch", "tensorboard", "scipy", "skimage", "cv2", "tifffile", "h5py")
LOADED = """
import json, runpy, sys
script, *words = sys.argv[1:]
sys.argv = [script, *words]
try:
    runpy.run_path(script, run_name="__main__")
except SystemExit as end:
    print(json.dumps({"code": end.code or 0, "modules": sorted(sys.modules)}))
"""


def loaded(folder, script, *words):
    """The exit code of a command, what it said, and the modules that it left behind."""
    command = [sys.executable, "-c", LOADED, str(ROOT / f"{script}.py"), *map(str, words)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment, check=False)
    found = json.loads(ended.stdout.splitlines()[-1])
    return found["code"], ended.stderr, set(found["modules"])


@pytest.mark.parametrize("script", sorted(SCRIPTS))
def test_a_help_loads_nothing_heavy(script, tmp_path):
    code, _, modules = loaded(tmp_path, script, "-h")
    assert code == 0
    assert modules.isdisjoint(HEAVY)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("main --no-such-flag", "unrecognized arguments"),
        ("main --thread many", "expected a number of workers"),
        ("main -g first", "-g first: expected the number of one GPU"),
        ("main -r", "name the run to resume with -s RUN"),
        ("main -c sid_train", "did you mean 'sidd_train'?"),
        ("main -c sidd_train -s a/b", "expected one plain folder name"),
        ("main -c sidd_train -s taken", "taken exists; add -r to resume it"),
        ("main -s absent -r", "there is no run output/absent to resume"),
        ("main -c sidd_train --set nothing", "expected KEY.PATH=VALUE"),
        ("main -c broken.yaml", "broken.yaml, line 2: not valid YAML"),
        ("test", "say what to denoise: --test_img PATH"),
        ("test -e 3 --test_img some.pth", "name a network"),
        ("test --pretrained gone.pth", "gone.pth: there is no such checkpoint"),
        ("test -s absent", "-s absent: there is no run output/absent"),
        ("test -s taken -e 7", "taken_007.pth: there is no such checkpoint"),
        ("test --pretrained some.pth --test_img gone.png", "gone.png: there is no such file"),
        ("test --pretrained some.pth --test_dir gone", "gone: there is no such folder"),
        ("test --pretrained some.pth --tile small", "expected auto, or a number of pixels"),
        ("prep_SIDD --step", "expected one argument"),
        ("prep_submission_SIDD --out a.csv", "missing; --help shows an example"),
    ],
)
def test_a_wrong_flag_or_name_is_refused_before_anything_heavy_is_loaded(command, words, tmp_path):
    (tmp_path / "output" / "taken" / "checkpoint").mkdir(parents=True)
    (tmp_path / "some.pth").write_bytes(b"looked at later")
    (tmp_path / "broken.yaml").write_text("seed: 1\nmax_epochs:5\n")
    code, said, modules = loaded(tmp_path, *command.split())
    assert code in (2, 3, 4, 7) and words in said
    assert modules.isdisjoint(HEAVY)


def test_a_wrong_value_of_a_configuration_is_refused_before_anything_of_training_is_loaded(tmp_path):
    code, said, modules = loaded(tmp_path, "main", "-c", "nl_folder", "--set", "training.batch_size=x")
    assert (code, "training.batch_size: expected an integer" in said) == (2, True)
    assert modules.isdisjoint({"tensorboard", "scipy", "skimage.transform", "h5py"})
    assert not [name for name in modules if name.startswith("src.trainer.training")]


def test_denoising_loads_nothing_of_training(ckpt, image, tmp_path):
    code, said, modules = loaded(tmp_path, "test", "--pretrained", ckpt, "--test_img", image, "-g", "cpu")
    assert code == 0, said
    assert modules.isdisjoint({"tensorboard", "scipy.stats"})
    assert not [name for name in modules if name.startswith("src.trainer.training")]
