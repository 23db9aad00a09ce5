import shutil
import subprocess

import numpy as np
import pytest
from scipy import io

from src.data_handlers.submission.dnd import check_dnd, submit_dnd
from src.util.errors import ConfigError, DataError

# Small benchmarks have fewer boxes than the real one.
pytestmark = pytest.mark.filterwarnings("ignore:.*boxes are missing")


@pytest.fixture
def submit(small_dnd, tmp_path):
    def made(**options):
        submit_dnd(small_dnd.results, tmp_path / "out", small_dnd.noisy_folder, **options)
        return tmp_path / "out" / "bundled"

    return made


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def as_floats(made):
    """Replace all results by floats, with values between the 8-bit levels and some outside [0, 1]."""
    exact = made.clean / np.float32(255) + np.float32(1 / 3000)
    exact[:, :3, :3] = [-0.25, 1.25, 0.5]
    for number in range(6):
        (made.results / f"{number:04d}_DN.png").unlink()
        made.write_float(number, exact[number])
    return exact


def test_the_bundle_holds_exactly_what_the_network_gave_clipped(submit, small_dnd):
    exact = as_floats(small_dnd)
    bundle = submit()
    assert files_in(bundle) == ["0001.mat", "0002.mat"]
    for image in range(2):
        cells = io.loadmat(bundle / f"{image + 1:04d}.mat")["Idenoised"]
        assert cells.shape == (1, 3)
        for box in range(3):
            assert cells[0, box].dtype == np.float32
            assert np.array_equal(cells[0, box], exact[3 * image + box].clip(0, 1))


def test_8_bit_results_become_fractions_of_255_with_a_warning(submit, small_dnd, messages):
    cells = io.loadmat(submit() / "0002.mat")["Idenoised"]
    assert np.array_equal(cells[0, 1] * np.float32(255), small_dnd.clean[4])
    assert any(m.startswith("WARNING 8-bit results") and "test.save_float" in m for m in messages)


def test_the_variables_have_the_types_of_dnds_kit(submit):
    kinds = {name: (shape, kind) for name, shape, kind in io.whosmat(submit() / "0001.mat")}
    assert kinds == {
        "Idenoised": ((1, 3), "cell"),
        "israw": ((1, 1), "logical"),
        "eval_version": ((1,), "char"),
    }


def test_octave_sees_the_bundle_as_the_servers_matlab_would(submit, small_dnd):
    if shutil.which("octave") is None:
        pytest.skip("GNU Octave is not installed")
    exact = as_floats(small_dnd)
    code = (
        f"s = load('{submit() / '0002.mat'}'); c = s.Idenoised; "
        "printf('%s;', class(c), mat2str(size(c)), class(c{1}), mat2str(size(c{1})), "
        "class(s.israw), mat2str(s.israw), class(s.eval_version), mat2str(size(s.eval_version)), "
        "s.eval_version, strjoin(fieldnames(s)', ' ')); "
        "printf('%.9g ', c{2}(11, 21, 1:3), c{2}(1, 1, 1:3))"
    )
    said = subprocess.run(["octave", "--no-gui", "--eval", code], capture_output=True, text=True, check=True)
    *text, values = said.stdout.split(";")
    assert sorted(text.pop().split()) == ["Idenoised", "eval_version", "israw"]
    assert text == ["cell", "[1 3]", "single", "[64 64 3]", "logical", "false", "char", "[1 3]", "1.0"]
    pixels = np.array(values.split(), np.float32)
    assert np.array_equal(pixels, [*exact[4, 10, 20], 0, 1, 0.5])


def test_a_right_bundle_passes_its_check_by_either_folder(submit, small_dnd, messages):
    bundle = submit()
    check_dnd(bundle, small_dnd.noisy_folder)
    check_dnd(bundle.parent, small_dnd.noisy_folder)
    assert messages.count(f"INFO {bundle}: checked, 6 blocks") == 3  # the first when it was made
    check_dnd(bundle, None)
    assert any(m.startswith("WARNING") and "not compared with the noisy" in m for m in messages)


def changed(file, **variables):
    """Rewrite a file of the bundle with other variables; a callable changes a copy of the old one."""
    old = {name: value for name, value in io.loadmat(file).items() if not name.startswith("_")}
    old |= {"israw": False, "eval_version": "1.0", "Idenoised": old["Idenoised"][0]}
    for name, value in variables.items():
        old[name] = value(old[name].copy()) if callable(value) else value
    io.savemat(file, {name: value for name, value in old.items() if value is not None})


