"""Full disks, lost and read-only folders: one clear error, nothing lost; the resumed run is exact."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from tests.faults.damage import full_disk, lose_folder
from tests.faults.program import run

WORDS = ("-s", "run", "-g", "cpu", "--thread", "0")
WRITERS = {
    "a checkpoint": ("/checkpoint/.run", 2),
    "an interim checkpoint": ("_step_", 2),
    "the best": ("/best_ckpts/", 1),
    "the manifest": ("manifest.json", 5),
    "the manifest's copy": ("manifest.copy", 5),
    "an image": ("/img/", 3),
    "the log": ("train.log", 0),
    "TensorBoard": ("/tboard/", 0),
    "the table of scores": ("validation.csv", 1),
    "the configuration": ("config.yaml", 0),
}


@pytest.fixture
def expected(undisturbed):
    return undisturbed.outcome


def leftovers(folder):
    return [path for path in folder.rglob("*") if path.suffix == ".tmp"]


def refused(ended):
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    return ended.code == 5 and len(errors) == 1 and "Traceback" not in ended.err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_k1_k4_f13_a_full_disk_is_reported_by_every_writer_and_loses_nothing(
    tmp_path, write_config, outcome, expected, trials
):
    tried = trials("no room for one writer, then -r", small=len(WRITERS))
    for number, _ in tried:
        case, (part, call) = list(WRITERS.items())[number]
        folder = write_config(tmp_path / str(number))
        ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, setup=partial(full_disk, part, call))
        reported = "No space left on device" in ended.err and "bytes are free); make room" in ended.err
        tried.expect(refused(ended) and reported, f"{case}: {ended}")
        tried.expect(not leftovers(folder), f"{case}: {leftovers(folder)}")
        tried.note(case)
        resumed = run(folder, "main.py", "-c", "tiny.yaml", "-r", *WORDS)
        tried.expect(resumed.code == 0 and outcome(folder) == expected, f"{case}, resumed: {resumed}")


def test_k1_a_write_that_fails_half_way_loses_nothing(tmp_path, write_config, outcome, expected, trials):
    """By the system's limit on the size of a file."""
    tried = trials("a file's size limited, then -r", small=2, full=20)
    for number, rng in tried:
        folder = write_config(tmp_path / str(number))
        limit = rng.randint(4_000, 30_000)
        ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, file_size=limit)
        tried.expect(refused(ended) and not leftovers(folder), f"{limit}: {ended}")
        resumed = run(folder, "main.py", "-c", "tiny.yaml", "-r", *WORDS)
        tried.expect(resumed.code == 0 and outcome(folder) == expected, f"{limit}, resumed: {resumed}")


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of 2 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if sys.platform != "linux" or os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("only root can mount file systems")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_k1_k4_a_full_file_system_loses_nothing(
    small_disk, tmp_path, write_config, outcome, expected, trials
):
    tried = trials("a small disk filled up, then -r", small=2, full=40)
    for number, rng in tried:
        folder = write_config(tmp_path / str(number))
        output = small_disk / "output"
        words = ("main.py", "-c", "tiny.yaml", *WORDS, "--set", f"output_folder={output}")
        free = rng.randint(1, 90) * 4096
        filler = small_disk / "filler"
        filler.write_bytes(bytes(shutil.disk_usage(small_disk).free - free))
        ended = run(folder, *words)
        tried.expect(refused(ended) and not leftovers(small_disk), f"{free}: {ended}")
        tried.note(f"{ended.err.rpartition(': cannot')[0].rpartition('/')[2] or 'a folder'}")
        filler.unlink()
        resumed = run(folder, *words, "-r") if output.joinpath("run").exists() else run(folder, *words)
        resumed_as = outcome(small_disk)
        same = {key: value for key, value in resumed_as["last"].items() if key != "/config/output_folder"}
        wanted = {key: value for key, value in expected["last"].items() if key != "/config/output_folder"}
        tried.expect(resumed.code == 0 and same == wanted, f"{free}, resumed: {resumed}")
        shutil.rmtree(output)


def test_f13_a_lost_output_folder_is_reported_and_once_back_the_run_is_exact(
    tmp_path, write_config, outcome, expected, trials
):
    tried = trials("the output folder lost at a random step, then -r", small=2, full=20)
    for number, rng in tried:
        folder = write_config(tmp_path / str(number))
        output = folder / "output"
        setup = partial(lose_folder, str(output), rng.randint(0, 17))
        ended = run(folder, "main.py", "-c", "tiny.yaml", *WORDS, setup=setup)
        tried.expect(refused(ended), f"{number}: {ended}")
        shutil.rmtree(output, ignore_errors=True)
        (folder / "output.lost").rename(output)
        resumed = run(folder, "main.py", "-c", "tiny.yaml", "-r", *WORDS)
        tried.expect(resumed.code == 0 and outcome(folder) == expected, f"{number}, resumed: {resumed}")
        tried.expect(not leftovers(folder), f"{number}: {leftovers(folder)}")


def drop_rights():
    # First import what may be unreadable for the other user.
    import torch.utils.tensorboard  # noqa: F401

    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


@pytest.fixture
def reachable():
    """A folder that every user can access, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize("where", ["the output folder", "the run's folder", "its checkpoints"])
def test_f3_f6_a_read_only_folder_is_refused_before_the_first_step(reachable, images, write_config, where):
    folder = write_config(reachable / "work")
    shutil.copytree(images, reachable / "images")
    words = ["main.py", "-c", "tiny.yaml", *WORDS, "--set", "training.dataset_args.data_dir=../images"]
    if where != "the output folder":
        assert run(folder, *words).code == 0
        words.append("-r")
    else:
        (folder / "output").mkdir()
    target = {"the output folder": "output", "the run's folder": "output/run"}.get(
        where, "output/run/checkpoint"
    )
    for path in reachable.rglob("*"):
        path.chmod(0o777 if path.is_dir() else 0o666)
    (folder / target).chmod(0o555)
    words += ["--set", "training.max_epochs=5"]
    ended = run(folder, *words, setup=drop_rights)
    (folder / target).chmod(0o777)
    assert refused(ended), ended
    assert "output" in ended.err
    if where == "the output folder":
        assert "step 1/" not in ended.out
        assert list((folder / "output").iterdir()) == []
