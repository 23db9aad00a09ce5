"""Compare the quality of denoised images with that of other methods.

    python -m benchmarks.quality            # eight kinds of noise, and the demo
    python -m benchmarks.quality --pairs PolyU=polyu/noisy,polyu/gt --every 6 --sheet sheet.png
    python -m benchmarks.quality --checkpoint output/mine/checkpoint/mine_004.pth
    python -m benchmarks.quality --write sets    # the images themselves, to adapt networks to

All methods get the same images. Results are rounded to 8 bits. Colour is the mean absolute error of an
image's mean colour, in grey levels. Rho is the share of the noise left in the result,
<denoised - clean, noise> / <noise, noise>. A network's finish estimates gamma from several images of a set
together, as `test.py --test_dir` does for a folder. NLM is scikit-image's `denoise_nl_means` (patch 5,
distance 9, h = 0.8 sigma), with estimated and with true sigma. Wavelets are BayesShrink with estimated sigma.
Total variation has the true sigma as its weight. Estimates need PyWavelets (`pip install pywavelets`).
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet, estimate_sigma

from benchmarks.quality_sets import KINDS, Pair, PairSet, built_in, demo_set, folders, write
from src.trainer.evaluation.metrics import psnr, ssim
from src.trainer.finish import found_gamma
from src.trainer.inference.denoiser import Denoiser
from src.trainer.inference.finish_of_folder import LOOKED_AT
from src.trainer.inference.pixels import denoised_pair
from src.trainer.report.panel import panel
from src.util.errors import DataError
from src.util.images.io import write_image

Method = Callable[[Pair], np.ndarray]
"""Denoises a pair's noisy image. Methods with true sigma compute it from the clean one."""
MakeMethod = Callable[[PairSet], Method]
"""Returns the method for a set."""

PANEL_EDGE = 160
PANEL_PAIRS = 3


class Row(NamedTuple):
    """Scores of a method on a set."""

    method: str
    psnr: float
    ssim: float
    colour: float
    rho: float
    worse: int
    seconds: float
    results: list[np.ndarray]


def methods(checkpoints: Sequence[Path], others: bool) -> dict[str, MakeMethod]:
    """Return all methods by their names in the table."""
    plain: dict[str, Method] = {"noisy": lambda pair: pair.noisy}
    if others:
        plain |= {"NLM, true sigma": lambda pair: _nlm(pair.noisy, _true_sigma(pair))}
        plain |= {"total variation, true sigma": _total_variation}
        if _has_estimates():
            plain |= {"NLM": lambda pair: _nlm(pair.noisy, _estimated_sigma(pair.noisy))}
            plain |= {"wavelets": _wavelets}
    networks: dict[str, MakeMethod] = {}
    for name, path in (("general", "general"), *((path.stem, str(path)) for path in checkpoints)):
        networks |= {f"{name}, not finished": _network(path, "none"), name: _network(path, None)}
    return {name: partial(_for_any_set, method) for name, method in plain.items()} | networks


def _for_any_set(method: Method, pairs: PairSet) -> Method:
    return method


def _has_estimates() -> bool:
    try:
        import pywt  # noqa: F401
    except ImportError:
        print("PyWavelets is not installed: skip NLM with estimated sigma, and wavelets")
        return False
    return True


def _network(path: str, finish: str | None) -> MakeMethod:
    denoiser = Denoiser.load(path, finish=finish)  # type: ignore[arg-type]
    own = denoiser.finish

    def method(pairs: PairSet) -> Method:
        if own.light is not None and own.gamma == "auto":
            denoiser.finish = own.model_copy(update={"gamma": _common_gamma(denoiser, pairs.pairs)})
        return lambda pair: denoiser(pair.noisy)

    return method


