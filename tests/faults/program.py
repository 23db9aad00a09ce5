"""`main.py` and `test.py` as processes of their own, forked from one that has the imports ready."""

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
_CONTEXT = multiprocessing.get_context("forkserver")
_IMPORTS = (
    "pytest torch src.trainer.training.session src.trainer.training.demo src.trainer.inference.testing"
    " torch._dynamo scipy.stats skimage.metrics.simple_metrics"
)
_CONTEXT.set_forkserver_preload([*_IMPORTS.split(), __name__])


def _run(script, words, cwd, file_size, setup):
    os.setsid()  # a kill takes the loader workers, too, and nobody else
    os.chdir(cwd)
    multiprocessing.set_start_method(None, force=True)  # its workers start as a user's do, not as it did
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
    """How a program ended, and what it printed."""

    code: int
    out: str
    err: str


class Program:
    """A script that runs in a folder; of several in one folder only one can be read."""

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
        """The process and its workers, at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not come as far as to have a group
            self.process.kill()

    def wait(self, seconds=None):
        """Give what it ended with; None if it still runs after so many seconds."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            return None
        read = [(self.cwd / name) for name in ("out.txt", "err.txt")]
        return Ended(self.process.exitcode, *(p.read_text() if p.exists() else "" for p in read))


def run(cwd, script, *words, seconds=120, **options):
    """Run a script to its end."""
    program = Program(cwd, script, *words, **options)
    ended = program.wait(seconds)
    if ended is None:
        program.kill()
        raise TimeoutError(json.dumps(words))
    return ended
