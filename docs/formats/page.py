"""The page: tables of formats and properties."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from docs.formats.files import ENDINGS, FILES, missing
from docs.formats.found import FOUND
from src.trainer.config.build import build_model
from src.trainer.config.reading import check_config
from src.trainer.inference.denoise_files import FileDenoiser, FileOptions
from src.trainer.inference.result_files import Format, result_names
from src.trainer.inference.trained import Trained
from src.util.config.yaml_document import Document
from src.util.errors import DataError
from src.util.images.formats.known import WRITTEN
from src.util.logger import LOG

PAGE = Path(__file__).parents[1] / "formats.md"
NONE = "–"
_CONFIG = {"model": {"kwargs": {"bsn": "UNet2", "features": [2, 4]}}, "nan": "keep"}
_OF_ANY_TIFF = "TIFF tags"
_TEXT = """\
# Formats: for whoever wants to know what of an image is in its result

`python -m docs.formats` makes this page: small files, each with one property, go through the program, and
other programs read their results; a test does it again. A row is what an image is, and what its result is:
of the same format with `--format same`, a PNG with `--format png`. Without `--format` a JPEG becomes a PNG,
and all else is as with `same`. Of OME and ImageJ: axes, sizes, scale and time step.

| a cell | means |
|---|---|
| kept | the result has the same |
| upright, RGB, ... | the result has this instead |
| lost | the result has none of it |
| left out | the same, on purpose: it shows the noisy image |
| ..., said | a line says so, once for all images that are like it |
| refused | there is no result; a line says why, and what to do |
| – | the format has no such thing, or it was not looked at |
"""


class Property(NamedTuple):
    """A column; its name is that of its files, and of what finds it.

    Attributes
    ----------
    words : str
        A pattern of what is said where it is not kept.
    gone : str
        What it is called where the result has none.
    shown : bool
        Whether the cell is what was found, not whether that is the same.
    """

    words: str
    gone: str = "lost"
    shown: bool = False


TABLES: Mapping[str, Mapping[str, Property]] = {
    "What comes with a photograph": {
        "orientation": Property("turned", shown=True),
        "colour profile": Property("profile"),
        "EXIF": Property("EXIF"),
        "XMP": Property("XMP"),
        "resolution": Property("resolution"),
        "IPTC": Property("IPTC"),
        "title or comment": Property("comment|chunk"),
        "thumbnail": Property("reduced copies", gone="left out"),
    },
    "Colours": {
        "transparency": Property("transparency"),
        "palette": Property("palette", shown=True),
        "CMYK": Property("CMYK", shown=True),
        "YCbCr": Property("YCbCr", shown=True),
        "CIELab": Property("CIELab", shown=True),
    },
    "Values": {
        "16 bits": Property("bits"),
        "10 or 12 bits": Property("bits|data range of", shown=True),
        "white in the header": Property("data range of"),
        "32-bit floats": Property("float"),
        "NaN": Property("NaN"),
        "no data (GDAL)": Property("missing"),
    },
    "Files": {
        "several images": Property("further images", shown=True),
        "OME": Property("description"),
        "ImageJ": Property("description"),
        "georeference": Property("tags"),
        "LZW, predictor": Property("compression", gone=NONE),
        "tiles": Property("tiles", gone=NONE),
        "BigTIFF": Property("BigTIFF", gone=NONE),
    },
}


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


class Unchanged:
    """Denoises files with a network that gives back what it gets, and hears what is said."""

    def __init__(self) -> None:
        config = check_config(Document(_CONFIG, {}, str(PAGE)))
        network = build_model(config, torch.device("cpu"))
        network.module.forward = lambda images, window=None: images  # type: ignore[method-assign, misc]
        self._trained = Trained(PAGE, 0, config, network, None)

    def result(self, path: Path, kind: Format) -> tuple[Path, str]:
        """An image's result, and all that was said; DataError where there is none."""
        out = path.with_name(f"{kind}_{result_names([path], kind)[path]}")
        listener = _Listener()
        LOG.addHandler(listener)
        try:
            FileDenoiser(self._trained, FileOptions(kind)).file(path, out)
        finally:
            LOG.removeHandler(listener)
        return out, "\n".join(listener.said).replace(str(path), "")


def written() -> str:
    """The whole page, without the rows of formats that cannot be read or made here."""
    unchanged = Unchanged()
    with TemporaryDirectory() as folder:
        tables = [_table(title, unchanged, Path(folder)) for title in TABLES]
    return "\n".join([_TEXT, *tables])


def _table(title: str, unchanged: Unchanged, folder: Path) -> str:
    columns = TABLES[title]
    rows = [
        row for name in ENDINGS if name not in missing() for row in _rows(name, columns, unchanged, folder)
    ]
    head = ["image", "result", *columns]
    return "\n".join([f"## {title}\n", _line(head), "|---" * len(head) + "|", *map(_line, rows), ""])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rows(
    name: str, columns: Mapping[str, Property], unchanged: Unchanged, folder: Path
) -> Iterator[list[str]]:
    """One for each format that results may have; none where the format has none of the properties."""
    kinds: dict[str, Format] = (
        {"PNG": "png"} if name == "PNG" or ENDINGS[name] not in WRITTEN else {name: "same", "PNG": "png"}
    )
    for result, kind in kinds.items():
        cells = [_cell(unchanged, folder, name, column, kind, result) for column in columns]
        if set(cells) != {NONE}:
            yield [name, result, *cells]


def _cell(unchanged: Unchanged, folder: Path, name: str, column: str, kind: Format, result: str) -> str:
    """What became of a property of an image."""
    if name not in FILES[column]:
        return NONE
    path = folder / name / f"{column}{ENDINGS[name]}"
    path.parent.mkdir(exist_ok=True)
    FILES[column][name](path)
    found, what = FOUND[column], _property(column)
    if not what.shown and found(path) is None:
        raise ValueError(f"a {name} with {column}: there is none in it")
    try:
        out, said = unchanged.result(path, kind)
    except DataError:
        return "refused"
    after = found(out)
    if not what.shown and after == found(path):
        return "kept"
    word = str(after) if what.shown else what.gone
    if out.suffix != ENDINGS[result]:
        word += f" (a {out.suffix[1:].upper()})"
    is_said = re.search(what.words, said) or (not what.shown and _OF_ANY_TIFF in said)
    return f"{word}, said" if is_said and word != NONE else word


def _property(column: str) -> Property:
    return next(columns[column] for columns in TABLES.values() if column in columns)
