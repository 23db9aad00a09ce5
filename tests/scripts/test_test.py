import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from src.util.image_io import read_picture, write_picture

ORIGINAL = Path(__file__).parents[1] / "parity" / "unet2_005.pth"
OF_ORIGINAL = ["-c", "sidd_train", "--set", "model.kwargs.features=[8, 16]", "--pretrained", ORIGINAL]


@pytest.fixture
def picture(tmp_path, noisy_folder):
    """A colour picture of odd size, in another folder than the current one."""
    path = tmp_path / "photos" / "my.photo.png"
    path.parent.mkdir()
    write_picture(path, read_picture(noisy_folder / "b.png")[:51, :67])
    return path


@pytest.fixture
def ckpt(trained):
    return trained / "checkpoint" / "run_002.pth"


def pngs(folder):
    """The pictures in a folder, but for the contact sheet of them."""
    return sorted(path.name for path in folder.glob("*.png") if path.name != "panel.png")


def test_c15_e9_e10_a_checkpoint_and_a_picture_are_enough(call, ckpt, picture, tmp_path, noisy_folder):
    alone = tmp_path / "downloads" / "ckpt.pth"
    alone.parent.mkdir()
    shutil.move(ckpt, alone)
    shutil.rmtree(tmp_path / "output")
    shutil.rmtree(noisy_folder)
    ended = call("test", "--pretrained", alone, "--test_img", picture)
    assert (ended.code, ended.err) == (0, "")
    assert "after epoch 2" in ended.out and "my.photo_DN.png" in ended.out
    denoised, noisy = read_picture(tmp_path / "my.photo_DN.png"), read_picture(picture)
    assert denoised.shape == noisy.shape == (51, 67, 3)
    assert not np.array_equal(denoised, noisy)
    assert pngs(picture.parent) == ["my.photo.png"]
    assert not (tmp_path / "output").exists()


def test_e18_a_grey_picture_goes_through_a_colour_network(call, ckpt, tmp_path):
    grey = np.tile(np.arange(45, dtype=np.uint8)[:, None, None], (1, 33, 1)) * 5
    write_picture(tmp_path / "grey.png", grey)
    assert call("test", "--pretrained", ckpt, "--test_img", "grey.png").code == 0
    assert read_picture(tmp_path / "grey_DN.png").shape == (45, 33, 1)


def test_out_says_where_results_go(call, ckpt, picture, noisy_folder, tmp_path):
    out = tmp_path / "new" / "folder"
    assert call("test", "--pretrained", ckpt, "--test_img", picture, "--out", out).code == 0
    assert pngs(out) == ["my.photo_DN.png"]
    assert call("test", "--pretrained", ckpt, "--test_dir", noisy_folder, "--out", tmp_path / "dir").code == 0
    assert pngs(tmp_path / "dir") == ["a_DN.png", "b_DN.png", "c_DN.png"]
    assert call("test", "--pretrained", ckpt, "--out", tmp_path / "scores").code == 0
    assert (tmp_path / "scores" / "metrics.csv").is_file()
    assert not (noisy_folder / "results").exists() and pngs(tmp_path) == []


def test_e11_e12_a_folder_goes_to_its_results_and_a_bad_file_holds_nothing_up(call, ckpt, picture):
    folder = picture.parent
    colour = read_picture(picture)
    for name in ("a.v1.png", "a.v2.png", "a.jpg", "b.jpg", "b.png"):
        write_picture(folder / name, colour)
    (folder / "broken.png").write_bytes(picture.read_bytes()[:300])
    (folder / "sub").mkdir()
    write_picture(folder / "sub" / "inner.png", colour)
    ended = call("test", "--pretrained", ckpt, "--test_dir", folder)
    assert ended.code == 7
    assert re.search(r"error: .*broken\.png: ", ended.out + ended.err)
    assert "7 of 8 pictures denoised" in ended.out
    assert re.search(r"error: 1 of 8 pictures failed: .*broken\.png", ended.err)
    assert pngs(folder / "results") == [
        "a.v1_DN.png", "a.v2_DN.png", "a_DN.png", "b.jpg_DN.png", "b.png_DN.png", "my.photo_DN.png",
    ]  # fmt: skip
    assert pngs(folder / "results" / "sub") == ["inner_DN.png"]
    (folder / "broken.png").unlink()
    again = call("test", "--pretrained", ckpt, "--test_dir", folder)
    assert again.code == 0 and "0 of 7 pictures denoised, 7 were there already (--overwrite" in again.out


