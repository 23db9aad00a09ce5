"""Out of memory by a system limit: the error names what to lower, and the last checkpoint is kept."""

import sys
from functools import partial

import pytest

from tests.faults.damage import little_memory
from tests.faults.program import TRAIN, run

LARGE = ("training.batch_size=512", "training.dataset_args.repeat_times=1000", "training.max_epochs=4")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limit")
def test_t11_out_of_memory_says_what_to_lower_and_loses_nothing(tmp_path, undisturbed, outcome, trials):
    tried = trials("memory limited, then -r", small=2, full=10)
    for number, rng in tried:
        folder = undisturbed.copy(tmp_path / str(number))
        setup = partial(little_memory, rng.randint(60, 250) * 10**6)
        settings = [word for setting in LARGE for word in ("--set", setting)]
        ended = run(folder, *TRAIN, "-r", "--thread", "0", *settings, setup=setup)
        named = "lower training.batch_size or training.dataset_args.crop_size" in ended.err
        tried.expect(ended.code == 8 and named and "Traceback" not in ended.err, f"{number}: {ended}")
        tried.expect(outcome(folder)["last"] == undisturbed.outcome["last"], f"{number}: {ended}")
        ended = run(folder, *TRAIN, "-r", "--thread", "0")
        tried.expect(ended.code == 0 and "already finished" in ended.out, f"{number}, resumed: {ended}")
