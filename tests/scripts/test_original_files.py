"""The original's four configurations train and test with only their paths changed."""

import re

import numpy as np
import pytest
import yaml
from scipy import io

from src.trainer.config.reading import read_config
from src.util.images.io import write_image
from tests.scripts.conftest import ROOT

FILES = sorted((ROOT / "tests" / "parity" / "yaml").glob("*.yaml"))
# Smaller networks and batches, so that a step takes no minutes. All else comes from the file.
SMALL = [
    "model.kwargs.features=[2, 4]", "training.dataset_args.crop_size=48",
    "training.dataset_args.repeat_times=1", "training.batch_size=2", "training.max_epochs=1",
]  # fmt: skip


def write_dataset(folder, name):
    """Write training, validation and test data of a dataset into one folder, as AP-BSN prepares it."""
    rng = np.random.default_rng(0)
    (folder / "RN").mkdir(parents=True)
    for number in range(2):
        piece = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        write_image(folder / "RN" / f"{number:04d}_s001.png", piece)
        if name == "DND":
            write_image(folder / f"0001_{number + 1:02d}.png", piece[:52, :52])
    if name == "SIDD":
        for variable in ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb", "BenchmarkNoisyBlocksSrgb"):
            blocks = rng.integers(0, 256, (1, 2, 48, 48, 3), dtype=np.uint8)
            io.savemat(folder / f"{variable}.mat", {variable: blocks})


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_an_original_configuration_trains_and_tests(file, tmp_path, call):
    write_dataset(tmp_path / "my dataset", "SIDD" if "sidd" in file.stem else "DND")
    text = file.read_text(encoding="utf-8").replace("/path/to/dataset/folder", str(tmp_path / "my dataset"))
    (tmp_path / "mine.yaml").write_text(text.replace("/path/to/output/folder", "runs"), encoding="utf-8")
    small = [word for setting in SMALL for word in ("--set", setting)]
    ended = call("main", "-c", "mine.yaml", "-s", "run", *small)
    assert ended.code == 0, ended.err
    assert re.search(r"1 epochs of 1 steps, batch 2; (N2V_)?Masker; seed 0", ended.out + ended.err)
    run = tmp_path / "runs" / "run"
    assert (run / "checkpoint" / "run_001.pth").is_file()
    tested = call("test", "-c", "mine.yaml", "-s", "run", *small)
    assert tested.code == 0, tested.err
    (scored,) = (run / "img").glob("test_*")
    assert len(list(scored.glob("*_DN.png"))) == 2  # without ground truth the name has no PSNR


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_shipped_configuration_differs_only_in_paths_and_validation_data(file):
    theirs, ours = read_config(str(file)), read_config(file.stem)
    for config in (theirs, ours):
        assert (config.model.kwargs["features"], config.training.batch_size) == ([96, 192], 32)
    differing = {"output_folder", "validation", "test"}
    one, other = (config.model_dump(mode="json", exclude=differing) for config in (theirs, ours))
    for plain in (one, other):
        del plain["training"]["dataset_args"]["data_dir"]
    assert one == other
    for part in ("validation", "test"):
        one, other = getattr(theirs, part), getattr(ours, part)
        assert one.model_dump(exclude={"dataset_args"}) == other.model_dump(exclude={"dataset_args"})


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_the_resolved_configuration_has_the_same_layout(file, call):
    ended = call("main", "-c", file, "--print-config", device=(), workers=())
    resolved, theirs = yaml.safe_load(ended.out), yaml.safe_load(file.read_text(encoding="utf-8"))

    def lacking(written, whole, path=""):
        """Yield the keys of the file that the resolved configuration lacks."""
        for key, value in written.items() if isinstance(written, dict) else ():
            if key in whole:
                yield from lacking(value, whole[key], f"{path}{key}.")
            else:
                yield path + key

    dead = {"model.restore", "validation.save_only_preds", "validation.val_pad", "test.test_pad"}
    assert set(lacking(theirs, resolved)) == dead
