"""Before a training: the noise of its images, and what the masker hides of it, in words and in an image."""

from collections.abc import Iterator
from pathlib import Path

from src.data_handlers.samples.samples import Samples
from src.trainer.adapt.measure import EDGE, FEWEST, measure_noise, noise_places
from src.trainer.adapt.noise_image import noise_image
from src.trainer.adapt.noise_table import Measurement, table
from src.trainer.adapt.parts import chosen_of, fair_gamma, pair_of, parts_of
from src.trainer.config.build import build_masker, noisy_images
from src.trainer.config.run_config import AdaptBlock, RunConfig
from src.trainer.evaluation.noise_report import noise_report
from src.trainer.finish import Finish
from src.trainer.network.whole_image import WholeImage
from src.util.images.io import write_image
from src.util.logger import progress_bar


def report_noise(config: RunConfig, network: WholeImage, image: Path | None) -> Iterator[str]:
    """Measure the noise of the training images, as they are trained on.

    Parameters
    ----------
    config : RunConfig
        Checked.
    network : WholeImage
        The general network, which tells the images' flat places.
    image : Path or None
        A PNG file to be, in a folder that is there.

    Yields
    ------
    str
        Lines of text, as they are known: first what `noise_report` says, then the noise by brightness, or why
        it cannot be measured; there is no image then.

    Raises
    ------
    DataError
        When the images cannot be used.
    StorageError
        When the image cannot be written.
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
    """Measure noise as it is for the targets of an adaptation.

    Parameters
    ----------
    images : Samples
        Noisy, whole.
    network : WholeImage
        Denoises them.
    finish : Finish
        Says in which light the noise is fair, or that it has to be found.
    pixels : int
        Of all images together, at most.

    Returns
    -------
    Measurement or str
        Why there is none, where there are too few flat places.
    """
    chosen = chosen_of(images, pixels)
    names, pairs = [], []
    with progress_bar(len(chosen.numbers), "image") as bar:
        for part in parts_of(images, *chosen):
            names.append(part.name)
            pairs.append(pair_of(network, part))
            bar.update()
    if not pairs:
        return "no image can be read any more"
    gamma = fair_gamma(finish, iter(pairs[:: chosen.every]))
    places = [noise_places(pair, gamma) for pair in pairs]
    noise = measure_noise(places, gamma, pairs[-1].step)
    if noise is None:
        found = sum(len(each) for each in places)
        return (
            f"{found} flat places of {EDGE}x{EDGE} px were found, {FEWEST} are needed; others are constant"
            " or clipped, or the images are too small"
        )
    return Measurement(noise, names, pairs, places)
