"""The text of docs/formats.md: tables of formats and properties."""

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
_ANY_TIFF_PROPERTY = "TIFF tags"
_TEXT = """\
# Formats: what a result keeps of its image

`python -m docs.formats` generates this page, and a test compares it. The program denoises small files with
one property each, and other programs read the results. A row is a format of the image and of its result: the
same format with `--format same`, PNG with `--format png`. Without `--format`, a JPEG becomes a PNG; all other
formats are as with `same`. For OME and ImageJ the page compares axes, sizes, scale and time step.

| a cell | means |
|---|---|
| kept | the result has the same |
| upright, RGB, ... | the result has this instead |
| lost | the result lacks it |
| left out | removed on purpose, as it shows the noisy image |
| ..., logged | the log reports it, once for all similar images |
| refused | there is no result; the error says why and what to do |
| – | not supported by the format, or not compared |
"""


class Property(NamedTuple):
    """A column of the tables.

    Attributes
    ----------
    words : str
        A pattern of the message logged if the property is not kept.
    gone : str
        The cell if the result lacks the property.
    shown : bool
        Whether the cell shows the value found, instead of whether it is kept.
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
        "10 or 12 bits": Property("bits|white|data range", shown=True),
        "data range in the header": Property("white|data range"),
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
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


class Unchanged:
    """Denoises files with a network that returns its input, and collects the log."""

    def __init__(self) -> None:
        config = check_config(Document(_CONFIG, {}, str(PAGE)))
        network = build_model(config, torch.device("cpu"))
        network.module.forward = lambda images, window=None: images  # type: ignore[method-assign, misc]
        self._trained = Trained(PAGE, 0, config, network, None)

    def result(self, path: Path, kind: Format) -> tuple[Path, str]:
        """Denoise an image. Return the result and the log; `DataError` if the image is refused."""
        out = path.with_name(f"{kind}_{result_names([path], kind)[path]}")
        listener = _Listener()
        LOG.addHandler(listener)
        try:
            FileDenoiser(self._trained, FileOptions(kind)).file(path, out)
        finally:
            LOG.removeHandler(listener)
        return out, "\n".join(listener.messages).replace(str(path), "")


def page_text() -> str:
    """Return the page, without the rows of formats that cannot be read or written here."""
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
    """Yield a row for each format of results; none if the format supports none of the properties."""
    kinds: dict[str, Format] = (
        {"PNG": "png"} if name == "PNG" or ENDINGS[name] not in WRITTEN else {name: "same", "PNG": "png"}
    )
    for result, kind in kinds.items():
        cells = [_cell(unchanged, folder, name, column, kind, result) for column in columns]
        if set(cells) != {NONE}:
            yield [name, result, *cells]


def _cell(unchanged: Unchanged, folder: Path, name: str, column: str, kind: Format, result: str) -> str:
    """Return what became of a property of an image."""
    if name not in FILES[column]:
        return NONE
    path = folder / name / column / f"image{ENDINGS[name]}"
    path.parent.mkdir(parents=True, exist_ok=True)
    FILES[column][name](path)
    found, wanted = FOUND[column], _property(column)
    if not wanted.shown and found(path) is None:
        raise ValueError(f"{path}: expected a file with {column}, found none")
    try:
        out, log = unchanged.result(path, kind)
    except DataError:
        return "refused"
    after = found(out)
    if not wanted.shown and after == found(path):
        return "kept"
    word = str(after) if wanted.shown else wanted.gone
    if out.suffix != ENDINGS[result]:
        word += f" (a {out.suffix[1:].upper()})"
    is_logged = re.search(wanted.words, log) or (not wanted.shown and _ANY_TIFF_PROPERTY in log)
    return f"{word}, logged" if is_logged and word != NONE else word


def _property(column: str) -> Property:
    return next(columns[column] for columns in TABLES.values() if column in columns)
