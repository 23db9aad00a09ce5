"""A run stopped at any kind of place and resumed with other workers ends like an undisturbed run."""

import itertools
import signal
from functools import partial

from tests.faults.damage import signal_in
from tests.faults.program import run

WORDS = ("main.py", "-s", "run", "-g", "cpu")
STEP = "src.trainer.training.step:TrainingStep.__call__"
VALIDATION = "src.trainer.training.reporter:Reporter.image"
PLACES = {  # epochs of six steps; validations of three images
    "inside an epoch": [(STEP, 8)],
    "at the end of an epoch": [(STEP, 5)],
    "in a validation": [(VALIDATION, 4)],
    "after the last step": [(STEP, 17)],
    "thrice in an epoch": [(STEP, 1), (STEP, 0), (STEP, 1)],
}
MASKERS = {
    "N2V": [],
    "NL": ["masker.masker_type=Masker", "masker.masker_args={sim_patch_edge: 7, repl_patch_edge: 5}"],
}
NOISES = {"noise": [], "no noise": ["training.dataset_args.add_noise=null"]}
CASES = list(itertools.product(PLACES, (0, 2), MASKERS, NOISES))


def test_k14_b1_a_run_resumes_exactly_from_any_place_with_any_workers(
    tmp_path, write_config, outcome, undisturbed, trials
):
    wholes = {("N2V", "noise"): undisturbed.outcome}

    def start(folder, masker, noise, workers, resume, setup=None):
        settings = [word for value in MASKERS[masker] + NOISES[noise] for word in ("--set", value)]
        how = ["-r"] if resume else []
        words = (*WORDS, "-c", "tiny.yaml", *how, *settings, "--thread", workers)
        return run(folder, *words, setup=setup)

    tried = trials("stopped at each kind of place, -r with other workers", small=4, full=len(CASES))
    for number, rng in tried:
        place, workers, masker, noise = rng.choice(CASES) if tried.count < len(CASES) else CASES[number]
        if (masker, noise) not in wholes:
            whole = write_config(tmp_path / f"{masker} {noise}")
            assert start(whole, masker, noise, 0, resume=False).code == 0
            wholes[masker, noise] = outcome(whole)
        folder = write_config(tmp_path / str(number))
        tried.note(place)
        for count, (where, call) in enumerate(PLACES[place]):
            setup = partial(signal_in, where, signal.SIGTERM, call, 1)
            ended = start(folder, masker, noise, workers, resume=bool(count), setup=setup)
            tried.expect(ended.code == 143, f"{number}: {ended}")
            workers = 2 - workers
        ended = start(folder, masker, noise, workers, resume=True)
        same = outcome(folder) == wholes[masker, noise]
        tried.expect(ended.code == 0 and same, f"{place}, {masker}, {noise}, {workers}: {ended}")
