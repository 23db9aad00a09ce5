"""Make SIDD's submission from the output of test.py; see `python prep_submission_SIDD.py --help`."""

import argparse
import sys
from pathlib import Path

from src.util.flags import parse_task
from src.util.script import run

EXAMPLE = """example: python prep_submission_SIDD.py --test datasets/SIDD_test \\
    --denoised output/RUN/img/test_SIDD_test_100_TIME --out sidd.csv"""


def main() -> int:
    """Read the flags and make or check a submission."""
    flags = _flags()
    # Imported late, so that --help and wrong flags do not wait for it.
    from src.data_handlers.submission.sidd import check_sidd, submit_sidd

    if flags.check is not None:
        check_sidd(flags.check, flags.test)
    else:
        submit_sidd(flags.test, flags.denoised, flags.out, flags.mat, flags.overwrite)
    return 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Make the CSV that SIDD's server takes, and check it.",
        epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--test", type=Path, metavar="DIR", help="folder of BenchmarkNoisyBlocksSrgb.mat")
    parser.add_argument("--denoised", type=Path, metavar="DIR", help="output folder of test.py")
    parser.add_argument("--out", type=Path, metavar="FILE", help="CSV to write")
    parser.add_argument("--mat", action="store_true", help="also write SubmitSrgb.mat beside it")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    parser.add_argument("--check", type=Path, metavar="FILE", help="only check this CSV or .mat")
    return parse_task(parser, "check", ("test", "denoised", "out"))


if __name__ == "__main__":
    sys.exit(run(main))