@pytest.mark.parametrize("kind", ["--test_img", "--test_dir"])
def test_e12_nothing_to_denoise_is_an_error(call, ckpt, tmp_path, kind):
    (tmp_path / "empty").mkdir()
    ended = call("test", "--pretrained", ckpt, kind, tmp_path / "empty")
    assert ended.code == 7 and "empty" in ended.err
    ended = call("test", "--pretrained", ckpt, kind, tmp_path / "absent")
    assert ended.code == 7 and "absent" in ended.err


def test_k19_the_last_checkpoint_is_taken_and_never_random_weights(call, trained, picture):
    ended = call("test", "-s", "run", "--test_img", picture)
    assert ended.code == 0 and re.search(r"run_002\.pth, after epoch 2", ended.out)
    ended = call("test", "--test_img", picture)
    assert ended.code == 2 and "say which network" in ended.err
    ended = call("test", "-s", "absent", "--test_img", picture)
    assert ended.code in (2, 4) and "absent" in ended.err
    shutil.rmtree(trained / "checkpoint")
    ended = call("test", "-s", "run", "--test_img", picture)
    assert ended.code == 4 and "no usable checkpoint" in ended.err


def test_k2_a_damaged_last_checkpoint_is_said_and_the_one_before_is_taken(call, ckpt, picture):
    ckpt.write_bytes(ckpt.read_bytes()[:-200])
    ended = call("test", "-s", "run", "--test_img", picture)
    assert ended.code == 0
    assert re.search(r"warning: .*run_002\.pth: damaged", ended.err)
    assert re.search(r"run_001\.pth, after epoch 1", ended.out)


def test_k20_e_chooses_an_epoch_of_the_run(call, trained, picture):
    ended = call("test", "-s", "run", "-e", "1", "--test_img", picture)
    assert ended.code == 0 and re.search(r"run_001\.pth, after epoch 1\n", ended.out)
    for epoch in ("7", "-1", "0"):
        ended = call("test", "-s", "run", "-e", epoch, "--test_img", picture)
        assert ended.code in (2, 4) and ended.err.startswith("error: ")


def test_k20_e_is_ignored_beside_a_checkpoint(call, ckpt, picture):
    ended = call("test", "--pretrained", ckpt, "-e", "1", "--test_img", picture)
    assert ended.code == 0 and "after epoch 2" in ended.out


def test_k21_a_checkpoint_is_found_by_path_and_by_its_name_in_both_folders(call, trained, picture, tmp_path):
    (best,) = (path.name for path in (trained / "best_ckpts").iterdir())
    shutil.copy(trained / "checkpoint" / "run_001.pth", tmp_path / "here.pth")
    for name, epoch in (
        ("run_001.pth", 1), ("run_002", 2), (best, int(best[4:7])), ("here.pth", 1),
        ("output/run/checkpoint/run_002.pth", 2),
    ):  # fmt: skip
        ended = call("test", "-s", "run", "--pretrained", name, "--test_img", picture)
        assert ended.code == 0 and f"after epoch {epoch}" in ended.out, name
    ended = call("test", "-s", "run", "--pretrained", "run_009.pth", "--test_img", picture)
    assert ended.code == 4 and "run_009.pth: there is no such checkpoint" in ended.err


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04" + bytes(100)])
def test_k2_a_file_that_is_no_checkpoint_is_refused(call, picture, tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    ended = call("test", "--pretrained", "bad.pth", "--test_img", picture)
    assert ended.code == 4 and "bad.pth: not a readable checkpoint" in ended.err


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path("harm"),)


