"""A checkpoint's file looked through before anything in it is read: it may come from anywhere."""

import pickletools
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from src.trainer.checkpoints.foreign import say_foreign

# What weights, optimisers and plain values are made of. PyTorch's own list holds more, such as `bytearray`,
# by which a hundred bytes ask for any amount of memory.
_KINDS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_ALLOWED = {f"torch {kind}Storage" for kind in _KINDS} | {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
}  # fmt: skip
_NAMING = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}

MAX_ENTRIES, MAX_DEPTH = 200_000, 32
"""A checkpoint holds a few thousand values, nested about six deep; references can multiply them."""


def check_archive(path: Path) -> None:
    """Refuse a file that would execute something or take more memory than its own size.

    Parameters
    ----------
    path : Path
        As `torch.save` writes it: a ZIP archive whose parts are not compressed.

    Raises
    ------
    ValueError, OSError, zipfile.BadZipFile
        When it is anything else; what it is, is said where its first bytes tell.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # a pipe would keep us waiting
        raise ValueError("it is no file")
    if not zipfile.is_zipfile(path):
        raise ValueError(say_foreign(path))
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
    """Refuse values that are small in their file and endless when they are used.

    Parameters
    ----------
    content : any
        As `torch.load` gives it.

    Raises
    ------
    ValueError
        When values refer to each other more often, or lie deeper, than in any checkpoint, or a tensor is
        larger than its storage.
    """
    for entries, value in enumerate(_values(content)):
        if entries > MAX_ENTRIES:
            raise ValueError(f"it expands to over {MAX_ENTRIES:,} values")
        if isinstance(value, torch.Tensor) and value.nbytes > value.untyped_storage().nbytes():
            raise ValueError(f"a tensor of shape {list(value.shape)} is larger than what is stored of it")


def _check_names(program: bytes) -> None:
    for operation, argument, _ in pickletools.genops(program):
        if operation.name in _NAMING and argument not in _ALLOWED:
            raise ValueError(f"it names {str(argument)[:60]!r}, which no weights are made of")


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
