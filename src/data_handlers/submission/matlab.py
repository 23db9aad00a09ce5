"""Read MAT files of version 5 with the types that MATLAB sees."""

from pathlib import Path
from typing import Any

from scipy import io

from src.util.errors import DataError


def declared(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return the size and MATLAB class of each variable in a file, by its name.

    Raises
    ------
    DataError
        If the file is missing, damaged, or of another version.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        return {name: (tuple(shape), kind) for name, shape, kind in io.whosmat(file, appendmat=False)}
    except NotImplementedError:
        raise DataError(f"{file}: expected a MAT file of version 5, got version 7.3") from None
    except Exception as error:  # SciPy raises any type on a damaged file
        raise DataError(f"{file}: not a MAT file of version 5, or damaged ({error})") from None


def load(file: Path) -> dict[str, Any]:
    """Read the variables in MATLAB's types; raise DataError if the file is damaged."""
    try:
        return io.loadmat(file, mat_dtype=True, appendmat=False)
    except Exception as error:  # as above
        raise DataError(f"{file}: damaged ({error})") from None
