"""Use a trained denoiser: `python test.py --pretrained ckpt.pth --test_dir my_photos`."""

import argparse
import os
import sys
from pathlib import Path
from typing import Literal

from src.trainer.config.names import check_testing_names
from src.util.errors import ConfigError, DataError
from src.util.flags import common_flags
from src.util.images.formats.known import ENDINGS, MAX_PIXELS
from src.util.logger import LOG
from src.util.script import run


def main() -> int:
    """Parse the flags, load the network and denoise."""
    flags = _flags()
    check_testing_names(flags.config, flags.session, flags.settings, flags.epoch, flags.pretrained)
    if flags.test_img is not None and not os.path.lexists(flags.test_img):
        raise DataError(f"--test_img {flags.test_img}: there is no such file")
    if flags.test_dir is not None and not os.path.isdir(flags.test_dir):
        raise DataError(f"--test_dir {flags.test_dir}: there is no such folder")
    if not (flags.test_img or flags.test_dir or flags.session or flags.pretrained or flags.export):
        raise ConfigError(
            "choose what to denoise: --test_img PATH, --test_dir DIR, or -s RUN (its test images)"
        )
    # Importing PyTorch takes seconds, so mistakes in the flags are reported first.
    from src.trainer.inference.denoise_files import FileDenoiser, FileOptions
    from src.trainer.inference.export import export_weights
    from src.trainer.inference.result_files import result_names
    from src.trainer.inference.testing import score_dataset
    from src.trainer.inference.trained import load_trained
    from src.trainer.network.tiling import Tiling
    from src.util.device import resolve_device
    from src.util.file_manager import made_folder
    from src.util.overlap import AT_ONCE

    device, line = resolve_device(flags.gpu)
    LOG.info(line)
    trained = load_trained(device, flags.settings, flags.config, flags.session, flags.epoch, flags.pretrained)
    if flags.session is None and flags.pretrained is None:
        LOG.info("no network was named: this is the general one, which comes with the program")
    trained = trained.with_finish(flags.finish, flags.strength)
    trained.network.tiling = Tiling(flags.tile, flags.overlap)
    trained.network.ensemble = flags.ensemble
    trained = trained.with_masked() if flags.masked else trained
    if flags.export is not None:
        export_weights(trained, flags.export, flags.overwrite)
        return 0
    # On a CPU the network uses all cores: overlapping would cost memory and gain no time.
    held = AT_ONCE if flags.thread and device.type != "cpu" else 1
    files = FileDenoiser(trained, FileOptions(flags.format, flags.overwrite, flags.max_pixels, held))
    if flags.test_img is not None:
        name = result_names([flags.test_img], flags.format)[flags.test_img]
        out = made_folder(flags.out or Path.cwd()) / name
        files.file(flags.test_img, out)
        LOG.info("result: %s", out)
    elif flags.test_dir is not None:
        failures = files.folder(flags.test_dir, flags.out or flags.test_dir / "results")
        return DataError.exit_code if failures else 0
    else:
        score_dataset(trained, flags.thread, flags.out, flags.overwrite)
    return 0


def _flags() -> argparse.Namespace:
    parser = common_flags("Denoise images with a trained network, or score it on the dataset of `test`.")
    parser.add_argument("-e", "--epoch", type=int, help="checkpoint of the run of -s (default: its last)")
    parser.add_argument("--pretrained", metavar="CKPT", help="a checkpoint's path, or its name in the run")
    parser.add_argument("--test_img", type=Path, metavar="PATH", help="denoise one image to NAME_DN.EXT")
    parser.add_argument("--test_dir", type=Path, metavar="DIR", help="denoise a folder's images")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--format", choices=("auto", "same", "png"), default="auto",
        help="of the results: auto (the default: the image's, but PNG for JPEG), same (also JPEG), or png",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")
    parser.add_argument(
        "--max-pixels", type=int, default=MAX_PIXELS, metavar="N",
        help=f"refuse larger images (default: {MAX_PIXELS:,})",
    )  # fmt: skip
    parser.add_argument(
        "--export", type=Path, metavar="PATH", help="write the weights as safetensors and exit"
    )
    _add_network_flags(parser)
    flags = parser.parse_args()
    if flags.test_img is not None and flags.test_dir is not None:
        raise ConfigError("--test_img and --test_dir: say one of them")
    if flags.max_pixels < 1:
        raise ConfigError(f"--max-pixels: expected a number of pixels, 1 or more, got {flags.max_pixels}")
    if flags.out is not None and flags.out.suffix.lower() in ENDINGS and not flags.out.is_dir():
        raise ConfigError(f"--out: expected a folder, got {flags.out}; results are called NAME_DN.EXT in it")
    return flags


def _add_network_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that set how the network processes an image."""
    parser.add_argument(
        "--tile", type=_pixels, default="auto", metavar="N",
        help="denoise in tiles of N px to bound the memory; 0: whole images; auto (the default): tiles for"
        " large images only",
    )  # fmt: skip
    parser.add_argument(
        "--overlap", type=_pixels, default="auto", metavar="N",
        help="margin of N px around each tile; auto (the default): as wide as the receptive field needs, so"
        " that tiles give the same result as the whole image",
    )  # fmt: skip
    parser.add_argument(
        "--ensemble", action="store_true",
        help="average the results of the 8 flips and rotations: 8 times slower",
    )  # fmt: skip
    parser.add_argument(
        "--masked", action="store_true",
        help="hide the pixels that the network predicts, one grid of regions after another, as in its"
        " training: for networks that learned to fill large holes; many times slower",
    )  # fmt: skip
    parser.add_argument(
        "--finish", choices=("none", "light", "detail", "all"),
        help="what to restore from the noisy image after the network: its mean light, detail beyond noise, or"
        " both (default: the checkpoint's setting)",
    )  # fmt: skip
    parser.add_argument(
        "--strength", type=float, metavar="S",
        help="blend from the noisy image, 0, to the result, 1 (default: the checkpoint's setting)",
    )  # fmt: skip


def _pixels(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected auto, or a number of pixels, 0 or more, got '{text}'")
    return int(text)


if __name__ == "__main__":
    sys.exit(run(main))
