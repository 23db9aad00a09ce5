"""A trained network on picture files: one, or all of a folder."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from src.trainer.trained import Trained
from src.util.errors import DataError, UserError
from src.util.file_manager import made_folder
from src.util.image_io import as_channels, read_picture, to_float, to_uint8, write_picture
from src.util.logger import LOG, progress_bar
from src.util.picture_folder import list_files


def denoise_file(trained: Trained, path: Path, out: Path) -> None:
    """Denoise one picture of any size, whole.

    Parameters
    ----------
    trained : Trained
        The network.
    path : Path
        An 8-bit grey or RGB picture.
    out : Path
        File to write, of any picture format; its folder exists.
    """
    picture = read_picture(path)
    channels = trained.config.model.kwargs["in_channels"]
    try:
        noisy = to_float(as_channels(picture, channels))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    denoised = trained.network.denoise(noisy, str(path))
    if picture.shape[2] == 1:
        denoised = denoised.mean(dim=0, keepdim=True)
    write_picture(out, to_uint8(denoised))


def denoise_folder(trained: Trained, folder: Path, out: Path) -> int:
    """Denoise each picture of a folder; a bad one is named and the others go on.

    Returns
    -------
    int
        How many pictures failed.
    """
    pictures = list_files(folder, recursive=False)
    names = result_names(pictures)
    made_folder(out)
    failures: list[UserError] = []
    with progress_bar(len(pictures), "picture") as bar:
        for picture in pictures:
            try:
                denoise_file(trained, picture, out / names[picture])
            except DataError as error:
                failures.append(error)
                LOG.error("%s", error)
            bar.update()
    LOG.info("%d of %d pictures denoised; results: %s", len(pictures) - len(failures), len(pictures), out)
    return len(failures)


def result_names(pictures: Sequence[Path]) -> dict[Path, str]:
    """`NAME_DN.png` for each picture; where two would share it, the ending stays in: `NAME.jpg_DN.png`."""
    # Some file systems take `A` and `a` for one name.
    stems = Counter(picture.stem.casefold() for picture in pictures)
    names = {picture.name.casefold() for picture in pictures}
    unique = {p for p in pictures if stems[p.stem.casefold()] == 1 and p.stem.casefold() not in names}
    return {picture: f"{picture.stem if picture in unique else picture.name}_DN.png" for picture in pictures}
