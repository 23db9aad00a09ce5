import base64
import csv
import shutil
import subprocess

import numpy as np
import pytest
from scipy import io

from src.data_handlers.submission.sidd import MAT_NAME, check_sidd, submit_sidd
from src.util.errors import ConfigError, DataError


@pytest.fixture
def submit(small_sidd, tmp_path):
    def made(**options):
        out = tmp_path / "out" / "sidd.csv"
        submit_sidd(small_sidd.noisy_folder, small_sidd.results, out, **options)
        return out

    return made


def rows_of(file):
    csv.field_size_limit(10**6)
    with open(file, newline="") as stream:
        return list(csv.reader(stream))


def decoded(text):
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(64, 64, 3)


def rewritten(file, change):
    """The CSV's rows, changed in place by `change`, written back."""
    rows = rows_of(file)
    change(rows)
    file.write_text("".join(f"{','.join(row)}\n" for row in rows))


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_the_csv_holds_exactly_what_the_network_gave(submit, small_sidd):
    header, *rows = rows_of(submit())
    assert header == ["ID", "BLOCK"]
    assert [row[0] for row in rows] == list("012345")
    assert np.array_equal([decoded(row[1]) for row in rows], small_sidd.clean)


def test_float_results_are_rounded_like_images(submit, small_sidd):
    for number in range(6):
        (small_sidd.results / f"{number:04d}_DN.png").unlink()
        small_sidd.write_float(number, small_sidd.clean[number] / np.float32(255) + np.float32(0.4 / 255))
    rows = rows_of(submit())[1:]
    assert np.array_equal([decoded(row[1]) for row in rows], small_sidd.clean)


def test_the_older_servers_file_holds_the_same(submit, small_sidd):
    cells = io.loadmat(submit(mat=True).with_name(MAT_NAME))["DenoisedBlocksSrgb"]
    assert cells.shape == (2, 3)
    for number, block in enumerate(small_sidd.clean):
        assert cells[divmod(number, 3)].dtype == np.uint8
        assert np.array_equal(cells[divmod(number, 3)], block)


def test_octave_sees_the_older_servers_file_as_its_matlab_would(submit, small_sidd):
    if shutil.which("octave") is None:
        pytest.skip("GNU Octave is not installed")
    file = submit(mat=True).with_name(MAT_NAME)
    code = (
        f"s = load('{file}'); c = s.DenoisedBlocksSrgb; "
        "printf('%s;', fieldnames(s){:}, class(c), mat2str(size(c)), class(c{2,1}), mat2str(size(c{2,1}))); "
        "printf('%d ', c{2,1}(11, 21, 1:3), all(cellfun(@(b) isequal(size(b), [64 64 3]), c(:))))"
    )
    said = subprocess.run(["octave", "--no-gui", "--eval", code], capture_output=True, text=True, check=True)
    pixel = " ".join(map(str, small_sidd.clean[3, 10, 20]))
    assert said.stdout == f"DenoisedBlocksSrgb;cell;[2 3];uint8;[64 64 3];{pixel} 1 "


def test_a_right_submission_passes_its_check(submit, small_sidd, messages):
    file = submit(mat=True)
    for one in (file, file.with_name(MAT_NAME)):
        check_sidd(one, small_sidd.noisy_folder)
        assert f"INFO {one}: checked, 6 blocks" in messages
    assert not any(message.startswith("WARNING") for message in messages)
    check_sidd(file, None)
    assert any(m.startswith("WARNING") and "not compared with the noisy" in m for m in messages)


def block_of(values):
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def set_cell(row, column, text):
    def change(rows):
        rows[row][column] = text

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda rows: rows.pop(3), r"ID 2: missing"),
        (lambda rows: rows.append(rows[3]), r"ID 2: there more than once"),
        (lambda rows: rows.insert(1, rows.pop(6)), r"ID 0: out of order"),
        (lambda rows: rows.pop(0), r"first line: expected ID,BLOCK"),
        (set_cell(2, 0, "6"), r"line 3: expected an ID of 0 to 5, got b'6'(.|\n)*ID 1: missing"),
        (set_cell(2, 0, "one"), r"line 3: expected an ID"),
        (set_cell(2, 1, "no base64!"), r"ID 1: not base64"),
        (set_cell(2, 1, block_of(np.zeros((64, 64), np.uint8))), r"ID 1: expected 12288 bytes.* got 4096"),
    ],
)
def test_a_wrong_csv_is_refused_and_the_row_named(submit, small_sidd, change, said):
    file = submit()
    rewritten(file, change)
    with pytest.raises(DataError, match=said):
        check_sidd(file, small_sidd.noisy_folder)


