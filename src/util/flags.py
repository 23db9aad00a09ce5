"""Command-line flags that several scripts share."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from src.util.errors import ConfigError


def common_flags(description: str) -> argparse.ArgumentParser:
    """Return a parser with the flags that `main.py` and `test.py` share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "-c", "--config", action="append",
        help="a name in configs/, with or without .yaml, or a path; a second one overrides the first",
    )  # fmt: skip
    parser.add_argument("-s", "--session", metavar="RUN", help="name of the run, a folder of output_folder")
    parser.add_argument(
        "-g", "--gpu", type=_device, help="a GPU's number, cpu, mps or auto (the default: a GPU if any)"
    )
    parser.add_argument("--thread", type=_count, default=4, help="workers that load images (default: 4)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="override a key of the configuration, for example training.batch_size=4; may be repeated",
    )  # fmt: skip
    return parser


def _device(text: str) -> str:
    """Check the form alone; `src.util.device` checks that the GPU exists, once PyTorch is loaded."""
    if text not in ("auto", "cpu", "mps") and not text.isdecimal():
        raise ConfigError(f"-g {text}: expected the number of one GPU, cpu, mps or auto")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of workers, 0 or more, got '{text}'")
    return int(text)


def preparation_flags(description: str, data_folder: str, new_folder: str) -> argparse.ArgumentParser:
    """Return a parser with the flags that `prep_SIDD.py` and `prep_DND.py` share.

    Parameters
    ----------
    description : str
        The script's purpose.
    data_folder : str
        Default folder of the download.
    new_folder : str
        Default folder of the pieces, for the help.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-c", "--crop_size", type=_positive, help="edge of a piece, px (default: 512)")
    parser.add_argument(
        "-s", "--step", type=_positive,
        help="distance between pieces, px; they overlap if it is less than the edge (default: 256)",
    )  # fmt: skip
    parser.add_argument(
        "-df", "--data_folder", type=Path, default=Path(data_folder), metavar="DIR",
        help=f"the download, which is only read (default: {data_folder})",
    )  # fmt: skip
    parser.add_argument(
        "-nf", "--new_folder", type=Path, metavar="DIR", help=f"folder for the pieces (default: {new_folder})"
    )
    parser.add_argument(
        "--jobs", type=_positive, metavar="N", help="images cut in parallel (default: one for each core)"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got '{text}'")
    return int(text)


def parse_task(parser: argparse.ArgumentParser, alone: str, needed: Sequence[str]) -> argparse.Namespace:
    """Parse the flags of a script that needs either the flag `alone` or all flags in `needed`.

    Parameters
    ----------
    parser : ArgumentParser
        Its optional flags have the default None.
    alone : str
        The flag that needs no other.
    needed : sequence of str
        The flags that are required without it.

    Returns
    -------
    Namespace

    Raises
    ------
    ConfigError
        When a required flag is missing, or `--out` is given together with `alone`.
    SystemExit
        With code 2, after printing the help, when there are no flags at all.
    """
    if len(sys.argv) == 1:
        parser.print_help(sys.stderr)
        raise SystemExit(ConfigError.exit_code)
    flags = parser.parse_args()
    given = vars(flags)
    if given[alone] is None:
        missing = [f"--{name}" for name in needed if given[name] is None]
        if missing:
            raise ConfigError(f"{', '.join(missing)}: missing; --help shows an example")
    elif given["out"] is not None:
        raise ConfigError(f"--{alone} and --out: use only one of them")
    return flags
