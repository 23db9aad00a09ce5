"""Killed at any moment, stopped by any signal: the resumed run is the one that never stopped."""

import signal
import time
from functools import partial

import pytest

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.util.file_manager import FileManager
from tests.faults.conftest import values
from tests.faults.damage import signal_in
from tests.faults.killing import TRAIN, go_on, kill_at_random
from tests.faults.program import run


@pytest.fixture(scope="module")
def whole(tmp_path_factory, write_config, outcome):
    """The run that nobody disturbs: what it came to, and the least seconds it took."""
    seconds = []
    for _ in range(3):
        folder = write_config(tmp_path_factory.mktemp("whole"))
        began = time.perf_counter()
        ended = run(folder, *TRAIN, "--thread", "0")
        seconds.append(time.perf_counter() - began)
        assert ended.code == 0, ended.err
    return outcome(folder), min(seconds)


def test_k1_b1_killed_at_random_moments_a_run_ends_as_the_undisturbed_one(
    tmp_path, write_config, outcome, whole, trials
):
    expected, seconds = whole
    kills = trials("SIGKILL at random moments, -r until done", small=6, full=300)
    for number, random in kills:
        for attempt in range(20):
            folder = write_config(tmp_path / f"{number}_{attempt}")
            killed = kill_at_random(folder, random, seconds, kills)
            if killed:
                break
        kills.expect(killed, f"{folder}: it always ended before it could be killed")
        ended = go_on(folder).wait(120)
        kills.expect(ended.code == 0 and outcome(folder) == expected, f"{folder}: {ended}")


def test_negative_control_a_single_step_more_is_noticed(tmp_path, write_config):
    """The comparison can fail: stopped in one step or in the next, two runs differ in every layer."""
    weights = []
    for step in (3, 4):
        folder = write_config(tmp_path / str(step))
        setup = partial(signal_in, PHASES["a step"], signal.SIGTERM, step, 1)
        assert run(folder, *TRAIN, "--thread", "0", setup=setup).code == 143
        loaded = CheckpointStore(FileManager(folder / "output", "run")).newest()[1]
        assert loaded["state"]["step"] == step + 1
        weights.append(values(loaded["model_weights"]))
    layers = [path for path in weights[0] if path.endswith("conv.0.weight")]
    assert layers and all(weights[0][path] != weights[1][path] for path in layers)


PHASES = {
    "a step": "src.trainer.training.step:TrainingStep.__call__",
    "a validation": "src.trainer.training.reporter:Reporter.image",
    "the masked loss": "src.trainer.training.trainer:evaluate",
    "a save": "src.trainer.checkpoints.checkpoint:write_atomically",
    "a manifest's save": "src.trainer.checkpoints.manifest:write_atomically",
    "loading": "src.data_handlers.samples.samples:Samples.__getitem__",
}


def test_k16_b5_a_signal_in_any_phase_saves_and_the_resumed_run_is_exact(
    tmp_path, write_config, outcome, whole, trials
):
    expected, _ = whole
    signals = trials("SIGTERM, SIGINT or SIGUSR1 in each phase, once or twice", small=6, full=60)
    for number, random in signals:
        folder = write_config(tmp_path / str(number))
        phase = list(PHASES)[number % len(PHASES)]
        kind = random.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
        setup = partial(signal_in, PHASES[phase], kind, random.randint(0, 2), random.randint(1, 2))
        ended = run(folder, *TRAIN, "--thread", "0", setup=setup)
        code = 130 if kind == signal.SIGINT else 143
        signals.note(f"in {phase}")
        signals.expect(
            ended.code == code and f"stopped by {kind.name}; saved" in ended.err, f"{phase}: {ended}"
        )
        ended = go_on(folder).wait(120)
        signals.expect(ended.code == 0 and outcome(folder) == expected, f"{folder}: {ended}")
