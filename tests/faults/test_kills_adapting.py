"""A network that is adapted in stages, killed in any of them, ends as if nothing had happened."""

import time

import pytest
import yaml

from tests.faults.killing import TRAIN, go_on, kill_at_random
from tests.faults.program import run
from tests.trainer.adapt.conftest import adapted


@pytest.fixture(scope="module")
def begin(images):
    """Write the configuration of an adaptation of seconds into a folder."""

    def write(folder):
        folder.mkdir(parents=True)
        config = yaml.safe_load(adapted(images))
        config |= {"checkpoint": {"interval_steps": 1}, "log": {"iter_interval": 1}, "validation": {}}
        config["adapt"] |= {"size": 16, "crops": 3}
        config["training"]["batch_size"] = 1
        config["adapt"]["teacher"]["training"]["dataset_args"]["crop_size"] = 24
        (folder / "tiny.yaml").write_text(yaml.safe_dump(config))
        return folder

    return write


@pytest.mark.minutes
def test_killed_in_any_stage_it_ends_as_the_undisturbed_run(tmp_path, begin, outcome, trials):
    undisturbed = begin(tmp_path / "whole")
    began = time.perf_counter()
    ended = run(undisturbed, *TRAIN, "--thread", "0")
    seconds = time.perf_counter() - began
    assert ended.code == 0, ended.err
    expected = outcome(undisturbed)
    kills = trials("SIGKILL while a network is adapted, -r until done", small=3, full=60)
    for number, random in kills:
        folder = begin(tmp_path / str(number))
        kill_at_random(folder, random, seconds, kills)
        ended = go_on(folder).wait(120)
        kills.expect(ended.code == 0 and outcome(folder) == expected, f"{folder}: {ended}")
