"""Score a trained network on a dataset."""

import csv
import re
from io import StringIO
from pathlib import Path

from src.data_handlers.loading.sampling import build_loader
from src.trainer.config.build import build_images
from src.trainer.config.reading import to_yaml
from src.trainer.evaluation.evaluate import Evaluated, Scores, count_words, evaluate, score_all
from src.trainer.evaluation.masked_loss import masked_loss_of
from src.trainer.evaluation.sanity import BLANK
from src.trainer.evaluation.saving import save_values
from src.trainer.evaluation.summary import summary
from src.trainer.inference.trained import Trained
from src.trainer.report import Look, Report
from src.util.atomic_file import write_atomically
from src.util.errors import DataError
from src.util.file_manager import FileManager, expect_free, made_folder
from src.util.images.value_range import ALL_NAN
from src.util.logger import LOG, progress_bar

# Names of the files that a test writes.
_RESULT = re.compile(
    r"\d{4,}_(NOISY|CLEAN|DN(_[-\w.]+)?)\.(png|npy)|metrics\.(csv|txt)|report\.html|panel\.png"
)


def score_dataset(trained: Trained, workers: int, out: Path | None, overwrite: bool = False) -> Path:
    """Denoise and score the dataset of the `test` block.

    Parameters
    ----------
    trained : Trained
        The network and its configuration.
    workers : int
        Number of processes that load images.
    out : Path or None
        Folder for the results. None makes a folder `img/test_DATASET_EPOCH_TIME` in the checkpoint's run, or
        in a run with the checkpoint's name in the configuration's output folder.
    overwrite : bool
        Whether to replace results in `out`.

    Returns
    -------
    Path
        The folder. It holds `metrics.csv` (scores per image), `metrics.txt` (summary), the images with
        `report.html` and `panel.png`, and the network's values if the configuration asks for them.

    Raises
    ------
    ConfigError
        If `out` holds results and `overwrite` is not set.
    """
    config = trained.config
    if out is not None and not overwrite:
        _expect_no_results(out)
    images = build_images(config, "test")
    loader = build_loader(images, 1, workers, trained.network.device.type == "cuda")
    blocks = (config.test, config.validation, config.training)
    dataset = next(block.dataset for block in blocks if block.dataset is not None)
    run = trained.run or FileManager(config.output_folder, _run_name(trained.path))
    folder = made_folder(out) if out else run.test_folder(dataset, trained.epoch)
    masked_loss = masked_loss_of(config)
    report = Report(folder, "", to_yaml(config), str(trained.path), len(loader))
    looks: dict[int, Look] = {}
    blank: list[str] = []
    empty: list[str] = []
    numbers: list[int] = []

    def write(result: Evaluated) -> None:
        score = result.score
        if result.is_blank:
            blank.append(score.name)
        if result.is_all_nan:
            empty.append(score.name)
        if config.test.save_image:
            result.save(folder)
            looks[result.index] = report.look(
                result.index, score.name, result.noisy, result.denoised, result.clean, score.metrics
            )
        if config.test.save_float:
            save_values(folder, result.index, result.denoised)

    with progress_bar(len(loader), "image") as bar:

        def use(result: Evaluated) -> None:
            if config.test.save_image:
                report.take(looks.pop(result.index))
            numbers.append(result.index)
            bar.update()

        results = evaluate(
            trained.network, loader, masked_loss, write, finish=config.test.finish, whole=trained.whole
        )
        scores = score_all(results, len(images.source), use)
    if not scores.images:
        raise DataError(f"{images.source.where}: none of {len(images)} images can be read any more")
    _write_scores(folder, scores, numbers, f"{dataset}, {trained.path}, epoch {trained.epoch}")
    count = count_words(len(scores.images), scores.available)
    report.title = f"{dataset}, epoch {trained.epoch}, {count}"
    report.close()
    LOG.info("%s: %s", dataset, scores.line())
    for names, what in ((blank, BLANK), (empty, ALL_NAN)):
        if names:
            LOG.warning("%s: %s (%d of %d)", names[0], what, len(names), len(scores.images))
    LOG.info("results: %s", folder)
    return folder


def _expect_no_results(folder: Path) -> None:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if _RESULT.fullmatch(path.name):
            expect_free(path, "--out")


def _run_name(path: Path) -> str:
    inside_run = path.parent.name in ("checkpoint", "best_ckpts")
    return path.resolve().parent.parent.name if inside_run else path.stem


def _write_scores(folder: Path, scores: Scores, numbers: list[int], title: str) -> None:
    # The numbers are those of the image files: an unreadable image leaves a gap.
    names = list(dict.fromkeys(name for image in scores.images for name in image.metrics))
    table = StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(["picture", "name", *names])
    for index, image in zip(numbers, scores.images, strict=True):
        writer.writerow([f"{index:04d}", image.name, *(image.metrics.get(n, "") for n in names)])
    for name, text in {"metrics.csv": table.getvalue(), "metrics.txt": f"{title}\n{summary(scores)}"}.items():
        with write_atomically(folder / name) as file:
            file.write(text.encode(errors="backslashreplace"))  # a file name may not be valid UTF-8