def test_k17_nothing_in_a_checkpoint_is_executed(call, picture, tmp_path):
    torch.save({"epoch": 1, "model_weights": {}, "config": Harmful()}, tmp_path / "harmful.pth")
    ended = call("test", "--pretrained", "harmful.pth", "--test_img", picture)
    assert ended.code == 4
    assert not (tmp_path / "harm").exists()


def test_a_checkpoint_of_the_original_works_with_a_configuration(call, picture, tmp_path):
    ended = call("test", *OF_ORIGINAL, "--test_img", picture)
    assert (ended.code, ended.err) == (0, "")
    assert "after epoch 5" in ended.out
    assert read_picture(tmp_path / "my.photo_DN.png").shape == (51, 67, 3)


def test_c15_a_checkpoint_of_the_original_alone_asks_for_a_configuration(call, picture):
    ended = call("test", "--pretrained", ORIGINAL, "--test_img", picture)
    assert ended.code == 2
    assert "carries no configuration (as the original's); say which by -c" in ended.err


def test_c15_a_wrong_architecture_is_said_in_words(call, ckpt, picture):
    ended = call("test", "-c", "sidd_train", "--pretrained", ORIGINAL, "--test_img", picture)
    assert ended.code == 4
    assert re.search(r"unet2_005\.pth: does not fit the configuration's network: .*size mismatch", ended.err)
    wrong = ["--set", "model.kwargs={bsn: UNet, features: [4, 8]}"]
    ended = call("test", "--pretrained", ckpt, *wrong, "--test_img", picture)
    assert ended.code == 4 and "does not fit" in ended.err
    assert ended.err.count("\n") == 1


def test_set_changes_the_checkpoints_own_configuration(call, ckpt, noisy_folder, tmp_path):
    ended = call("test", "--pretrained", ckpt, "--set", "test.dataset_args.n_data=2", "--out", "scores")
    assert ended.code == 0 and "ONLY 2 OF 3 PICTURES" in ended.out
    ended = call("test", "--pretrained", ckpt, "--set", "test.dataset_arg.n_data=2", "--out", "scores")
    assert ended.code == 2 and "did you mean 'dataset_args'" in ended.err


def test_e13_e19_a_set_is_scored_into_a_folder_of_the_run(call, trained, noisy_folder, tmp_path):
    (tmp_path / "clean").mkdir()
    for path in noisy_folder.iterdir():
        write_picture(tmp_path / "clean" / path.name, 255 - read_picture(path))
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
    assert re.match(r"PSNR \d+\.\d\d dB, SSIM -?0\.\d{4} \(rounded to 8 bits.*all 3 pictures\)$", line)
    assert line in ended.out
    ended = call("test", "-s", "run", "--set", scored, "--set", "test.save_image=false")
    assert ended.code == 0
    folders = [path for path in (trained / "img").iterdir() if path.name.startswith("test_")]
    assert sorted(len(pngs(path)) for path in folders) == [0, 9]


def scored(call, *words):
    """Score a set, and give the folder that was written."""
    ended = call("test", *words, "--set", "test.save_image=false")
    assert ended.code == 0, ended.err
    return Path(re.search(r"^results: (.*)$", ended.out, re.MULTILINE)[1])


@pytest.mark.parametrize("written", ["/etc", "../..", "../../victim", "victim", "/", "", "~", "victim/../.."])
def test_f1_a_checkpoint_does_not_decide_where_is_written(call, ckpt, tmp_path, monkeypatch, written):
    content = torch.load(ckpt, weights_only=True)
    content["config"]["output_folder"] = written
    deep = tmp_path / "a" / "b" / "here"
    deep.mkdir(parents=True)
    torch.save(content, tmp_path / "foreign.pth")
    before = set(tmp_path.rglob("*"))
    monkeypatch.chdir(deep)
    folder = scored(call, "--pretrained", tmp_path / "foreign.pth")
    assert folder.resolve().parent == deep / "output" / "foreign" / "img"
    assert not [path for path in set(tmp_path.rglob("*")) - before if deep not in path.parents]


