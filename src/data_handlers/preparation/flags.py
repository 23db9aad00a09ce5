"""The flags that `prep_SIDD.py` and `prep_DND.py` share."""

import argparse
from pathlib import Path


def preparation_flags(description: str, data_folder: str, new_folder: str) -> argparse.ArgumentParser:
    """A parser with them.

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
        "--jobs", type=_positive, metavar="N", help="pictures cut at a time (default: one for each core)"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got '{text}'")
    return int(text)
