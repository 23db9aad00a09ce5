"""An adaptation in stages that is killed in any of them, and resumed, ends like an undisturbed one."""

import time

import pytest
import yaml

from tests.faults.killing import go_on, kill_at_random
from tests.faults.program import TRAIN, run
from tests.trainer.adapt.conftest import adapted


@pytest.fixture(scope="module")
def begin(images):
    """Write the configuration of a short adaptation into a folder."""

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


def test_killed_in_any_stage_an_adaptation_ends_as_the_undisturbed_run(tmp_path, begin, outcome, trials):
    undisturbed = begin(tmp_path / "whole")
    began = time.perf_counter()
    ended = run(undisturbed, *TRAIN, "--thread", "0")
    seconds = time.perf_counter() - began
    assert ended.code == 0, ended.err
    expected = outcome(undisturbed)
    kills = trials("SIGKILL while a network is adapted, -r until done", small=3, full=60)
    for number, rng in kills:
        folder = begin(tmp_path / str(number))
        kill_at_random(folder, rng, seconds, kills)
        ended = go_on(folder).wait(120)
        kills.expect(ended.code == 0 and outcome(folder) == expected, f"{folder}: {ended}")