def _common_gamma(denoiser: Denoiser, pairs: Sequence[Pair]) -> float:
    count = min(LOOKED_AT, len(pairs))
    some = (pairs[number * len(pairs) // count] for number in range(count))
    return found_gamma(denoised_pair(denoiser.network, pair.noisy, 255, pair.name) for pair in some)


def _true_sigma(pair: Pair) -> float:
    return float((pair.noisy / 255 - pair.clean / 255).std())


def _estimated_sigma(noisy: np.ndarray) -> float:
    return float(estimate_sigma(noisy / 255, channel_axis=-1, average_sigmas=True))


def _nlm(noisy: np.ndarray, sigma: float) -> np.ndarray:
    if sigma < 1e-4:  # h must be above 0
        return noisy
    return _to_bytes(
        denoise_nl_means(
            noisy.astype(np.float32) / 255, patch_size=5, patch_distance=9, h=0.8 * sigma, sigma=sigma,
            channel_axis=-1,
        )
    )  # fmt: skip


def _total_variation(pair: Pair) -> np.ndarray:
    return _to_bytes(
        denoise_tv_chambolle(pair.noisy / 255, weight=max(_true_sigma(pair), 1e-4), channel_axis=-1)
    )


def _wavelets(pair: Pair) -> np.ndarray:
    return _to_bytes(denoise_wavelet(pair.noisy / 255, channel_axis=-1, rescale_sigma=True))


def _to_bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values.clip(0, 1) * 255).astype(np.uint8)


def measure(name: str, method: Method, pairs: PairSet) -> Row:
    """Score one method on all pairs of a set."""
    results, seconds = [], 0.0
    for pair in pairs.pairs:
        start = time.perf_counter()
        results.append(method(pair).reshape(pair.clean.shape))
        seconds += time.perf_counter() - start
    scored = list(zip(pairs.pairs, results, strict=True))
    before = [_psnr(pair.clean, pair.noisy) for pair in pairs.pairs]
    after = [_psnr(pair.clean, result) for pair, result in scored]
    colour_errors = [np.abs(r.mean((0, 1)) - p.clean.mean((0, 1))).mean() for p, r in scored]
    megapixels = sum(pair.clean.shape[0] * pair.clean.shape[1] for pair in pairs.pairs) / 1e6
    return Row(
        name, float(np.mean(after)), float(np.mean([ssim(p.clean, r) for p, r in scored])),
        float(np.mean(colour_errors)), float(np.mean([_rho(pair, result) for pair, result in scored])),
        sum(new < old for new, old in zip(after, before, strict=True)), seconds / megapixels, results,
    )  # fmt: skip


def _psnr(clean: np.ndarray, other: np.ndarray) -> float:
    """Return the PSNR in dB, at most 99, so that a mean over images is finite."""
    return min(psnr(clean, other), 99.0)


def _rho(pair: Pair, result: np.ndarray) -> float:
    noise = pair.noisy.astype(np.float64) - pair.clean
    left = result.astype(np.float64) - pair.clean
    energy = float((noise * noise).sum())
    return float((left * noise).sum()) / energy if energy else 0.0


def table(pairs: PairSet, rows: Sequence[Row]) -> list[str]:
    """Return the scores of a set as a Markdown table."""
    lines = [f"**{pairs.name}**, {len(pairs.pairs)} images", ""]
    lines += ["| method | PSNR, dB | SSIM | colour error, levels | rho | worse than noisy | s / MP |"]
    lines += ["|---|---:|---:|---:|---:|---:|---:|"]
    for row in rows:
        figures = f"{row.psnr:.2f} | {row.ssim:.4f} | {row.colour:.2f} | {row.rho:.3f} | {row.worse}"
        lines.append(f"| {row.method} | {figures} | {row.seconds:.2f} |")
    return [*lines, ""]


def sheet(pairs: PairSet, rows: Sequence[Row]) -> list[list[tuple[str, np.ndarray]]]:
    """Return rows of captioned crops: a few images of the set by each method, and clean."""
    lines = []
    for number in np.linspace(0, len(pairs.pairs) - 1, min(PANEL_PAIRS, len(pairs.pairs))).astype(int):
        pair = pairs.pairs[number]
        shown = [
            (f"{row.method} {_psnr(pair.clean, row.results[number]):.1f}", row.results[number])
            for row in rows
        ]
        lines.append([(caption, _middle(image)) for caption, image in (*shown, ("clean", pair.clean))])
    return lines


def _middle(image: np.ndarray) -> np.ndarray:
    top, left = (max(0, edge - PANEL_EDGE) // 2 for edge in image.shape[:2])
    part = image[top : top + PANEL_EDGE, left : left + PANEL_EDGE]
    return part if part.shape[2] == 3 else np.repeat(part, 3, axis=2)


def main() -> None:
    """Measure and print the tables."""
    options = _options()
    sets = [folders(name, noisy, clean, options.every) for name, noisy, clean in options.pairs]
    if not sets:
        sets = [built_in(kind) for kind in KINDS] + [demo_set()]
    if options.write is not None:
        for pairs in sets:
            write(pairs, options.write)
        return
    known = methods(options.checkpoint, not options.networks_alone)
    crops = []
    for pairs in sets:
        rows = [measure(name, make(pairs), pairs) for name, make in known.items()]
        print("\n".join(table(pairs, rows)), flush=True)
        crops += sheet(pairs, rows)
    if options.sheet is not None:
        write_image(options.sheet, panel(crops))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--pairs", type=_pairs, action="append", default=[], metavar="NAME=NOISY,CLEAN",
        help="two folders instead of the built-in photographs; may be given several times",
    )  # fmt: skip
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every Nth pair of the folders")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        help="another network; may be given several times",
    )
    parser.add_argument("--networks-alone", action="store_true", help="skip scikit-image's methods")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="write crops side by side")
    parser.add_argument(
        "--write",
        type=Path,
        metavar="DIR",
        help="write the images to DIR/SET/noisy and DIR/SET/clean, and stop",
    )
    return parser.parse_args()


def _pairs(text: str) -> tuple[str, Path, Path]:
    name, _, paths = text.partition("=")
    noisy, _, clean = paths.partition(",")
    if not (name and noisy and clean):
        raise argparse.ArgumentTypeError(f"expected NAME=NOISY,CLEAN, got '{text}'")
    for folder in (noisy, clean):
        if not Path(folder).is_dir():
            raise DataError(f"--pairs: {folder}: no such folder")
    return name, Path(noisy), Path(clean)


if __name__ == "__main__":
    main()
