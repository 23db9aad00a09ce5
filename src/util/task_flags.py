"""Flags of the scripts that prepare something: without any, they say what they need."""

import argparse
import sys
from collections.abc import Sequence

from src.util.errors import ConfigError


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
