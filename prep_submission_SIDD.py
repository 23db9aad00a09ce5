"""Make SIDD's submission of what test.py wrote: `python prep_submission_SIDD.py --help` says how."""

import argparse
import sys
from pathlib import Path

from src.util.flags import parse_task
from src.util.script import run

EXAMPLE = """example: python prep_submission_SIDD.py --test datasets/SIDD_test \\
    --denoised output/RUN/img/test_SIDD_test_100_TIME --out sidd.csv"""


def main() -> int:
    """Read the flags, then make a submission or check one."""
    flags = _flags()
    # What reads images takes a second to load, which no help nor wrong flag should take.
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
    parser.add_argument("--denoised", type=Path, metavar="DIR", help="folder that test.py wrote")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the CSV to write")
    parser.add_argument("--mat", action="store_true", help="write SubmitSrgb.mat beside it, too")
    parser.add_argument("--overwrite", action="store_true", help="replace what is there")
    parser.add_argument("--check", type=Path, metavar="FILE", help="only check this CSV or .mat")
    return parse_task(parser, "check", ("test", "denoised", "out"))


if __name__ == "__main__":
    sys.exit(run(main))
