import json

import pytest

from src.data_handlers.datasets.base import Box
from src.data_handlers.preparation.plan import Frame, Piece, Plan
from src.data_handlers.preparation.target import RECORD, claim_targets
from src.util.errors import RunExistsError, StorageError

RECIPE = {"pieces": "SIDD noisy", "crop_size": 4, "step": 2}


@pytest.fixture
def claim(tmp_path):
    """Claim the folder for the pieces of a frame; returns the folder's record."""
    target = tmp_path / "new"
    target.mkdir()

    def claimed(recipe=RECIPE, stem="a", size=7):
        source = tmp_path / f"{stem}.png"
        source.write_bytes(bytes(size))
        frame = Frame(source, stem, target, [Piece(f"{stem}_s001.png", Box(0, 0, 4, 4))])
        claim_targets(Plan(tmp_path, {target: recipe}, [(frame,)], None, []))
        return target / RECORD

    return claimed


def test_frames_are_recorded_before_their_pieces_and_earlier_ones_stay(claim):
    claim()
    lines = claim(stem="b", size=9).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        RECIPE,
        {"begun": "a", "size": 7},
        {"begun": "b", "size": 9},
    ]


def test_other_settings_are_refused(claim):
    before = claim().read_text()
    with pytest.raises(RunExistsError, match=r"'crop_size': 4.*'crop_size': 8.*choose another -nf"):
        claim({**RECIPE, "crop_size": 8})
    assert claim().read_text() == before


def test_pieces_of_a_source_that_changed_are_refused_until_they_are_deleted(claim):
    piece = claim().with_name("a_s001.png")
    claim(size=9)  # nothing was cut yet
    piece.write_bytes(b"a piece")
    with pytest.raises(RunExistsError, match=r"a_s001\.png was cut from another file.*delete the pieces a_"):
        claim(size=8)
    assert piece.read_bytes() == b"a piece"
    piece.unlink()
    claim(size=8)


def test_a_record_of_an_earlier_version_is_read(claim):
    record = claim()
    entry = {"piece": "a_s001.png", "source": "a.png", "source_size": 9, "sha256": "f"}
    lines = [json.dumps(line) for line in (RECIPE, {"begun": "a"}, entry)]
    record.write_text("\n".join(lines) + '\n{"piece": "a_s0')  # a kill left half a line
    record.with_name("a_s001.png").write_bytes(b"a piece")
    claim()


@pytest.mark.parametrize("line", ["no JSON", "[1]", "3", "null"])
@pytest.mark.parametrize("at", [0, 1])
def test_a_damaged_record_is_refused(claim, line, at):
    record = claim()
    lines = record.read_text().splitlines()
    lines[at] = line
    record.write_text("\n".join(lines) + "\n")
    record.with_name("a_s001.png").write_bytes(b"a piece")
    with pytest.raises((StorageError, RunExistsError), match="choose another -nf"):
        claim()