def test_scores_go_where_it_is_asked_or_into_the_run_around_the_checkpoint(call, trained, tmp_path):
    """A run that was moved, too: what its checkpoints say of its place is past."""
    shutil.copy(trained / "checkpoint" / "run_002.pth", tmp_path / "alone.pth")
    moved = tmp_path / "elsewhere" / "moved"
    moved.parent.mkdir()
    trained.rename(moved)
    inside = moved / "checkpoint" / "run_002.pth"
    other, config = ["--set", "output_folder=other"], ["-c", "tiny.yaml"]
    assert scored(call, "--pretrained", inside).parent == moved / "img"
    assert scored(call, "--pretrained", inside, *other).resolve().parent == tmp_path / "other/moved/img"
    assert scored(call, "--pretrained", inside, *config).parent == tmp_path / "output/moved/img"
    assert scored(call, "--pretrained", "alone.pth").resolve().parent == tmp_path / "output/alone/img"
    assert scored(call, "--pretrained", "alone.pth", *other).resolve().parent == tmp_path / "other/alone/img"
    assert scored(call, "--pretrained", "alone.pth", "--out", "scores") == Path("scores")


def test_f1_a_link_in_a_foreign_run_is_not_written_through(call, trained, tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    shutil.rmtree(trained / "img")
    (trained / "img").symlink_to(victim)
    ended = call("test", "--pretrained", trained / "checkpoint" / "run_002.pth")
    assert ended.code == 2 and "img: a link; nothing of a run is written outside its folder" in ended.err
    assert list(victim.iterdir()) == []


def test_e8_weights_that_are_broken_exit_4(call, ckpt, picture, tmp_path):
    content = torch.load(ckpt, weights_only=True)
    next(iter(content["model_weights"].values())).fill_(torch.nan)
    torch.save(content, tmp_path / "nan.pth")
    ended = call("test", "--pretrained", "nan.pth", "--test_img", picture)
    assert ended.code == 4 and "nan.pth: 1 of its weights are not finite" in ended.err
    assert pngs(tmp_path) == []


def test_one_thing_at_a_time(call, ckpt, picture):
    ended = call("test", "--pretrained", ckpt, "--test_img", picture, "--test_dir", picture.parent)
    assert ended.code == 2 and "--test_img and --test_dir: say one of them" in ended.err


def test_c4_a_gpu_that_is_not_there_is_an_error(call, ckpt, picture):
    ended = call("test", "--pretrained", ckpt, "--test_img", picture, device=("-g", "99"))
    assert ended.code == 2 and ended.err.startswith("error: -g 99: ")


@pytest.mark.parametrize("name", ["../run", "/tmp/run", "", "a/b"])
def test_f1_a_hostile_run_name_is_refused(call, trained, picture, name):
    ended = call("test", "-s", name, "--test_img", picture)
    assert ended.code == 2 and "expected one plain folder name" in ended.err


def test_help_names_every_flag(call):
    ended = call("test", "--help")
    assert ended.code == 0
    for flag in (
        "-c", "-s", "-e", "-g", "--thread", "--pretrained", "--test_img", "--test_dir", "--out", "--set",
    ):  # fmt: skip
        assert flag in ended.out


@pytest.mark.parametrize("kind", ["--test_img", "--test_dir"])
def test_tiles_give_the_whole_pictures_result(call, ckpt, picture, tmp_path, kind):
    what = (kind, picture if kind == "--test_img" else picture.parent)
    for name, flags in {
        "whole": ("--tile", "0"), "tiled": ("--tile", "32"), "apart": ("--tile", "32", "--overlap", "0"),
        "auto": ("--tile", "auto", "--overlap", "auto"), "ensemble": ("--ensemble",),
    }.items():  # fmt: skip
        ended = call("test", *OF_ORIGINAL, *what, *flags, "--out", name)
        assert (ended.code, ended.err) == (0, "")
    whole, tiled, apart, auto, ensemble = (
        read_picture(tmp_path / name / "my.photo_DN.png").astype(int)
        for name in ("whole", "tiled", "apart", "auto", "ensemble")
    )
    assert np.array_equal(auto, whole) and (tiled != whole).mean() < 1e-3
    assert (apart != whole).mean() > 3e-3 and (ensemble != whole).mean() > 3e-3


def test_scores_are_of_the_ensemble_if_it_is_asked_for(call, ckpt, noisy_folder, tmp_path):
    scores = {}
    for flags in ((), ("--tile", "40"), ("--ensemble",)):
        assert call("test", "--pretrained", ckpt, *flags, "--out", f"scores{flags}").code == 0
        scores[flags] = (tmp_path / f"scores{flags}" / "metrics.csv").read_text()
    assert len(set(scores.values())) >= 2 and scores[()] != scores["--ensemble",]


@pytest.mark.parametrize("value", ["-1", "large", "1.5"])
@pytest.mark.parametrize("flag", ["--tile", "--overlap"])
def test_a_size_that_is_none_is_refused(call, ckpt, picture, flag, value):
    ended = call("test", "--pretrained", ckpt, "--test_img", picture, f"{flag}={value}")
    assert ended.code == 2 and f"{flag}: expected auto, or a number of pixels" in ended.err


def test_the_flags_for_pictures_do_what_they_say(call, ckpt, noisy_folder, tmp_path):
    given = ["--pretrained", ckpt, "--test_dir", noisy_folder, "--out", tmp_path / "out"]
    assert call("test", *given, "--format", "png").code == 0
    write_picture(tmp_path / "out" / "a_DN.png", np.zeros((5, 5, 3), np.uint8))
    assert call("test", *given).code == 0
    assert read_picture(tmp_path / "out" / "a_DN.png").shape == (5, 5, 3)
    assert call("test", *given, "--overwrite").code == 0
    assert read_picture(tmp_path / "out" / "a_DN.png").shape == (64, 64, 3)
    ended = call("test", *given, "--overwrite", "--max-pixels", 64 * 64)
    assert ended.code == 7 and "64x80 pixels are more than" in ended.err
    assert "1 of 3 pictures denoised" in ended.out


def test_export_writes_safetensors_and_nothing_else(call, trained, tmp_path):
    before = set(tmp_path.rglob("*"))
    ended = call("test", "--pretrained", trained / "checkpoint" / "run_002.pth", "--export", "w.safetensors")
    assert ended.code == 0, ended.err
    assert set(tmp_path.rglob("*")) - before == {tmp_path / "w.safetensors"}
    assert call("test", "-s", "run", "--export", "w.safetensors").code == 2
    assert call("test", "-s", "run", "--export", "w.safetensors", "--overwrite").code == 0


def test_k3_a_checkpoint_given_by_its_path_is_compared_with_its_runs_manifest(call, trained):
    path = trained / "checkpoint" / "run_002.pth"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    ended = call("test", "--pretrained", path, "--export", "w.safetensors")
    assert (ended.code, ended.err.count("\n")) == (4, 1)
    assert "run_002.pth: damaged (its SHA-256" in ended.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--out", "b.png"), "--out: expected a folder, got b.png"),
        (("--max-pixels", "-1"), "--max-pixels: expected a number of pixels, 1 or more, got -1"),
    ],
)
def test_flags_that_make_no_sense_are_refused_before_anything_is_made(call, ckpt, picture, flags, said):
    before = sorted(Path.cwd().iterdir())
    ended = call("test", "--pretrained", ckpt, "--test_img", picture, *flags)
    assert ended.code == 2 and said in ended.err
    assert sorted(Path.cwd().iterdir()) == before
