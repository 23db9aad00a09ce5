"""Recognise a file that is not a checkpoint by its first bytes."""

from pathlib import Path

from src.util.images.formats.known import MAGICS

_ARCHIVE = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # PyTorch's pickled magic number
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype", b"<html", b"<?xml")


def describe_foreign(path: Path) -> str:
    """Explain why a file is not a checkpoint, and what to do about it.

    Parameters
    ----------
    path : Path
        A file that is not a complete ZIP archive.

    Returns
    -------
    str
        Text for an error message, after the name of the file.
    """
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
