"""Names and links that would lead out of the folder of a run are refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given, seed, settings
from hypothesis.strategies import text

from src.util.errors import ConfigError
from src.util.file_manager import FileManager, made_folder
from tests.faults.conftest import FULL, SEED

NAMES = [
    "", " ", ".", "..", "../x", "../../x", "/abs", "a/b", "a\\b", "a/../../b", "~", "~root/x", "\0", "a\0b",
    "a\nb", "a\rb", "\x1b[2J", "x" * 151, "x" * 300, "ü" * 100, "CON", "con", "nul.txt", "COM1", "lpt9.x",
    "a:b", "a|b", "a*b", "a?b", 'a"b', "<a>", ".hidden", "..x", "a.", " a", "a ", "\ud800", "psnr_x",
    "ssim_x", "a b", "-r", "--help", "run", "%s", "{x}", "$HOME", "`id`", "$(id)", ";ls", "a.pth", "été",
    "ａ／ｂ", "a․․b", "\u202egnp", "\u200b", "checkpoint", "manifest.json", "output", "'", "a,b", "#",
]  # fmt: skip


def test_f1_f2_c5_k11_no_name_leads_out_of_the_output_folder(tmp_path, trials, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tried = trials("hostile names of runs", small=len(NAMES))
    for number, _ in tried:
        output = tmp_path / "deep" / "down" / str(number)
        try:
            files = FileManager(output, NAMES[number])
        except ConfigError as error:
            tried.note("refused")
            tried.expect(str(error).count("\n") == 0, NAMES[number])
            continue
        files.create()
        files.close()
        tried.note("a folder of its own")
        tried.expect([path.parent for path in output.iterdir()] == [output], NAMES[number])
        tried.expect(files.folder.resolve().parent == output.resolve(), NAMES[number])
    tops = {path.name for path in tmp_path.iterdir()} | {path.name for path in (tmp_path / "deep").iterdir()}
    assert tops <= {"deep", "down"}


@seed(SEED)
@settings(max_examples=500 if FULL else 100, deadline=None, database=None)
@given(name=text(max_size=200))
def test_f1_no_text_leads_out_of_the_output_folder(tmp_path_factory, name):
    output = tmp_path_factory.getbasetemp() / "names" / "output"
    try:
        folder = FileManager(output, name).folder
    except ConfigError as error:
        assert "expected one plain folder name" in str(error) and "\n" not in str(error)
        return
    assert folder.parent == output and Path(os.path.normpath(folder)) == folder
    made_folder(folder)
    assert folder.resolve().parent == output.resolve() and name in os.listdir(output)
    folder.rmdir()


LINKS = ["", "checkpoint", "best_ckpts", "img", "logs", "tboard", "logs/train.log", ".lock"]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_in_place_of_a_part_of_a_run_is_refused(tmp_path, link):
    """Otherwise an unpacked run could overwrite any file of the user."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    place = tmp_path / "output" / "run" / link
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(victim / "file" if "." in link else victim)
    with pytest.raises(ConfigError, match="link"):
        FileManager(tmp_path / "output", "run").open()
    assert [path.name for path in victim.iterdir()] == ["file"]
    assert (victim / "file").read_text() == "precious"
