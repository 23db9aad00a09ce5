"""Report the noise of training images before a training, as text and as an image."""

from collections.abc import Iterator
from pathlib import Path

from src.data_handlers.samples.samples import Samples
from src.trainer.adapt.measure import EDGE, MIN_PLACES, measure_noise, noise_places
from src.trainer.adapt.noise_image import noise_image
from src.trainer.adapt.noise_table import Measurement, table
from src.trainer.adapt.parts import denoise_part, noise_gamma, read_parts, select_parts
from src.trainer.config.build import build_masker, noisy_images
from src.trainer.config.run_config import AdaptBlock, RunConfig
from src.trainer.evaluation.noise_report import noise_report
from src.trainer.finish import Finish
from src.trainer.network.whole_image import WholeImage
from src.util.images.io import write_image
from src.util.logger import progress_bar


def report_noise(config: RunConfig, network: WholeImage, image: Path | None) -> Iterator[str]:
    """Measure the noise of the training images.

    Parameters
    ----------
    config : RunConfig
        A checked configuration.
    network : WholeImage
        The general network, by which flat places are found.
    image : Path or None
        PNG file to write, in an existing folder.

    Yields
    ------
    str
        Text as soon as it is known: the report of `noise_report`, then the noise by brightness. If that
        cannot be measured, the reason, and no image is written.

    Raises
    ------
    DataError
        If the images cannot be used.
    StorageError
        If the image cannot be written.
    """
    images = noisy_images(config)
    yield noise_report(images, build_masker(config))
    block = config.adapt or AdaptBlock()
    measured = measurement(images, network, config.test.finish, round(block.megapixels * 1e6))
    if isinstance(measured, str):
        without = "; no image is written" if image else ""
        yield f"{images.source.where}: the noise cannot be measured by brightness: {measured}{without}\n"
        return
    yield "\n".join(table(measured)) + "\n"
    if image is not None:
        write_image(image, noise_image(measured))
        yield f"image: {image}\n"


def measurement(images: Samples, network: WholeImage, finish: Finish, pixels: int) -> Measurement | str:
    """Measure noise in the same way as for the targets of an adaptation.

    Parameters
    ----------
    images : Samples
        Whole noisy images.
    network : WholeImage
        Denoises them.
    finish : Finish
        Gives the gamma of the linear light in which noise is symmetric, or `auto`.
    pixels : int
        Largest number of pixels to use from all images together.

    Returns
    -------
    Measurement or str
        The reason as text if nothing can be measured.
    """
    selection = select_parts(images, pixels)
    names, pairs = [], []
    with progress_bar(len(selection.numbers), "image") as bar:
        for part in read_parts(images, *selection):
            names.append(part.name)
            pairs.append(denoise_part(network, part))
            bar.update()
    if not pairs:
        return "no image can be read any more"
    gamma = noise_gamma(finish, iter(pairs[:: selection.gamma_stride]))
    places = [noise_places(pair, gamma) for pair in pairs]
    pooled = measure_noise(places, gamma, pairs[-1].step)
    if pooled is None:
        found = sum(len(each) for each in places)
        return (
            f"{found} flat places of {EDGE}x{EDGE} px were found, {MIN_PLACES} are needed; others are"
            " constant or clipped, or the images are too small"
        )
    return Measurement(*pooled, names, pairs, places)
