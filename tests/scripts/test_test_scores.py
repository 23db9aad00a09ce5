"""`test.py` scores a test set: its settings and output folders."""

import csv
import re
import shutil
from pathlib import Path

import pytest
import torch

from src.util.images.io import read_image, write_image
from tests.scripts.conftest import pngs


def test_set_changes_the_checkpoints_own_configuration(call, ckpt, noisy_folder, tmp_path):
    ended = call("test", "--pretrained", ckpt, "--set", "test.dataset_args.n_data=2", "--out", "scores")
    assert ended.code == 0 and "ONLY 2 OF 3 IMAGES" in ended.out
    ended = call("test", "--pretrained", ckpt, "--set", "test.dataset_arg.n_data=2", "--out", "scores")
    assert ended.code == 2 and "did you mean 'dataset_args'" in ended.err


def test_e13_e19_a_set_is_scored_into_a_folder_of_the_run(call, trained, noisy_folder, tmp_path):
    (tmp_path / "clean").mkdir()
    for path in noisy_folder.iterdir():
        write_image(tmp_path / "clean" / path.name, 255 - read_image(path))
    scored = "test.dataset_args.clean_folder=clean"
    ended = call("test", "-s", "run", "--set", scored)
    assert ended.code == 0, ended.err
    (folder,) = (path for path in (trained / "img").iterdir() if path.name.startswith("test_"))
    assert re.fullmatch(r"test_Folder_002_\d{8}_\d{6}", folder.name)
    with open(folder / "metrics.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["a.png", "b.png", "c.png"]
    assert len(pngs(folder)) == 9
    line = (folder / "metrics.txt").read_text().splitlines()[1]
    assert re.match(r"PSNR \d+\.\d\d dB, SSIM -?0\.\d{4} \(rounded to 8 bits.*all 3 images\)$", line)
    assert line in ended.out
    ended = call("test", "-s", "run", "--set", scored, "--set", "test.save_image=false")
    assert ended.code == 0
    folders = [path for path in (trained / "img").iterdir() if path.name.startswith("test_")]
    assert sorted(len(pngs(path)) for path in folders) == [0, 9]


def scored(call, *words):
    """Score the test set. Return the folder of results."""
    ended = call("test", *words, "--set", "test.save_image=false")
    assert ended.code == 0, ended.err
    return Path(re.search(r"^results: (.*)$", ended.out, re.MULTILINE)[1])


@pytest.mark.parametrize("written", ["/etc", "../..", "../../victim", "victim", "/", "", "~", "victim/../.."])
def test_f1_a_checkpoint_does_not_choose_the_output_folder(call, ckpt, tmp_path, monkeypatch, written):
    content = torch.load(ckpt, weights_only=True)
    content["config"]["output_folder"] = written
    content["config"]["training"]["dataset_args"]["data_dir"] = str(tmp_path / "noisy")
    deep = tmp_path / "a" / "b" / "here"
    deep.mkdir(parents=True)
    torch.save(content, tmp_path / "foreign.pth")
    before = set(tmp_path.rglob("*"))
    monkeypatch.chdir(deep)
    folder = scored(call, "--pretrained", tmp_path / "foreign.pth")
    assert folder.resolve().parent == deep / "output" / "foreign" / "img"
    assert not [path for path in set(tmp_path.rglob("*")) - before if deep not in path.parents]


def test_scores_go_to_the_given_folder_or_the_run_of_the_checkpoint(call, trained, tmp_path):
    """Even if the run was moved since."""
    shutil.copy(trained / "checkpoint" / "run_002.pth", tmp_path / "alone.pth")
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    trained.rename(moved)
    inside = moved / "checkpoint" / "run_002.pth"
    other, config = ["--set", "output_folder=other"], ["-c", "tiny.yaml"]
    assert scored(call, "--pretrained", inside).parent == moved / "img"
    assert scored(call, "--pretrained", inside, *other).resolve().parent == tmp_path / "other/moved/img"
    assert scored(call, "--pretrained", inside, *config).resolve().parent == tmp_path / "output/moved/img"
    assert scored(call, "--pretrained", "alone.pth").resolve().parent == tmp_path / "output/alone/img"
    assert scored(call, "--pretrained", "alone.pth", *other).resolve().parent == tmp_path / "other/alone/img"
    assert scored(call, "--pretrained", "alone.pth", "--out", "scores") == Path("scores")


def test_f1_nothing_is_written_through_a_link_in_a_run(call, trained, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    shutil.rmtree(trained / "img")
    (trained / "img").symlink_to(victim)
    ended = call("test", "--pretrained", trained / "checkpoint" / "run_002.pth")
    assert ended.code == 2 and "img: a link; nothing of a run is written outside its folder" in ended.err
    assert list(victim.iterdir()) == []


def test_ensemble_changes_the_scores(call, ckpt, noisy_folder, tmp_path):
    scores = {}
    for flags in ((), ("--tile", "40"), ("--ensemble",)):
        assert call("test", "--pretrained", ckpt, *flags, "--out", f"scores{flags}").code == 0
        scores[flags] = (tmp_path / f"scores{flags}" / "metrics.csv").read_text()
    assert len(set(scores.values())) >= 2 and scores[()] != scores["--ensemble",]
