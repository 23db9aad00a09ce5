"""What a file is that was taken for a checkpoint, told from its first bytes."""

from pathlib import Path

from src.util.images.formats.known import MAGICS

_ARCHIVE = b"PK\x03\x04"
_BEFORE_ARCHIVES = (
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # the pickled number that came first
)
_POINTER = b"version https://git-lfs"
_PAGES = (b"<!doctype", b"<html", b"<?xml")


def say_foreign(path: Path) -> str:
    """Why a file that is no whole archive cannot be read as a checkpoint, and what to do.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        The end of a sentence that begins with the file's name.
    """
    with open(path, "rb") as file:
        begin = file.read(64)
    if not begin:
        return "it is empty"
    if begin.startswith(_ARCHIVE):
        return "it is cut off; copy or download it again"
    if begin.startswith(_BEFORE_ARCHIVES):
        return (
            "it is of the form that PyTorch wrote before 1.6; if you trust it, convert it by"
            " torch.save(torch.load(OLD, weights_only=False), NEW)"
        )
    if begin.startswith(MAGICS):
        return "it is an image; images to be denoised are given by --test_img or --test_dir"
    if begin.startswith(_POINTER):
        return "it is a pointer of Git LFS to a file that was not fetched; run git lfs pull"
    if begin.lstrip().lower().startswith(_PAGES):
        return "it is a web page; the download gave that instead of the file"
    return "it is not what torch.save writes"
