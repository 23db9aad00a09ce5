"""Out of memory, by a limit of the system's: said with what to lower, and the last checkpoint is good."""

import sys
from functools import partial

import pytest

from tests.faults.damage import little_memory
from tests.faults.program import run

WORDS = ("-s", "run", "-g", "cpu", "--thread", "0")
LARGE = ("training.batch_size=512", "training.dataset_args.repeat_times=1000", "training.max_epochs=4")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_t11_out_of_memory_says_what_to_lower_and_loses_nothing(tmp_path, write_config, outcome, trials):
    tried = trials("memory limited, then -r", small=2, full=10)
    for number, random in tried:
        folder = write_config(tmp_path / str(number))
        assert run(folder, "main.py", "-c", "tiny.yaml", *WORDS).code == 0
        before = outcome(folder)
        setup = partial(little_memory, random.randint(60, 250) * 10**6)
        settings = [word for setting in LARGE for word in ("--set", setting)]
        ended = run(folder, "main.py", "-c", "tiny.yaml", "-r", *WORDS, *settings, setup=setup)
        said = "lower training.batch_size or training.dataset_args.crop_size" in ended.err
        tried.expect(ended.code == 8 and said and "Traceback" not in ended.err, f"{number}: {ended}")
        tried.expect(outcome(folder)["last"] == before["last"], f"{number}: {ended}")
        ended = run(folder, "main.py", "-c", "tiny.yaml", "-r", *WORDS)
        tried.expect(ended.code == 0 and "already finished" in ended.out, f"{number}, resumed: {ended}")
