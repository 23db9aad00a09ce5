"""Cut SIDD's frames into pieces to train on: `python prep_SIDD.py -c 512 -s 256 -df SIDD -nf NEW`."""

import argparse
import sys
from pathlib import Path

from src.util.errors import DataError
from src.util.flags import preparation_flags
from src.util.script import run


def main() -> int:
    """Read the flags and cut."""
    flags = _flags()
    # Imported late, so that --help and wrong flags do not wait for it.
    from src.data_handlers.preparation.sidd import prepare_sidd

    folders = flags.data_folder, flags.new_folder
    problems = prepare_sidd(*folders, flags.crop_size, flags.step, ground_truth=flags.gt, jobs=flags.jobs)
    return DataError.exit_code if problems else 0


def _flags() -> argparse.Namespace:
    parser = preparation_flags(
        "Cut SIDD's noisy sRGB frames into pieces to train on.", "datasets/SIDD", "datasets/SIDD_train"
    )
    parser.set_defaults(crop_size=512, step=256, new_folder=Path("datasets/SIDD_train"))
    parser.add_argument(
        "--gt", action="store_true", help="also cut the ground truth, into the folder NEW_GT beside NEW"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(run(main))
