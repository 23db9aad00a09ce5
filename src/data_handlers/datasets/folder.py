"""Pictures in a folder, with or without clean ones beside them."""

from collections import defaultdict
from copy import copy
from pathlib import Path
from typing import Annotated

from pydantic import Field

from src.data_handlers.datasets.base import Picture, stamp
from src.util.errors import DataError
from src.util.pictures.folder import list_pictures, raise_together
from src.util.pictures.io import PictureInfo, count_pages, inspect_picture, read_picture


class PictureFiles:
    """Listed picture files, with or without clean ones; each page of a TIFF is a picture.

    Parameters
    ----------
    folder : Path
        That all of the noisy ones are in, at any depth; their names start from it.
    noisy : list of Path
        The pictures.
    clean : list of Path, optional
        The clean one of each.
    """

    def __init__(self, folder: Path, noisy: list[Path], clean: list[Path] | None = None) -> None:
        self.where = str(folder)
        self._folder = folder
        self._noisy = noisy
        self._clean = clean
        self._pages = [(file, page) for file, path in enumerate(noisy) for page in range(count_pages(path))]

    def __len__(self) -> int:
        return len(self._pages)

    def name(self, number: int) -> str:
        """Path of the picture from the folder on, with its ending, such as `holiday/beach.png`."""
        file, page = self._pages[number]
        name = self._noisy[file].relative_to(self._folder).as_posix()
        alone = page == 0 and (file, 1) != self._pages[min(number + 1, len(self) - 1)]
        return name if alone else f"{name}, page {page + 1}"

    def inspect(self, number: int) -> PictureInfo:
        """Size and channels, which the clean picture must share; see `Source`."""
        file, page = self._pages[number]
        info = inspect_picture(self._noisy[file], page)
        if self._clean is not None:
            clean = inspect_picture(self._clean[file], page)
            if (clean.height, clean.width, clean.channels) != (info.height, info.width, info.channels):
                raise DataError(
                    f"{self._clean[file]}: {clean.size} px and {clean.channels} channel(s), but"
                    f" {self._noisy[file]} has {info.size} px and {info.channels}"
                )
        return info

    def read(self, number: int) -> Picture:
        """The picture, and its clean partner where there is one."""
        file, page = self._pages[number]
        clean = None if self._clean is None else read_picture(self._clean[file], page)
        return Picture(self.name(number), read_picture(self._noisy[file], page), clean)

    def noisy_alone(self) -> "PictureFiles":
        """The same pictures with no clean ones, which are then never opened."""
        alone = copy(self)
        alone._clean = None
        return alone

    def origin(self, number: int) -> tuple[str, ...]:
        """The files of the picture and of its clean partner; see `Source`."""
        file, page = self._pages[number]
        paths = [self._noisy[file]] if self._clean is None else [self._noisy[file], self._clean[file]]
        return tuple(stamp(path, page) for path in paths)


class Folder(PictureFiles):
    """The pictures of a folder; one is enough to train on.

    Parameters
    ----------
    folder, clean_folder, recursive
        See their descriptions.

    Raises
    ------
    DataError
        When the folder is missing, empty or holds something that is no picture, or a clean picture is
        missing.
    """

    def __init__(
        self,
        folder: Annotated[str, Field(description="folder of the noisy pictures")],
        clean_folder: Annotated[
            str | None,
            Field(
                description="folder of the clean pictures, of the same names (endings may differ), for PSNR"
                " and SSIM; None = not known"
            ),
        ] = None,
        recursive: Annotated[bool, Field(description="whether sub-folders are looked into")] = True,
    ) -> None:
        if not Path(folder).exists():
            raise DataError(
                f"{folder}: no such folder; put noisy pictures there, or set `folder`"
                " (--set training.dataset_args.folder=FOLDER)"
            )
        noisy, clean = list_pictures(folder, recursive), None
        if clean_folder is not None:
            noisy = _outside(noisy, Path(folder), Path(clean_folder))
            clean = _partners(noisy, Path(folder), list_pictures(clean_folder, recursive), Path(clean_folder))
        super().__init__(Path(folder), noisy, clean)


def _outside(pictures: list[Path], folder: Path, clean_folder: Path) -> list[Path]:
    """The noisy pictures, when the clean ones lie in a sub-folder of theirs."""
    inner = clean_folder.resolve()
    if inner == folder.resolve():
        raise DataError(f"clean_folder: expected another folder than `folder`, got {clean_folder} for both")
    if folder.resolve() not in inner.parents:
        return pictures
    outside = [path for path in pictures if inner not in path.resolve().parents]
    if not outside:
        raise DataError(f"{folder}: no pictures in it but the clean ones")
    return outside


def _partners(noisy: list[Path], folder: Path, clean: list[Path], clean_folder: Path) -> list[Path]:
    """The clean picture of each noisy one: the same path in its folder, or the same but for the ending."""
    by_stem: dict[Path, list[Path]] = defaultdict(list)
    for path in clean:
        by_stem[path.relative_to(clean_folder).with_suffix("")].append(path)
    partners, problems = [], []
    for path in noisy:
        name = path.relative_to(folder)
        found = by_stem[name.with_suffix("")]
        found = [clean_folder / name] if clean_folder / name in found else found
        if len(found) == 1:
            partners += found
        else:
            count = "no" if not found else "more than one"
            problems.append(f"{path}: {count} clean picture {name.with_suffix('')}.* in {clean_folder}")
    raise_together(problems)
    return partners
