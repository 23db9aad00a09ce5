"""`sidd_best` and `dnd_best` run through on their datasets, in small."""

import numpy as np
import pytest
from scipy import io

from src.trainer.evaluation.metrics import psnr
from src.util.images.io import read_image, write_image
from tests.scripts.conftest import pngs

SMALLER = [
    "model.kwargs.features=[4, 8]",
    "training.max_epochs=2",
    "training.batch_size=2",
    "training.dataset_args.data_dir=pieces",
    "validation.start_epoch=2",
    "validation.interval_epoch=2",
    "adapt.size=32",
    "adapt.crops=4",
    "adapt.megapixels=1",
    "adapt.teacher.model.kwargs.features=[4, 8]",
]


def write_pieces(folder, count, edge):
    """Write gradients with noise, (edge, edge, 3); return them and the gradients without it."""
    random = np.random.default_rng(0)
    folder.mkdir()
    clean = np.broadcast_to(np.linspace(40, 200, edge)[:, None, None], (count, edge, edge, 3))
    noisy = (clean + random.normal(0, 12, clean.shape)).round().astype(np.uint8)
    for number, image in enumerate(noisy, start=1):
        write_image(folder / f"0001_{number:02d}.png", image)
    return noisy, clean.round().astype(np.uint8)


def write_blocks(folder, noisy, clean):
    """Write validation and benchmark blocks of SIDD."""
    names = "ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb", "BenchmarkNoisyBlocksSrgb"
    for name, blocks in zip(names, (noisy, clean, noisy), strict=True):
        io.savemat(folder / f"{name}.mat", {name: blocks[None]})


@pytest.mark.parametrize("name", ["sidd_best", "dnd_best"])
def test_the_recipe_for_a_gpu_adapts_validates_and_denoises(name, call, tmp_path):
    write_pieces(tmp_path / "pieces", 4, 96)
    noisy, clean = write_pieces(tmp_path / "tested", 2, 64)
    write_blocks(tmp_path, noisy, clean)
    tested = "." if name == "sidd_best" else "tested"
    own = [f"{part}.dataset_args.data_dir={tested}" for part in ("validation", "test")]
    settings = [word for setting in SMALLER + own for word in ("--set", setting)]
    ended = call("main", "-c", "folder", "-c", name, "-s", "best", *settings)
    assert ended.code == 0, ended.err
    run = tmp_path / "output" / "best"
    stages = [run / "first", run / "teacher", run]
    assert all(any((stage / "checkpoint").iterdir()) for stage in stages)
    log = "".join(path.read_text() for path in (run / "logs").iterdir())
    assert ("PSNR" in log) == (name == "sidd_best")  # DND's clean images are not public
    ended = call("test", "-s", "best", "--out", "results")
    assert ended.code == 0, ended.err
    results = [path for path in pngs(tmp_path / "results") if path.endswith("_DN.png")]
    for path, before, wanted in zip(results, noisy, clean, strict=True):
        after = read_image(tmp_path / "results" / path)
        assert psnr(wanted, after) > psnr(wanted, before)
