"""Checks of a checkpoint from an untrusted source."""

import pickletools
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from src.util.images.formats.known import MAGICS

# PyTorch itself also allows `bytearray`, for example, by which a tiny file can allocate any amount of memory.
_KINDS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_ALLOWED = {f"torch {kind}Storage" for kind in _KINDS} | {
    "collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter"
}  # fmt: skip
_NAMING = {"GLOBAL", "STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"}
_ARCHIVE = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # PyTorch's pickled magic number
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype", b"<html", b"<?xml")

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
        raise ValueError(_describe(path))
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
                for operation, argument, _ in pickletools.genops(archive.read(part)):
                    if operation.name in _NAMING and argument not in _ALLOWED:
                        raise ValueError(f"it names {str(argument)[:60]!r}, which weights do not contain")


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


def _describe(path: Path) -> str:
    """Describe a file that is not a complete ZIP archive, and what to do about it, for an error message."""
    with open(path, "rb") as file:
        head = file.read(64)
    if not head:
        return "it is empty"
    if head.startswith(_ARCHIVE):
        return "it is cut off; copy or download it again"
    if head.startswith(_LEGACY):
        return (
            "it has the format of PyTorch before 1.6; if you trust it, convert it by"
            " torch.save(torch.load(OLD, weights_only=False), NEW)"
        )
    if head.startswith(MAGICS):
        return "it is an image; give images to denoise by --test_img or --test_dir"
    if head.startswith(_POINTER):
        return "it is a Git LFS pointer to a file that was not fetched; run git lfs pull"
    if head.lstrip().lower().startswith(_PAGES):
        return "it is a web page instead of the file; download it again"
    return "it was not written by torch.save"
