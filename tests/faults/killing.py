"""A run of `tiny.yaml` that is killed at random moments, and gone on with as a user would."""

from tests.faults.program import Program

TRAIN = ("main.py", "-c", "tiny.yaml", "-s", "run", "-g", "cpu")
RESUME = ("main.py", "-s", "run", "-r", "-g", "cpu")


def go_on(folder, workers=0):
    """Start the run, or go on with it, as a user would."""
    words = RESUME if (folder / "output" / "run" / "config.yaml").exists() else TRAIN
    if words == TRAIN and (folder / "output" / "run").exists():
        words = (*TRAIN, "-r")
    return Program(folder, *words, "--thread", workers)


def kill_at_random(folder, random, seconds, kills):
    """Kill a run, and what goes on with it, up to five times; how often it was there to be killed."""
    killed = 0
    for _ in range(random.randint(1, 5)):
        program = go_on(folder, random.choice([0, 0, 2]))
        ended = program.wait(random.uniform(0, seconds))
        program.kill()
        program.wait()
        killed += ended is None
        kills.note("kills" if ended is None else "ended before the kill")
        kills.expect(ended is None or ended.code == 0, f"{folder}: {ended}")
    return killed
