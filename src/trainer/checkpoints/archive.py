"""Checks of a checkpoint from an untrusted source."""

import pickletools
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from src.trainer.checkpoints.foreign import describe_foreign

# PyTorch itself also allows `bytearray`, for example, by which a tiny file can allocate any amount of memory.
_KINDS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_ALLOWED = {f"torch {kind}Storage" for kind in _KINDS} | {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
}  # fmt: skip
_NAMING = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}

MAX_ENTRIES, MAX_DEPTH = 200_000, 32
"""Limits of a checkpoint, which usually has a few thousand values, about six levels deep."""


def check_archive(path: Path) -> None:
    """Refuse a file that could execute code or allocate more memory than its own size.

    Parameters
    ----------
    path : Path
        A file written by `torch.save`: a ZIP archive without compression.

    Raises
    ------
    ValueError, OSError, zipfile.BadZipFile
        If it is anything else. The message names the kind of file where its first bytes show it.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading from a pipe could block for ever
        raise ValueError("it is not a regular file")
    if not zipfile.is_zipfile(path):
        raise ValueError(describe_foreign(path))
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        if any(part.compress_type != zipfile.ZIP_STORED for part in parts):
            raise ValueError("its parts are compressed, which PyTorch never does")
        if sum(part.file_size for part in parts) > status.st_size:
            raise ValueError("its parts claim to be larger than the file")
        for part in parts:
            if part.filename.endswith(".pkl"):
                if not part.filename.endswith("/data.pkl"):
                    raise ValueError(f"it holds more than weights ({part.filename[:60]!r})")
                _check_names(archive.read(part))


def check_content(content: Any) -> None:
    """Refuse content that is much larger in use than in its file.

    Parameters
    ----------
    content : any
        The result of `torch.load`.

    Raises
    ------
    ValueError
        If there are more than `MAX_ENTRIES` values or `MAX_DEPTH` levels, counting repeated references, or a
        tensor is larger than its storage.
    """
    for count, value in enumerate(_values(content)):
        if count > MAX_ENTRIES:
            raise ValueError(f"it expands to over {MAX_ENTRIES:,} values")
        if isinstance(value, torch.Tensor) and value.nbytes > value.untyped_storage().nbytes():
            raise ValueError(f"a tensor of shape {list(value.shape)} is larger than its storage")


def _check_names(program: bytes) -> None:
    for operation, argument, _ in pickletools.genops(program):
        if operation.name in _NAMING and argument not in _ALLOWED:
            raise ValueError(f"it names {str(argument)[:60]!r}, which weights do not contain")


def _values(content: Any) -> Iterator[Any]:
    left = [(content, 0)]
    while left:
        value, depth = left.pop()
        yield value
        if isinstance(value, dict | list | tuple):
            if depth == MAX_DEPTH:
                raise ValueError("its values are nested too deeply")
            inner = [*value.keys(), *value.values()] if isinstance(value, dict) else value
            left += [(item, depth + 1) for item in inner]
