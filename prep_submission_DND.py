"""Make DND's submission from the output of test.py; see `python prep_submission_DND.py --help`."""

import argparse
import sys
from pathlib import Path

from src.util.flags import parse_task
from src.util.script import run

EXAMPLE = """example: python prep_submission_DND.py --noisy datasets/DND_test \\
    --denoised output/RUN/img/test_DND_test_100_TIME --out dnd_submission"""


def main() -> int:
    """Read the flags and make or check a submission."""
    flags = _flags()
    # Imported late, so that --help and wrong flags do not wait for it.
    from src.data_handlers.submission.dnd import check_dnd, submit_dnd

    if flags.check is not None:
        check_dnd(flags.check, flags.noisy)
    else:
        submit_dnd(flags.denoised, flags.out, flags.noisy, flags.overwrite)
    return 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Make the folder `bundled` that DND's server takes, and check it.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--denoised", type=Path, metavar="DIR", help="output folder of test.py")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write bundled/ into")
    parser.add_argument("--noisy", type=Path, metavar="DIR", help="noisy boxes to compare with")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier bundled/")
    parser.add_argument("--check", type=Path, metavar="DIR", help="only check this bundled/")
    return parse_task(parser, "check", ("denoised", "out"))


if __name__ == "__main__":
    sys.exit(run(main))
