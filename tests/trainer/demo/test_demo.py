import re

import numpy as np
import pytest
import torch

from src.model import DenoisingNetwork
from src.trainer.config.names import begun_demo
from src.trainer.config.reading import demo_config, read_config
from src.trainer.demo import demo
from src.trainer.finish import Finish
from src.trainer.network.network import Network
from src.trainer.report.panel import CAPTION_HEIGHT, GAP
from src.util.errors import ConfigError, RunExistsError
from src.util.images.io import read_image, to_float
from tests.trainer.conftest import CPU

TINY = [
    "model.kwargs.features=[4, 8]", "training.max_epochs=1", "training.dataset_args.repeat_times=1",
    "training.dataset_args.scale=0.25", "validation.start_epoch=1",
]  # fmt: skip


SHORTEST = [
    "training.max_epochs=1", "training.batch_size=2", "adapt.crops=2", "adapt.size=32",
    "adapt.megapixels=0.01", "adapt.teacher=null", "adapt.first_students=0", "validation.val=false",
]  # fmt: skip


class Unchanging(DenoisingNetwork):
    def forward(self, x):
        return x


GENERAL = Network(Unchanging(), CPU), Finish(strength=0.5)


@pytest.fixture(autouse=True)
def _shortened(monkeypatch):
    monkeypatch.setattr(demo, "ADAPTED", SHORTEST)


@pytest.fixture
def trained(tmp_path, messages):
    config = read_config("demo", [f"output_folder={tmp_path}", *TINY])
    rows = demo.run_demo(config, "tiny", CPU, 0, GENERAL)
    return rows, tmp_path / "tiny_nl_n2v" / "img" / "comparison.png"


def test_the_demo_trains_both_methods_alike_and_compares_them(trained, tmp_path, messages):
    rows, image = trained
    assert [row.method for row in rows] == ["noisy", "NLM", "N2V", "NL-N2V", "general", "adapted"]
    assert rows[4].metrics == rows[0].metrics, "this network returns its input"
    assert rows[5].mean("psnr") > rows[1].mean("psnr"), "the shipped network is adapted"
    assert rows[1].mean("psnr") > rows[0].mean("psnr")
    for run in ("tiny_n2v", "tiny_nl_n2v", "tiny_adapted"):
        assert (tmp_path / run / "checkpoint" / f"{run}_001.pth").is_file()
    log = "\n".join(messages)
    for row in rows:
        assert re.search(rf"{row.method} +{row.mean('psnr'):.2f} +{row.mean('ssim'):.4f}", log)
    count = len(rows[0].images)
    assert f"mean of all {count} photographs; rounded to 8 bits" in log
    assert f"(noisy, NLM, N2V, NL-N2V, general, adapted, clean): {image}" in log


def test_a_demo_without_ground_truth_is_refused_before_it_trains(tmp_path):
    config = read_config(
        "demo", [f"output_folder={tmp_path / 'runs'}", *TINY, "training.dataset_args.add_noise=null"]
    )
    with pytest.raises(ConfigError, match="the demo needs clean images"):
        demo.run_demo(config, "tiny", CPU, 0, GENERAL)
    assert not (tmp_path / "runs").exists()


def test_the_two_runs_differ_in_the_masker_alone_and_are_shown_side_by_side(trained, tmp_path):
    one, other = ((tmp_path / f"tiny_{m}" / "config.yaml").read_text() for m in ("n2v", "nl_n2v"))
    assert "masker_type: N2V_Masker" in one and "masker_type: Masker" in other
    assert "uniform_withoutCP" in one and "prox_radius: 3" in one
    assert "pixel_perc: 0.002" in one, "a run's configuration is complete"

    def others(text):
        return re.sub(r"masker:\n  masker_type: \w+\n  masker_args:.*?\n(?=\w)", "", text, flags=re.DOTALL)

    assert others(one) == others(other)
    rows, path = trained
    image = read_image(path)
    heights, widths = zip(*(p.shape[1:] for p in rows[0].images), strict=True)
    assert image.shape[0] == sum(h + CAPTION_HEIGHT + GAP for h in heights) - GAP
    assert image.shape[1] == 7 * max(widths) + 6 * GAP
    first = rows[0].images[0]
    shown = to_float(image[CAPTION_HEIGHT:][: first.shape[1], : first.shape[2]])
    assert torch.allclose(shown, first.clamp(0, 1), atol=0.5 / 255 + 1e-6)


def test_a_large_photograph_is_cut_to_its_middle(tmp_path):
    values = np.zeros((3, 300, 400), np.float32)
    values[:, 22:278, 72:328] = 1
    image = torch.from_numpy(values)
    row = demo.Row("noisy", [image], [{"psnr": 20.0}])
    demo._write_panel(tmp_path / "panel.png", [row], [image])
    shown = read_image(tmp_path / "panel.png")
    assert shown.shape == (demo.PANEL_EDGE + CAPTION_HEIGHT, 2 * demo.PANEL_EDGE + GAP, 3)
    assert (shown[CAPTION_HEIGHT:] == 255).all()


def test_the_table_lists_the_gain_over_the_noisy_images():
    def row(method, *psnr):
        return demo.Row(method, [torch.zeros(3, 8, 8)] * 2, [{"psnr": p, "ssim": 0.5} for p in psnr])

    lines = demo.table([row("noisy", 20, 22), row("N2V", 22, 24), row("NL-N2V", 24, 26.5)])
    assert [line.split() for line in lines[1:5]] == [
        ["method", "PSNR", "dB", "SSIM", "gain", "dB"],
        ["noisy", "21.00", "0.5000", "+0.00"],
        ["N2V", "23.00", "0.5000", "+2.00"],
        ["NL-N2V", "25.25", "0.5000", "+4.25"],
    ]


def test_a_stopped_demo_resumes_by_its_name(tmp_path, stop_at_step):
    """Stopped in its first and second training of four steps each, it ends like an unbroken one."""
    folder = f"output_folder={tmp_path}"
    config = read_config("demo", [folder, *TINY, "training.batch_size=1"])
    whole = demo.run_demo(config, "whole", CPU, 0, GENERAL)
    for resume in (False, True):
        stop_at_step(1 if not resume else 4)  # the first training has three steps left
        with pytest.raises(KeyboardInterrupt):
            demo.run_demo(config, "dd", CPU, 0, GENERAL, resume=resume)
    assert demo_config(begun_demo("dd", [folder]), []) == config
    again = demo.run_demo(config, "dd", CPU, 0, GENERAL, resume=True)
    assert [row.metrics for row in again] == [row.metrics for row in whole]


def test_a_name_that_is_taken_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "tiny_nl_n2v").mkdir()
    config = read_config("demo", [f"output_folder={tmp_path}", *TINY])
    with pytest.raises(RunExistsError, match="tiny_nl_n2v exists"):
        demo.run_demo(config, "tiny", CPU, 0, GENERAL)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["tiny_nl_n2v"]
