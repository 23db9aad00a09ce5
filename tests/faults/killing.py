"""Kill runs of `tiny.yaml` at random moments and resume them as a user would."""

from tests.faults.program import TRAIN, Program

RESUME = ("main.py", "-s", "run", "-r", "-g", "cpu")


def go_on(folder, workers=0):
    """Start or resume the run in a folder."""
    words = RESUME if (folder / "output" / "run" / "config.yaml").exists() else TRAIN
    if words == TRAIN and (folder / "output" / "run").exists():
        words = (*TRAIN, "-r")
    return Program(folder, *words, "--thread", workers)


def kill_at_random(folder, rng, seconds, kills):
    """Start and kill a run up to five times. Return how often it was still running."""
    killed = 0
    for _ in range(rng.randint(1, 5)):
        program = go_on(folder, rng.choice([0, 0, 2]))
        ended = program.wait(rng.uniform(0, seconds))
        program.kill()
        program.wait()
        killed += ended is None
        kills.note("kills" if ended is None else "ended before the kill")
        kills.expect(ended is None or ended.code == 0, f"{folder}: {ended}")
    return killed
