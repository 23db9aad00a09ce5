import errno
from pathlib import Path

import pytest

from src.data_handlers.datasets.base import Box
from src.data_handlers.preparation.manifest import NAME, Entry, Manifest
from src.data_handlers.preparation.plan import Frame, Piece
from src.util.errors import RunExistsError, StorageError

RECIPE = {"pieces": "SIDD noisy", "crop_size": 4, "step": 2}
BOX = Box(0, 2, 4, 4)
FRAME = Frame(Path("a.png"), "a.png", "a", 7, 8, Path("new"), (Piece("a_s001.png", BOX),))
ENTRY = Entry("a_s001.png", "a.png", 7, 8, BOX, "f" * 64)


@pytest.fixture
def written(tmp_path):
    manifest = Manifest(tmp_path, RECIPE)
    manifest.begin(FRAME)
    manifest.add([ENTRY])
    manifest.close()
    return tmp_path / NAME


def test_what_was_made_is_known_to_the_next_run(written):
    manifest = Manifest(written.parent, RECIPE)
    assert manifest.entries == {"a_s001.png": ENTRY}
    assert manifest.known(FRAME) == {"a_s001.png": "f" * 64}
    assert len(written.read_text().splitlines()) == 3


@pytest.mark.parametrize("other", [{"size": 9}, {"changed": 9}])
def test_a_piece_of_a_frame_that_changed_is_not_taken_for_done(written, other):
    frame = Frame(**{**FRAME.__dict__, **other})
    manifest = Manifest(written.parent, RECIPE)
    assert manifest.known(frame) == {}
    assert manifest.owns("a_s001.png", frame)


def test_a_piece_cut_elsewhere_is_not_taken_for_done(written):
    moved = Frame(**{**FRAME.__dict__, "pieces": (Piece("a_s001.png", Box(0, 0, 4, 4)),)})
    assert Manifest(written.parent, RECIPE).known(moved) == {}


def test_a_frame_that_was_begun_owns_the_pieces_that_a_kill_kept_from_being_written_down(tmp_path):
    manifest = Manifest(tmp_path, RECIPE)
    assert not manifest.owns("a_s001.png", FRAME)
    manifest.begin(FRAME)
    assert Manifest(tmp_path, RECIPE).owns("a_s001.png", FRAME)


def test_half_a_line_of_a_kill_is_cut_off_and_the_next_one_is_whole(written):
    whole = written.read_bytes()
    written.write_bytes(whole + b'{"piece": "a_s0')
    manifest = Manifest(written.parent, RECIPE)
    manifest.add([ENTRY._replace(piece="a_s002.png")])
    assert written.read_bytes().startswith(whole)
    assert Manifest(written.parent, RECIPE).entries.keys() == {"a_s001.png", "a_s002.png"}


@pytest.mark.parametrize("line", ["no JSON", "[1]", "3", '{"piece": "a"}', "null"])
@pytest.mark.parametrize("at", [0, 2])
def test_a_damaged_line_is_named(written, line, at):
    lines = written.read_text().splitlines()
    lines[at] = line
    written.write_text("\n".join(lines) + "\n")
    with pytest.raises((StorageError, RunExistsError), match="choose another -nf"):
        Manifest(written.parent, RECIPE)


def test_pieces_of_another_kind_are_never_mixed_in(written):
    with pytest.raises(RunExistsError, match=r"crop_size 4, step 2.*crop_size 8, step 2.*choose another -nf"):
        Manifest(written.parent, {**RECIPE, "crop_size": 8})


def test_where_nothing_was_begun_pieces_of_any_kind_can_be_made(tmp_path):
    Manifest(tmp_path, RECIPE).close()
    assert not list(tmp_path.iterdir())
    Manifest(tmp_path, {**RECIPE, "crop_size": 8}).begin(FRAME)
    with pytest.raises(RunExistsError, match="crop_size 8"):
        Manifest(tmp_path, RECIPE)


def test_a_full_disk_is_a_storage_error(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("builtins.open", full)
    with pytest.raises(StorageError, match=r"manifest\.jsonl: cannot be written: No space left"):
        Manifest(tmp_path, RECIPE).begin(FRAME)
