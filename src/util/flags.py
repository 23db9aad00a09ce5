"""The flags that scripts share, each with one meaning."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from src.util.errors import ConfigError


def common_flags(description: str) -> argparse.ArgumentParser:
    """The flags that `main.py` and `test.py` share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "-c", "--config", action="append",
        help="a name in configs/, with or without .yaml, or a path; a second one is laid over the first",
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
    """Whether that GPU is there `src.util.device` knows, and PyTorch, which is not loaded yet."""
    if text not in ("auto", "cpu", "mps") and not text.isdecimal():
        raise ConfigError(f"-g {text}: expected the number of one GPU, cpu, mps or auto")
    return text


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a number of workers, 0 or more, got '{text}'")
    return int(text)


def preparation_flags(description: str, data_folder: str, new_folder: str) -> argparse.ArgumentParser:
    """The flags that `prep_SIDD.py` and `prep_DND.py` share.

    Parameters
    ----------
    description : str
        What the script does.
    data_folder : str
        Where the download is, unless said otherwise.
    new_folder : str
        For the help: where the pieces go, unless said otherwise.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("-c", "--crop_size", type=_positive, help="edge of a piece, px (default: 512)")
    parser.add_argument(
        "-s", "--step", type=_positive,
        help="from one piece to the next, px; less than the edge: they overlap (default: 256)",
    )  # fmt: skip
    parser.add_argument(
        "-df", "--data_folder", type=Path, default=Path(data_folder), metavar="DIR",
        help=f"the download, which is only read (default: {data_folder})",
    )  # fmt: skip
    parser.add_argument(
        "-nf", "--new_folder", type=Path, metavar="DIR", help=f"folder for the pieces (default: {new_folder})"
    )
    parser.add_argument(
        "--jobs", type=_positive, metavar="N", help="images cut at a time (default: one for each core)"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got '{text}'")
    return int(text)


def parse_task(parser: argparse.ArgumentParser, alone: str, needed: Sequence[str]) -> argparse.Namespace:
    """Read the flags of a script that does one thing, or another by one flag alone.

    Parameters
    ----------
    parser : ArgumentParser
        Its optional flags have no default but None.
    alone : str
        The flag that needs none of the others.
    needed : sequence of str
        The flags that are needed without it.

    Returns
    -------
    Namespace

    Raises
    ------
    ConfigError
        When one is missing, or one that says what to write is given beside `alone`.
    SystemExit
        With 2, after printing the whole help, when there are no flags at all.
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
        raise ConfigError(f"--{alone} and --out: say one of them")
    return flags
