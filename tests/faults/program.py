"""Run `main.py` and `test.py` in processes forked from one that has imported the packages."""

import json
import multiprocessing
import os
import resource
import runpy
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAIN = ("main.py", "-c", "tiny.yaml", "-s", "run", "-g", "cpu")
_CONTEXT = multiprocessing.get_context("forkserver")
_IMPORTS = (
    "pytest torch src.trainer.training.session src.trainer.demo.demo src.trainer.inference.testing"
    " torch._dynamo scipy.stats skimage.metrics.simple_metrics"
)
_CONTEXT.set_forkserver_preload([*_IMPORTS.split(), __name__])


def _run(script, words, cwd, file_size, setup):
    os.setsid()  # so that a kill reaches the loader workers
    os.chdir(cwd)
    multiprocessing.set_start_method(None, force=True)  # start loader workers as in normal use
    for stream, name in ((1, "out.txt"), (2, "err.txt")):
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(descriptor, stream)
    if file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, resource.RLIM_INFINITY))
    if setup is not None:
        setup()
    sys.argv = [script, *words]
    sys.stdout.reconfigure(write_through=True)
    runpy.run_path(str(ROOT / script), run_name="__main__")


@dataclass
class Ended:
    """Exit code and output of a program."""

    code: int
    out: str
    err: str


class Program:
    """A running script. Its output goes to files in `cwd`, so that each needs its own folder to be read."""

    def __init__(self, cwd, script, *words, file_size=None, setup=None):
        self.cwd = Path(cwd)
        self.cwd.mkdir(parents=True, exist_ok=True)
        for name in ("out.txt", "err.txt"):
            (self.cwd / name).unlink(missing_ok=True)
        words = [str(word) for word in words]
        self.process = _CONTEXT.Process(target=_run, args=(script, words, str(cwd), file_size, setup))
        self.process.start()

    def send(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        """Kill the process and its workers."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # before its setsid
            self.process.kill()

    def wait(self, seconds=None):
        """Return exit code and output, or None if it still runs after `seconds`."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            return None
        files = [(self.cwd / name) for name in ("out.txt", "err.txt")]
        return Ended(self.process.exitcode, *(p.read_text() if p.exists() else "" for p in files))


def run(cwd, script, *words, seconds=120, **options):
    """Run a script to its end; TimeoutError after `seconds`."""
    program = Program(cwd, script, *words, **options)
    ended = program.wait(seconds)
    if ended is None:
        program.kill()
        raise TimeoutError(json.dumps(words))
    return ended