def test_blocks_in_the_wrong_rows_are_named(submit, small_sidd):
    file = submit()

    def change(rows):
        rows[1][1], rows[4][1] = rows[4][1], rows[1][1]

    rewritten(file, change)
    with pytest.raises(DataError, match="not in its place: ID 0 shows ID 3, ID 3 shows ID 0"):
        check_sidd(file, small_sidd.noisy_folder)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"Other": 1}, "expected {'DenoisedBlocksSrgb'"),
        ({"DenoisedBlocksSrgb": np.zeros((3, 2), object)}, r"\(\(3, 2\), 'cell'\)"),
        ({"DenoisedBlocksSrgb": np.zeros((2, 3))}, "'double'"),
        ({"DenoisedBlocksSrgb": np.zeros((2, 3), object)}, "ID 0 to ID 5: expected uint8"),
    ],
)
def test_a_wrong_file_for_the_older_server_is_refused(small_sidd, tmp_path, variables, said):
    io.savemat(tmp_path / MAT_NAME, variables)
    with pytest.raises(DataError, match=said):
        check_sidd(tmp_path / MAT_NAME, small_sidd.noisy_folder)


def test_a_file_that_is_missing_or_no_mat_file_is_a_data_error(small_sidd, tmp_path):
    for name in ("absent.mat", "absent.csv", "text.mat"):
        (tmp_path / "text.mat").write_text("text")
        with pytest.raises(DataError, match=name):
            check_sidd(tmp_path / name, small_sidd.noisy_folder)


def spoil_float(made):
    for number in range(6):
        (made.results / f"{number:04d}_DN.png").unlink()
        made.write_float(number, made.clean[number].astype(np.float32))


FAULTS = {
    "float 0 to 255": (spoil_float, "0000_DN.npy: expected values of data range 1"),
    "missing": (lambda made: (made.results / "0004_DN.png").unlink(), "1 of 6 missing: ID 4"),
    "surplus": (lambda made: made.write(17, made.clean[0]), "0017_DN.png: belongs to no block"),
    "wrong size": (lambda made: made.write(4, made.clean[4][:50]), r"0004_DN.png: expected shape"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_s3_wrong_results_are_named_and_leave_no_file(submit, small_sidd, tmp_path, fault):
    spoil, said = FAULTS[fault]
    spoil(small_sidd)
    with pytest.raises(DataError, match=said):
        submit(mat=True)
    assert files_in(tmp_path / "out") == []


def test_equal_noisy_blocks_may_give_equal_results(submit, small_sidd):
    name = "BenchmarkNoisyBlocksSrgb"
    noisy = small_sidd.noisy.copy()
    noisy[4] = noisy[3]
    io.savemat(small_sidd.noisy_folder / f"{name}.mat", {name: noisy.reshape(2, 3, 64, 64, 3)})
    small_sidd.write(4, small_sidd.clean[3])
    submit()


def test_an_earlier_submission_is_replaced_only_when_asked(submit, small_sidd):
    file = submit()
    before = file.read_bytes()
    small_sidd.write(1, small_sidd.noisy[1])
    with pytest.raises(ConfigError, match="exists; add --overwrite"):
        submit()
    assert file.read_bytes() == before
    submit(overwrite=True)
    assert file.read_bytes() != before
    small_sidd.write(1, small_sidd.clean[3])
    small_sidd.write(3, small_sidd.clean[1])
    kept = file.read_bytes()
    with pytest.raises(DataError):
        submit(overwrite=True)
    assert file.read_bytes() == kept and files_in(file.parent) == ["sidd.csv"]


def test_an_existing_file_is_refused_before_the_results_are_read(submit, small_sidd):
    file = submit()
    (small_sidd.results / "0004_DN.png").write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=f"{file}: exists"):
        submit()


def test_the_older_servers_file_is_read_back_too(submit, tmp_path, monkeypatch):
    save = io.savemat

    def save_otherwise(file, variables, **options):
        cells = variables["DenoisedBlocksSrgb"]
        cells[0, 0], cells[1, 2] = cells[1, 2], cells[0, 0]
        save(file, variables, **options)

    monkeypatch.setattr(io, "savemat", save_otherwise)
    with pytest.raises(DataError, match=r"SubmitSrgb\.mat: .*not in its place"):
        submit(mat=True)
    assert files_in(tmp_path / "out") == []


def test_noisy_blocks_of_another_number_are_refused(submit, small_sidd):
    name = "BenchmarkNoisyBlocksSrgb"
    few = small_sidd.noisy[:4].reshape(2, 2, 64, 64, 3)
    io.savemat(small_sidd.noisy_folder / f"{name}.mat", {name: few})
    with pytest.raises(DataError, match="2 noisy blocks missing: ID 4 to ID 5"):
        submit()


def test_the_name_of_the_csv_must_end_with_csv(small_sidd, tmp_path):
    with pytest.raises(ConfigError, match=r"ends with \.csv"):
        submit_sidd(small_sidd.noisy_folder, small_sidd.results, tmp_path / "sidd.mat")
