"""MAT files of version 5, read with the classes that MATLAB sees."""

from pathlib import Path
from typing import Any

from scipy import io

from src.util.errors import DataError


def declared(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> (size, MATLAB's class) of the file's variables.

    Raises
    ------
    DataError
        When it is missing, damaged, or of another version.
    """
    if not file.is_file():
        raise DataError(f"{file}: no such file")
    try:
        return {name: (tuple(shape), kind) for name, shape, kind in io.whosmat(file, appendmat=False)}
    except NotImplementedError:
        raise DataError(f"{file}: expected a MAT file of version 5, got version 7.3") from None
    except Exception as error:  # SciPy raises anything on a damaged file
        raise DataError(f"{file}: not a MAT file of version 5, or damaged ({error})") from None


def load(file: Path) -> dict[str, Any]:
    """The variables, in the types that MATLAB gives them; see `declared` for what is raised."""
    try:
        return io.loadmat(file, mat_dtype=True, appendmat=False)
    except Exception as error:  # as above
        raise DataError(f"{file}: damaged ({error})") from None
