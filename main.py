"""Train a denoiser: `python main.py -c sidd_train -s run -g 0`; without arguments, the demo."""

import argparse
import sys

from src.trainer.build import read_config, to_yaml
from src.trainer.demo import run_demo
from src.trainer.run_config import RunConfig
from src.trainer.session import run_config, train
from src.util.device import resolve_device
from src.util.errors import ConfigError
from src.util.file_manager import FileManager, timestamp
from src.util.logger import LOG
from src.util.script import common_flags, run


def main() -> int:
    """Read the flags, then train."""
    flags = _flags()
    config = _config(flags)
    if flags.print_config:
        print(to_yaml(config), end="")
        return 0
    device, line = resolve_device(flags.gpu)
    LOG.info(line)
    if flags.config is None and not flags.resume:
        run_demo(config, _run_name(flags), device, flags.thread)
        return 0
    train(config, FileManager(config.output_folder, _run_name(flags)), device, flags.thread, flags.resume)
    return 0


def _flags() -> argparse.Namespace:
    parser = common_flags("Train a denoiser on noisy pictures. Without -c: the demo, in a few minutes.")
    parser.add_argument("-r", "--resume", action="store_true", help="go on with the run of -s")
    parser.add_argument(
        "--print-config", action="store_true", help="print the whole configuration, then stop"
    )
    flags = parser.parse_args()
    if flags.resume and flags.session is None:
        raise ConfigError("-r: say by -s RUN which run to resume")
    return flags


def _config(flags: argparse.Namespace) -> RunConfig:
    if flags.config is None and flags.resume:
        return run_config(flags.session, flags.settings)
    return read_config("demo" if flags.config is None else flags.config, flags.settings)


def _run_name(flags: argparse.Namespace) -> str:
    if flags.session is not None:
        return str(flags.session)
    path = (flags.config or "demo").replace("\\", "/").rstrip("/")
    return f"{path.split('/')[-1].removesuffix('.yaml').removesuffix('.yml')}_{timestamp()}"


if __name__ == "__main__":
    sys.exit(run(main))
