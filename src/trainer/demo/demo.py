"""The demo: N2V, NL-N2V and an adapted network learn from noisy photographs, and are compared with others."""

from dataclasses import dataclass
from pathlib import Path

import torch
from skimage.restoration import denoise_nl_means
from torch import Tensor

from src.data_handlers.loading.sampling import build_loader
from src.data_handlers.samples.samples import Samples
from src.trainer.adapt.stages import adapt
from src.trainer.config.build import build_images
from src.trainer.config.names import CONFIGS, demo_runs
from src.trainer.config.reading import check_config
from src.trainer.config.run_config import RunConfig
from src.trainer.evaluation.evaluate import compare, evaluate
from src.trainer.evaluation.metrics import mean_score
from src.trainer.finish import Finish
from src.trainer.network.network import Network
from src.trainer.report.panel import panel
from src.trainer.training.session import train
from src.util.config.yaml_document import Document, override, read_yaml
from src.util.errors import ConfigError
from src.util.images.io import to_uint8, write_image
from src.util.logger import LOG

# As published; the two trainings have everything else in common.
N2V = {"masker_type": "N2V_Masker", "masker_args": {"strat_name": "uniform_withoutCP", "prox_radius": 3}}
# The adapted network: the recipe of `folder`, shortened to three minutes on two CPU cores.
ADAPTED = ("adapt.crops=1440", "adapt.megapixels=1", "validation.val=false")
PANEL_EDGE = 256

Finished = tuple[Network, Finish]
"""A network, and what is restored after it."""


@dataclass(frozen=True)
class Row:
    """A row of the table: a method, its images (C, H, W) in [0, 1], and the metrics of each."""

    method: str
    images: list[Tensor]
    metrics: list[dict[str, float]]

    def mean(self, metric: str) -> float:
        """Return the mean over the photographs."""
        return mean_score(metrics[metric] for metrics in self.metrics).mean


def run_demo(
    config: RunConfig, name: str, device: torch.device, workers: int, general: Finished, resume: bool = False
) -> list[Row]:
    """Train all methods, then print a table and write a panel of images.

    Parameters
    ----------
    config : RunConfig
        Configuration of NL-N2V; that of N2V has another masker.
    name : str
        The runs are NAME_n2v, NAME_nl_n2v and NAME_adapted.
    device : torch.device
        Device of the networks.
    workers : int
        Processes that load images.
    general : (Network, Finish)
        A network that was not trained on these photographs, for comparison.
    resume : bool
        Resume a demo of this name.

    Returns
    -------
    list of Row
        Noisy, NLM, N2V, NL-N2V, general and adapted.

    Raises
    ------
    ConfigError
        When there is no ground truth; before any training.
    """
    images = build_images(config, "test")
    if "clean" not in images[0, 0]:
        raise ConfigError(
            f"{images.source.where}: the demo needs clean images to compare with; to train on your own images"
            " use -c folder"
        )
    n2v = check_config(Document(config.model_dump(mode="json") | {"masker": N2V}, {}, "N2V"))
    runs = demo_runs(config.output_folder, name)
    if not resume:
        for files in runs.values():  # before minutes are spent on the first one
            files.expect_free()
    networks: dict[str, Finished] = {}
    for method, its_config in {"N2V": n2v, "NL-N2V": config, "adapted": _adapted(config)}.items():
        LOG.info("training %s", method)
        files, fit = runs[method], train if its_config.adapt is None else adapt
        network = fit(its_config, files, device, workers, resume and files.folder.is_dir())
        networks[method] = network, its_config.test.finish
    adapted = networks.pop("adapted")
    rows, clean = _compare(images, networks | {"general": general, "adapted": adapted})
    image = runs["NL-N2V"].images / "comparison.png"
    _write_panel(image, rows, clean)
    for line in table(rows):
        LOG.info("%s", line)
    LOG.info("side by side (%s, clean): %s", ", ".join(row.method for row in rows), image)
    return rows


def table(rows: list[Row]) -> list[str]:
    """Return the comparison as lines of text: mean PSNR and SSIM, and the gain over the noisy images."""
    noisy = rows[0].mean("psnr")
    lines = ["", f"{'method':10}{'PSNR dB':>10}{'SSIM':>10}{'gain dB':>10}"]
    for row in rows:
        psnr = row.mean("psnr")
        lines.append(f"{row.method:10}{psnr:10.2f}{row.mean('ssim'):10.4f}{psnr - noisy:+10.2f}")
    count = len(rows[0].images)
    lines.append(f"mean of all {count} photographs; rounded to 8 bits, SSIM of 7x7 uniform windows")
    lines.append("NLM: scikit-image's denoise_nl_means, given the true standard deviation of the noise")
    lines.append("general: comes with the program, trained on other images (test.py --test_img PATH)")
    lines.append(
        "adapted: the general network, adapted to these noisy photographs (main.py -c folder, shortened)"
    )
    return lines


def _adapted(config: RunConfig) -> RunConfig:
    """The recipe of `folder` for the images of another configuration."""
    recipe = read_yaml(CONFIGS / "folder.yaml")
    whole = {"crop_size": None, "augmentations": None, "repeat_times": 1}
    images = {"dataset": config.training.dataset, "dataset_args": config.training.dataset_args | whole}
    data = recipe.data | {
        "training": recipe.data["training"] | images,
        "output_folder": str(config.output_folder),
        "seed": config.seed,
    }
    return check_config(override(Document(data, {}, "adapted"), ADAPTED))


def _compare(images: Samples, networks: dict[str, Finished]) -> tuple[list[Row], list[Tensor]]:
    loader = build_loader(images, 1)
    rows: list[Row] = []
    clean: list[Tensor] = []
    for method, (network, finish) in networks.items():
        results = [result for result in evaluate(network, loader, None, finish=finish) if result]
        if not rows:
            clean = [result.clean for result in results if result.clean is not None]
            noisy = [result.noisy for result in results]
            pairs = list(zip(clean, noisy, strict=True))
            means = [_non_local_means(c, n) for c, n in pairs]
            rows.append(Row("noisy", noisy, [compare(c, n) for c, n in pairs]))
            rows.append(Row("NLM", means, [compare(c, m) for c, m in zip(clean, means, strict=True)]))
        rows.append(Row(method, [r.denoised for r in results], [r.score.metrics for r in results]))
    return rows, clean


def _non_local_means(clean: Tensor, noisy: Tensor) -> Tensor:
    """Denoise an image (C, H, W) with scikit-image, given the true standard deviation of the noise."""
    sigma = float((noisy - clean).std())
    denoised = denoise_nl_means(
        noisy.numpy(), patch_size=5, patch_distance=9, h=0.8 * sigma, sigma=sigma, channel_axis=0
    )
    return torch.from_numpy(denoised).float()


def _write_panel(path: Path, rows: list[Row], clean: list[Tensor]) -> None:
    sheet = []
    for index, truth in enumerate(clean):
        top, left = (max(0, edge - PANEL_EDGE) // 2 for edge in truth.shape[1:])
        cut = (slice(None), slice(top, top + PANEL_EDGE), slice(left, left + PANEL_EDGE))
        line = [
            (f"{row.method}, {row.metrics[index]['psnr']:.2f} dB", to_uint8(row.images[index][cut]))
            for row in rows
        ]
        sheet.append([*line, ("clean", to_uint8(truth[cut]))])
    write_image(path, panel(sheet))
