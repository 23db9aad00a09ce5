"""Train a denoiser: `python main.py -c sidd_train -s run -g 0`; without arguments, the demo."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from src.trainer.checkpoints.general import NAME
from src.trainer.config.names import begun_demo, check_image_name, check_training_names
from src.util.errors import ConfigError
from src.util.file_manager import FileManager, timestamp
from src.util.flags import common_flags
from src.util.logger import LOG
from src.util.script import run

if TYPE_CHECKING:
    import torch

    from src.trainer.config.run_config import RunConfig
    from src.trainer.inference.trained import Trained


def main() -> int:
    """Read the flags, then train, alone or as one of torchrun's processes."""
    flags = _flags()
    begins = not (flags.resume or flags.print_config or flags.noise_report is not None)
    check_training_names(flags.config, flags.session, flags.settings, begins, flags.resume)
    if flags.noise_report:
        check_image_name(Path(flags.noise_report), "--noise-report")
    # PyTorch and the training take seconds to load: wrong names are reported before, wrong values in between.
    from src.trainer.config.reading import agreed_config, to_yaml
    from src.trainer.parallel.distributed import processes_of_torchrun
    from src.util.device import resolve_device

    demo = begun_demo(flags.session, flags.settings) if flags.resume and flags.config is None else None
    with processes_of_torchrun() as processes:
        config = agreed_config(processes, partial(_read_config, flags, demo))
        if flags.print_config:
            if processes.first:
                print(to_yaml(config), end="")
            return 0
        from src.trainer.adapt.stages import adapt
        from src.trainer.training.session import train

        device, line = resolve_device(flags.gpu, None if processes.alone else processes.local_rank)
        LOG.info(line)
        if flags.noise_report is not None:
            if processes.first:
                _report_noise(flags, config, device)
            return 0
        if demo is not None or (flags.config is None and not flags.resume):
            if not processes.alone:
                raise ConfigError("the demo trains in one process; choose what to train with -c")
            from src.trainer.demo.demo import run_demo

            general = _general(device)
            known = general.network, general.config.test.finish
            run_demo(config, _run_name(flags), device, flags.thread, known, flags.resume)
            return 0
        files = FileManager(config.output_folder, _run_name(flags))
        # A run that torchrun restarts (--max-restarts) is resumed, but only if these processes began it.
        resume = flags.resume or processes.have_begun(files.folder)
        if config.adapt is None:
            train(config, files, device, flags.thread, resume, processes)
        elif processes.alone:
            adapt(config, files, device, flags.thread, resume)
        else:
            raise ConfigError("adapt: a network is adapted in one process; leave torchrun out")
    return 0


def _read_config(flags: argparse.Namespace, demo: FileManager | None) -> "RunConfig":
    """Read the configuration that the flags name, or that of the run or `demo` to resume."""
    from src.trainer.config.reading import demo_config, read_config, run_config

    if demo is not None:
        return demo_config(demo, flags.settings)
    if flags.resume and flags.config is None:
        return run_config(flags.session, flags.settings)
    return read_config(flags.config or "demo", flags.settings)


def _report_noise(flags: argparse.Namespace, config: "RunConfig", device: "torch.device") -> None:
    from src.trainer.adapt.noise_report import report_noise

    image = Path(flags.noise_report) if flags.noise_report else None
    for text in report_noise(config, _general(device).network, image):
        print(text, end="", flush=True)


def _general(device: "torch.device") -> "Trained":
    from src.trainer.inference.trained import load_trained

    return load_trained(device, [], None, None, None, NAME)


def _flags() -> argparse.Namespace:
    parser = common_flags("Train a denoiser on noisy images. Without -c: the demo, in a few minutes.")
    parser.add_argument("-r", "--resume", action="store_true", help="resume the run that -s names")
    parser.add_argument(
        "--print-config", action="store_true", help="print the whole configuration, then stop"
    )
    parser.add_argument(
        "--noise-report", nargs="?", const="", metavar="FILE.png",
        help="measure the noise of the training images: over how many pixels it is correlated, compared with"
        " what is hidden, and how strong it is by brightness; draw it into FILE.png, if given, and stop",
    )  # fmt: skip
    flags = parser.parse_args()
    if flags.resume and flags.session is None:
        raise ConfigError("-r: name the run to resume with -s RUN")
    return flags


def _run_name(flags: argparse.Namespace) -> str:
    if flags.session is not None:
        return str(flags.session)
    paths = [path.replace("\\", "/").rstrip("/") for path in flags.config or ["demo"]]
    names = [path.split("/")[-1].removesuffix(".yaml").removesuffix(".yml") for path in paths]
    return "_".join([*names, timestamp()])


if __name__ == "__main__":
    sys.exit(run(main))
