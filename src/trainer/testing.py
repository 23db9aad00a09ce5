"""Using a trained network: on a dataset with scores, on one picture, on a folder of pictures."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from src.data_handlers import build_loader
from src.trainer.build import build_loss, build_masker, build_model, build_pictures, check_config, read_config
from src.trainer.checkpoint import CheckpointStore, load_checkpoint
from src.trainer.evaluate import Evaluated, MaskedLoss, Scores, evaluate, score_all
from src.trainer.network import Network
from src.trainer.run_config import RunConfig
from src.trainer.session import named_run
from src.util.errors import CheckpointError, ConfigError, DataError, UserError
from src.util.file_manager import FileManager, made_folder
from src.util.image_io import as_channels, read_picture, to_float, to_uint8, write_picture
from src.util.logger import LOG, progress_bar
from src.util.picture_folder import list_files
from src.util.yaml_document import Document, override, read_yaml


@dataclass(frozen=True)
class Trained:
    """A checkpoint, ready to be used.

    Parameters
    ----------
    path : Path
        Where it was read.
    epoch : int
        Epochs it was trained for.
    config : RunConfig
        Given, or the checkpoint's own.
    network : Network
        With its weights.
    run : FileManager or None
        The run it belongs to, if it was named.
    """

    path: Path
    epoch: int
    config: RunConfig
    network: Network
    run: FileManager | None


def load_trained(
    device: torch.device, settings: Sequence[str], config: str | None, session: str | None,
    epoch: int | None, pretrained: str | None,
) -> Trained:  # fmt: skip
    """Find a checkpoint and build its network; never one with random weights.

    Parameters
    ----------
    device : torch.device
        Where the network goes.
    settings : sequence of str
        Overrides `KEY=VALUE` of the configuration.
    config : str or None
        A configuration's name or path; None takes the checkpoint's own.
    session : str or None
        A run's name.
    epoch : int or None
        A checkpoint of that run; None takes its newest. Ignored when `pretrained` is given.
    pretrained : str or None
        A checkpoint's path, or its name in the run.

    Raises
    ------
    CheckpointError
        When there is no such checkpoint, or it does not fit the network of the configuration.
    """
    if pretrained is None and session is None:
        raise ConfigError("say which network: --pretrained CKPT (a .pth file), or -s RUN (a run's last one)")
    given = None if config is None else read_config(config, settings)
    run = None
    if session is not None:
        run = FileManager(given.output_folder, session) if given else named_run(session, settings)
    path, content = _checkpoint(run, epoch, pretrained, device)
    if given is None:
        given = _own_config(path, content, run, settings)
    network = build_model(given, device)
    try:
        network.module.load_state_dict(content["model_weights"])
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(f"{path}: does not fit the configuration's network: {reason}") from None
    LOG.info("checkpoint %s, after epoch %d", path, content["epoch"])
    return Trained(path, content["epoch"], given, network, run)


def score_dataset(trained: Trained, workers: int, out: Path | None) -> Path:
    """Denoise and score the dataset of the `test` block.

    Parameters
    ----------
    trained : Trained
        The network and its configuration.
    workers : int
        Processes that load pictures.
    out : Path or None
        Where to write; None makes a folder `img/test_DATASET_EPOCH_TIME` in the run.

    Returns
    -------
    Path
        The folder, with `metrics.csv` (per picture), `metrics.txt` (means) and the pictures.
    """
    config = trained.config
    pictures = build_pictures(config, "test")
    loader = build_loader(pictures, 1, workers, trained.network.device.type == "cuda")
    blocks = (config.test, config.validation, config.training)
    dataset = next(block.dataset for block in blocks if block.dataset is not None)
    run = trained.run or FileManager(config.output_folder, _run_name(trained.path))
    folder = made_folder(out) if out else run.test_folder(dataset, trained.epoch)
    masked_loss = MaskedLoss(build_masker(config), build_loss(config), config.seed)
    with progress_bar(len(loader), "picture") as bar:

        def use(result: Evaluated) -> None:
            if config.test.save_image:
                result.save(folder)
            bar.update()

        scores = score_all(evaluate(trained.network, loader, masked_loss), len(pictures.source), use)
    _write_scores(folder, scores, f"{dataset}, {trained.path}, epoch {trained.epoch}")
    LOG.info("%s: %s", dataset, scores.line())
    LOG.info("results: %s", folder)
    return folder


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


def _checkpoint(
    run: FileManager | None, epoch: int | None, pretrained: str | None, device: torch.device
) -> tuple[Path, dict[str, Any]]:
    if pretrained is not None:
        found = run.find_checkpoint(pretrained) if run else None
        if run and found:
            return found, CheckpointStore(run).load(found, device)
        return Path(pretrained), load_checkpoint(Path(pretrained), device)
    assert run is not None
    if epoch is not None:
        return run.checkpoint_file(epoch), CheckpointStore(run).load(run.checkpoint_file(epoch), device)
    return CheckpointStore(run).newest(device)


def _own_config(
    path: Path, content: dict[str, Any], run: FileManager | None, settings: Sequence[str]
) -> RunConfig:
    if isinstance(content.get("config"), dict):
        document = Document(content["config"], {}, f"configuration in {path}")
    elif run is not None and run.config_file.is_file():
        document = read_yaml(run.config_file)
    else:
        raise ConfigError(f"{path}: carries no configuration (as the original's); say which by -c")
    return check_config(override(document, settings))


def _run_name(path: Path) -> str:
    inside_run = path.parent.name in ("checkpoint", "best_ckpts")
    return path.resolve().parent.parent.name if inside_run else path.stem


def _write_scores(folder: Path, scores: Scores, title: str) -> None:
    names = list(dict.fromkeys(name for picture in scores.pictures for name in picture.metrics))
    with open(folder / "metrics.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "name", *names])
        for index, picture in enumerate(scores.pictures):
            writer.writerow([f"{index:04d}", picture.name, *(picture.metrics.get(n, "") for n in names)])
    (folder / "metrics.txt").write_text(f"{title}\n{scores.line()}\n", encoding="utf-8")
