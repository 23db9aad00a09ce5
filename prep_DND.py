"""Cut DND's images into pieces to train on or the official boxes: `python prep_DND.py --split test`."""

import argparse
import sys
from pathlib import Path

from src.util.errors import DataError
from src.util.flags import preparation_flags
from src.util.logger import LOG
from src.util.script import run


def main() -> int:
    """Read the flags and cut."""
    flags = _flags()
    # Imported late, so that --help and wrong flags do not wait for it.
    from src.data_handlers.preparation.dnd import prepare_dnd

    new_folder = flags.new_folder or Path(f"datasets/DND_{flags.split}")
    if flags.split == "test" and (flags.crop_size or flags.step):
        LOG.warning("-c, -s: ignored with --split test, whose boxes come from info.mat")
    problems = prepare_dnd(
        flags.data_folder, new_folder, flags.split, flags.crop_size or 512, flags.step or 256, jobs=flags.jobs
    )
    return DataError.exit_code if problems else 0


def _flags() -> argparse.Namespace:
    parser = preparation_flags("Cut DND's noisy sRGB images.", "datasets/DND", "datasets/DND_SPLIT")
    parser.add_argument(
        "--split", choices=("train", "test"), default="train",
        help="train: pieces on a grid (the default); test: the 20 boxes of each image that info.mat lists",
    )  # fmt: skip
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run(main))
