"""A run that is killed or stopped by a signal, and resumed, ends like an undisturbed run."""

import signal
import time
from functools import partial

from src.trainer.checkpoints.checkpoint import CheckpointStore
from src.util.file_manager import FileManager
from tests.faults.conftest import values
from tests.faults.damage import signal_in
from tests.faults.killing import go_on, kill_at_random
from tests.faults.program import TRAIN, run


def test_k1_b1_killed_at_random_moments_a_run_ends_as_the_undisturbed_one(
    tmp_path, write_config, outcome, undisturbed, trials
):
    began = time.perf_counter()
    ended = run(write_config(tmp_path / "timed"), *TRAIN, "--thread", "0")  # the first run may start slowly
    assert ended.code == 0, ended.err
    seconds = min(undisturbed.seconds, time.perf_counter() - began)
    kills = trials("SIGKILL at random moments, -r until done", small=6, full=300)
    for number, rng in kills:
        for attempt in range(20):
            folder = write_config(tmp_path / f"{number}_{attempt}")
            killed = kill_at_random(folder, rng, seconds, kills)
            if killed:
                break
        kills.expect(killed, f"{folder}: always ended before it was killed")
        ended = go_on(folder).wait(120)
        kills.expect(ended.code == 0 and outcome(folder) == undisturbed.outcome, f"{folder}: {ended}")


def test_negative_control_one_more_step_changes_every_layer(tmp_path, write_config):
    """Otherwise the comparisons of outcomes would show nothing."""
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
    tmp_path, write_config, outcome, undisturbed, trials
):
    signals = trials("SIGTERM, SIGINT or SIGUSR1 in each phase, once or twice", small=6, full=60)
    for number, rng in signals:
        folder = write_config(tmp_path / str(number))
        phase = list(PHASES)[number % len(PHASES)]
        kind = rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
        setup = partial(signal_in, PHASES[phase], kind, rng.randint(0, 2), rng.randint(1, 2))
        ended = run(folder, *TRAIN, "--thread", "0", setup=setup)
        code = 130 if kind == signal.SIGINT else 143
        signals.note(f"in {phase}")
        signals.expect(
            ended.code == code and f"stopped by {kind.name}; saved" in ended.err, f"{phase}: {ended}"
        )
        ended = go_on(folder).wait(120)
        signals.expect(ended.code == 0 and outcome(folder) == undisturbed.outcome, f"{folder}: {ended}")