def in_cell(change):
    def changed_cells(cells):
        cells[1] = change(cells[1])
        return cells

    return changed_cells


def with_nan(block):
    block = block.copy()
    block[3, 4, 1] = np.nan
    return block


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"Idenoised": in_cell(lambda block: block * 255)}, r"0002_02: expected values in \[0, 1\]"),
        ({"Idenoised": in_cell(lambda block: block - 0.5)}, r"0002_02: expected values in \[0, 1\]"),
        ({"Idenoised": in_cell(lambda block: block.astype(np.float64))}, "0002_02: expected single.*float64"),
        ({"Idenoised": in_cell(lambda block: block[:60])}, r"0002_02: expected single .* \(60, 64, 3\)"),
        ({"Idenoised": in_cell(with_nan)}, "0002_02: NaN or infinite"),
        ({"Idenoised": lambda cells: cells[:2]}, r"0002\.mat: expected .*got .*\(1, 2\)"),
        ({"Idenoised": lambda cells: cells[::-1]}, "0002_01 shows 0002_03, 0002_03 shows 0002_01"),
        ({"israw": True}, "0002.mat: expected israw = false"),
        ({"israw": 0}, r"0002\.mat: expected .*got"),
        ({"eval_version": "1.1"}, "eval_version = '1.0'"),
        ({"eval_version": None}, r"0002\.mat: expected"),
    ],
)  # fmt: skip
def test_a_wrong_bundle_is_refused_and_the_box_named(submit, small_dnd, variables, said):
    bundle = submit()
    changed(bundle / "0002.mat", **variables)
    with pytest.raises(DataError, match=said):
        check_dnd(bundle, small_dnd.noisy_folder)


def test_files_that_are_missing_damaged_or_surplus_are_named(submit, small_dnd):
    bundle = submit()
    (bundle / "0001.mat").rename(bundle / "0003.mat")
    (bundle / "0002.mat").write_bytes((bundle / "0002.mat").read_bytes()[:5000])
    with pytest.raises(DataError) as caught:
        check_dnd(bundle, small_dnd.noisy_folder)
    for part in (
        "0003.mat: not part",
        "0001.mat: no such file",
        "0002.mat: ",
        "0001_01 to 0002_03: missing",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError, match="no such folder"):
        check_dnd(bundle / "absent", None)


FAULTS = {
    "missing": (lambda made: (made.results / "0004_DN.png").unlink(), "1 of 6 missing: 0002_02"),
    "surplus": (lambda made: made.write(6, made.clean[0]), r"0006_DN\.png: belongs to no block"),
    "wrong size": (lambda made: made.write(4, made.clean[4][:50]), r"0004_DN\.png: expected shape"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_wrong_results_are_named_and_leave_no_bundle(submit, small_dnd, tmp_path, fault):
    spoil, said = FAULTS[fault]
    spoil(small_dnd)
    with pytest.raises(DataError, match=said):
        submit()
    assert files_in(tmp_path / "out") == []


def test_s2_one_missing_result_shifts_no_other_box(small_dnd, submit, tmp_path):
    """The original put files into boxes by their rank in a listing."""
    (small_dnd.results / "0001_DN.png").unlink()
    small_dnd.write_metrics([f"{small_dnd.layout.label(n)}.png" for n in range(6)])
    with pytest.raises(DataError) as caught:
        submit()
    assert str(caught.value) == f"{small_dnd.results}: 1 of 6 missing: 0001_02"


def test_a_missing_noisy_box_is_named(small_dnd, submit):
    (small_dnd.noisy_folder / "0002_01.png").unlink()
    with pytest.raises(DataError, match="1 noisy blocks missing: 0002_01"):
        submit()


def test_without_noisy_boxes_only_the_form_is_checked_with_a_warning(small_dnd, tmp_path, messages):
    submit_dnd(small_dnd.results, tmp_path / "out")
    assert any(m.startswith("WARNING") and "not compared with the noisy" in m for m in messages)


def test_an_earlier_bundle_is_replaced_only_when_asked_and_foreign_files_never(submit, small_dnd):
    bundle = submit()
    with pytest.raises(ConfigError, match="exists; add --overwrite"):
        submit()
    submit(overwrite=True)
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"notes\.txt: not part of a submission"):
        submit(overwrite=True)
    assert files_in(bundle) == ["0001.mat", "0002.mat", "notes.txt"]
