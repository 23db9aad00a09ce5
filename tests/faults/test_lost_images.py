"""If an image is lost at a random step, the run stops saved and resumes exactly, or continues without it."""

import shutil
from functools import partial

from tests.faults.damage import lose_image
from tests.faults.program import run

WAYS = ("delete", "truncate", "empty", "zero", "unmount")


def test_d7_an_image_lost_at_any_step_stops_the_run_saved_or_is_skipped(
    tmp_path, write_config, outcome, images, trials
):
    tried = trials("an image lost at a random step: stop and -r, or skip", small=4, full=40)
    expected = None
    for number, rng in tried:
        place, folder = tmp_path / "images", write_config(tmp_path / str(number))
        shutil.copytree(images, place)
        words = ["-g", "cpu", "--thread", rng.choice([0, 2]), "-s", "run"]
        words += ["--set", f"training.dataset_args.data_dir={place}"]
        if expected is None:
            whole = write_config(tmp_path / "whole")
            assert run(whole, "main.py", "-c", "tiny.yaml", *words).code == 0
            expected = outcome(whole)
        name, how = rng.choice("abc"), rng.choice(WAYS)
        setup = partial(lose_image, str(place / f"{name}.png"), how, rng.randint(0, 4))
        skip = bool(number % 2)
        case = f"{number}: {name} {how} {'skip' if skip else 'stop'}"
        tried.note(f"{how}, {'skip' if skip else 'stop'}")
        if skip:
            words += ["--set", "training.dataset_args.unreadable=skip"]
        ended = run(folder, "main.py", "-c", "tiny.yaml", *words, setup=setup)
        tried.expect("Traceback" not in ended.err, f"{case}: {ended}")
        if skip and how != "unmount":
            fine = ended.code == 0 and f"{name}.png" in ended.err and "left out (1 of 3" in ended.err
            tried.expect(fine, f"{case}: {ended}")
        else:
            fine = ended.code == 7 and "; saved " in ended.err and str(place) in ended.err
            tried.expect(fine, f"{case}: {ended}")
        if not skip:
            shutil.rmtree(place.with_name("unmounted") if how == "unmount" else place)
            shutil.copytree(images, place)
            ended = run(folder, "main.py", "-r", *words)
            tried.expect(ended.code == 0 and outcome(folder) == expected, f"{case}, resumed: {ended}")
        for left in (place, place.with_name("unmounted")):
            shutil.rmtree(left, ignore_errors=True)
