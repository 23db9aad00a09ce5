"""A network is adapted to images in stages, and an adaptation stopped in any of them can be resumed."""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch

from src.data_handlers.datasets.adapted import LIST, Adapted, open_targets
from src.trainer.adapt import stages
from src.trainer.adapt.plan import plan_of
from src.trainer.adapt.stages import TARGETS, TEACHER, WITH_TEACHER, adapt
from src.trainer.checkpoints.checkpoint import load_checkpoint
from src.trainer.config.build import noisy_images
from src.trainer.config.reading import read_config
from src.trainer.inference.trained import load_trained
from src.trainer.network.masked import Masked
from src.trainer.network.network import Network
from src.util.errors import CheckpointError, ConfigError, DataError
from src.util.file_manager import FileManager
from tests.trainer.adapt.conftest import TEACHER as A_TEACHER
from tests.trainer.adapt.conftest import adapted, make_noisy
from tests.trainer.conftest import CPU, config, problem


def run(text, output, name="mine", resume=False, *settings):
    files = FileManager(output, name)
    made = config(text, f"output_folder={output}", *settings)
    adapt(made, files, CPU, 0, resume)
    return files


def weights(files, epoch=2):
    return load_checkpoint(files.checkpoint_file(epoch), CPU)["model_weights"]


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def targets_of(noisy, output, teacher, *settings):
    """Return the targets of the student."""
    files = run(adapted(noisy, teacher), output, "mine", False, *settings)
    return open_targets(last_targets(files)).images


def last_targets(files):
    return max((files.folder / TARGETS).iterdir())


@pytest.fixture
def finished(noisy, tmp_path):
    return run(adapted(noisy), tmp_path / "output")


def test_a_run_writes_teacher_targets_and_a_network_for_test_py(finished, tmp_path):
    assert (finished.folder / TEACHER / "checkpoint").is_dir()
    assert (finished.folder / TARGETS / WITH_TEACHER / LIST).is_file()
    trained = load_trained(CPU, [f"output_folder={tmp_path / 'output'}"], None, "mine", None, None)
    general = load_trained(CPU, [], None, None, None, "general")
    assert trained.epoch == 2 and trained.data_range == 255 and trained.config.test.finish.detail == 3
    assert not same(trained.network.module.state_dict(), general.network.module.state_dict())


def test_a_run_resumed_before_any_stage_ends_with_the_same_weights(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "GROWTH", 0.0)
    made = partial(run, adapted(noisy), tmp_path / "output")
    whole, calls = weights(made("whole", False, "adapt.first_students=2")), []

    class Killed(BaseException):
        pass

    def stop_before(number):
        def train(*arguments, **options):
            calls.append(1)
            if len(calls) == number:
                raise Killed
            return original(*arguments, **options)

        return train

    original = stages.train
    for number, name in enumerate("abcd", start=1):
        calls.clear()
        monkeypatch.setattr(stages, "train", stop_before(number))
        with pytest.raises(Killed):
            made(name, False, "adapt.first_students=2")
        monkeypatch.setattr(stages, "train", original)
        assert same(weights(made(name, True, "adapt.first_students=2")), whole)


def test_damaged_or_missing_targets_are_made_again_identically(finished, noisy, tmp_path):
    folder, whole = finished.folder / TARGETS / WITH_TEACHER, weights(finished)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "00001_target.npy").write_bytes(before["00001_target.npy"][:-8] + b"damaged!")
    (folder / "00002_noisy.npy").unlink()
    with pytest.raises(DataError, match=r"00001_target\.npy: missing or damaged"):
        open_targets(folder)
    for path in finished.checkpoints.iterdir():
        path.unlink()
    for path in (finished.manifest_file, finished.manifest_copy):
        path.unlink()
    assert same(weights(run(adapted(noisy), tmp_path / "output", "mine", True)), whole)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_undamaged_targets_are_made_again_only_after_a_change_of_what_they_depend_on(
    finished, noisy, tmp_path, monkeypatch
):
    made = []
    monkeypatch.setattr(stages.TargetMaker, "write", lambda *arguments: made.append(1))
    run(adapted(noisy), tmp_path / "output", "mine", True)
    assert not made
    run(adapted(noisy), tmp_path / "output", "mine", True, "adapt.teacher_half=30")
    assert made


def test_the_teachers_weight_in_a_target_grows_with_the_noise(tmp_path):
    """Without a teacher and a first student, the target is the general network's output."""
    noisy = make_noisy(tmp_path / "noisy", 2)
    alone = targets_of(noisy, tmp_path / "alone", "null", "adapt.first_students=0")
    shares = []
    for half in (12.0, 36.0, 1e9):
        settings = "adapt.first_students=0", f"adapt.teacher_half={half}"
        made = targets_of(noisy, tmp_path / f"{half}", A_TEACHER, *settings)
        shares.append([image.target - other.target for image, other in zip(made, alone, strict=True)])
    for image, half, third, none in zip(alone, *shares, strict=True):
        assert np.abs(none).max() < 1e-6 and half.std() > 0.01
        noise = 255 * (image.noisy / 255 - image.target).std()
        ratio = (noise + 12) / (noise + 36)
        assert np.median(third / half) == pytest.approx(ratio, rel=0.05)


def test_the_teacher_denoises_no_smaller_versions(noisy, tmp_path, monkeypatch):
    """It did not learn their size; the network that is adapted denoises them."""
    sizes, originals = {}, {kind: kind.denoise_bands for kind in (Masked, Network)}

    def recorded(self, height, *arguments):
        sizes.setdefault(type(self), set()).add(height)
        return originals[type(self)](self, height, *arguments)

    for kind in originals:
        monkeypatch.setattr(kind, "denoise_bands", recorded)
    run(adapted(noisy), tmp_path / "output")
    assert sizes[Masked] == {96} and {96, 48, 24} <= sizes[Network]


def test_each_first_student_makes_the_targets_of_the_next(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "GROWTH", 0.0)
    made = [
        targets_of(noisy, tmp_path / f"{count}", "null", f"adapt.first_students={count}")
        for count in range(3)
    ]
    for before, after in pairwise(made):
        assert all(0 < np.abs(a.target - b.target).max() < 0.3 for a, b in zip(before, after, strict=True))
    second = open_targets(tmp_path / "2" / "mine" / TARGETS / "2").images
    assert all(np.array_equal(a.target, b.target) for a, b in zip(second, made[1], strict=True))


def test_another_first_student_follows_only_if_the_last_removes_more(noisy, tmp_path, monkeypatch, messages):
    one = weights(run(adapted(noisy, "null"), tmp_path / "one", "mine", False, "adapt.first_students=1"))
    monkeypatch.setattr(stages, "GROWTH", float("inf"))
    files = run(adapted(noisy, "null"), tmp_path / "three", "mine", False, "adapt.first_students=3")
    assert same(weights(files), one)
    assert not (files.folder / "first_2").exists()
    general, first = (open_targets(files.folder / TARGETS / name).images for name in "12")
    before, after = (
        sum((image.noisy / 255 - image.target).std() for image in each) for each in (general, first)
    )
    percent = 100 * after / before
    assert f"INFO it removes {percent:.1f} % of what the network before it removed" in messages


def test_a_teacher_is_trained_only_if_the_network_before_it_leaves_noise(noisy, tmp_path, messages):
    general = partial(run, adapted(noisy), tmp_path)
    files = general("measured", False, "adapt.first_students=0", "adapt.teacher_above=1000")
    ratio = open_targets(files.folder / TARGETS / "1").noise_ratio
    assert not (files.folder / TEACHER).exists()
    assert f"INFO in flat places, the noise has {ratio:.2f} times the variance of what is removed" in messages
    below = general("below", False, "adapt.first_students=0", f"adapt.teacher_above={0.999 * ratio}")
    assert (below.folder / TEACHER).is_dir()


@pytest.mark.parametrize("above", [0, 1000])
def test_images_that_a_teacher_cannot_learn_are_told_about_only_if_they_need_one(above, tmp_path, messages):
    folder = make_noisy(tmp_path / "noisy", 2, 64, channels=5)
    run(adapted(folder), tmp_path, "mine", False, "adapt.first_students=0", f"adapt.teacher_above={above}")
    told = "INFO no teacher is trained: the images have 5 channels, not 1 or 3"
    assert (told in messages) == (above == 0)


def test_a_teacher_is_trained_if_the_noise_cannot_be_measured(tmp_path):
    folder = make_noisy(tmp_path / "noisy", 1, 32)
    files = run(
        adapted(folder), tmp_path, "mine", False, "adapt.first_students=0", "adapt.teacher_above=1000"
    )
    assert open_targets(files.folder / TARGETS / "1").noise_ratio is None
    assert (files.folder / TEACHER).is_dir()


@pytest.mark.parametrize(
    ("channels", "dtype"), [(1, np.uint8), (3, np.uint16), (1, np.float32), (5, np.float32)]
)
def test_grey_16_bit_float_and_many_channel_images(channels, dtype, tmp_path):
    folder = make_noisy(tmp_path / "noisy", 2, 64, channels, dtype)
    files = run(adapted(folder), tmp_path / "output")
    targets = open_targets(last_targets(files))
    assert targets.images[0].noisy.shape == (64, 64, channels)
    assert targets.noises is not None and len(targets.noises) == len(targets.images)
    assert {len(noise.levels) for noise in targets.noises} == {channels}
    assert targets.noises[0].step == {np.uint8: 1 / 255, np.uint16: 1 / 65535}.get(dtype, 0)
    assert (files.folder / TEACHER).is_dir() == (channels != 5)


def test_a_single_image_is_enough_and_large_ones_are_cropped(tmp_path):
    folder = make_noisy(tmp_path / "noisy", 1, 96)
    text = adapted(folder / "0.png").replace("crops: 4", "crops: 4, megapixels: 0.0064")
    targets = open_targets(last_targets(run(text, tmp_path / "output")))
    assert [image.noisy.shape for image in targets.images] == [(80, 80, 3)]


def test_unusable_settings_are_refused_before_anything_is_written(noisy, tmp_path):
    n2v = "{masker: {masker_type: N2V_Masker, masker_args: {}}, training: {loss: 1*self_L1}}"
    with pytest.raises(ConfigError, match=r"adapt\.teacher\.masker\.masker_type: expected Masker"):
        run(adapted(noisy, n2v), tmp_path / "output")
    with pytest.raises(ConfigError, match="self_L1 or self_L2"):
        run(adapted(noisy, "{training: {loss: 1*target_L1}}"), tmp_path / "output")
    small = make_noisy(tmp_path / "small", 1, 12)
    with pytest.raises(DataError, match="at least 16 px"):
        run(adapted(small, "null"), tmp_path / "output")
    other = adapted(noisy).replace("features: [32, 64]", "features: [32, 32]")
    with pytest.raises(CheckpointError, match="another network: bsn"):
        run(other, tmp_path / "output")
    assert not (tmp_path / "output").exists()
    assert "at most 1 together with own" in problem("adapt: {real: 0.7, own: 0.4}")


def test_the_shipped_recipe_has_two_stages_or_three_with_a_teacher(noisy):
    recipe = read_config("folder", [f"training.dataset_args.data_dir={noisy}"])
    certain = plan_of(recipe, noisy_images(recipe))
    assert [certain.title(config) for config in certain.stages.values()] == [
        "1 of 2, first student", "2 of 2, student",
    ]  # fmt: skip
    plan = certain.with_teacher()
    assert plan.later_work(plan.firsts[0]) > certain.later_work(certain.firsts[0])
    assert [plan.title(config) for config in plan.stages.values()] == [
        "1 of 3, first student", "2 of 3, teacher", "3 of 3, student",
    ]  # fmt: skip
    first, teacher, student = plan.stages.values()
    assert [each.training.max_epochs for each in plan.stages.values()] == [1, 1, 1]
    assert first.adapt.real == 0 and teacher.training.objective == "hide" and teacher.training.init is None
    assert teacher.masker.masker_args["exclude"] >= teacher.masker.masker_args["sim_patch_edge"]
    assert student.training.init == "general" and plan.size == 96
    assert plan.later_work(first) > plan.later_work(teacher) * 0.2 > 0 and plan.later_work(student) == 0
    plain = read_config("folder", [f"training.dataset_args.data_dir={noisy}", "test.finish.coarse=null"])
    without = plan_of(plain, noisy_images(plain)).with_teacher()
    assert without.later_work(without.firsts[0]) < plan.later_work(first)  # smaller versions take time


def test_several_first_students_are_numbered(noisy):
    text = adapted(noisy, "null")
    made = config(text, "adapt.first_students=2", "adapt.first_length=0.5")
    plan = plan_of(made, noisy_images(made)).with_another_first()
    assert [plan.title(each) for each in plan.stages.values()] == [
        "1 of 3, first student 1", "2 of 3, first student 2", "3 of 3, student",
    ]  # fmt: skip
    assert [each.training.max_epochs for each in plan.stages.values()] == [1, 1, 2]
    assert plan.later_work(plan.firsts[0]) > plan.later_work(plan.firsts[1]) > 0


@pytest.mark.parametrize(("coarse", "half"), [("8", 0.5), ("null", 0.0)])
def test_students_see_half_the_size_only_if_the_finish_uses_it(noisy, tmp_path, monkeypatch, coarse, half):
    shares = []

    def recorded(targets, count, size, of_kinds):
        shares.append((of_kinds.half, of_kinds.coarse))
        return Adapted(targets, count, size, of_kinds)

    monkeypatch.setattr(stages, "Adapted", recorded)
    finish = "test.finish.light=16", f"test.finish.coarse={coarse}"
    run(adapted(noisy, "null"), tmp_path / "output", "mine", False, "adapt.first_students=0", *finish)
    assert shares == [(half, pytest.approx(half * 16 / 255))]


def test_a_network_of_another_kind_begins_with_random_weights(noisy, tmp_path):
    settings = "training.init=null", "model.kwargs={bsn: UNet2, features: [4, 8]}", "training.max_epochs=1"
    files = run(adapted(noisy, "null"), tmp_path / "output", "mine", False, *settings)
    trained = load_trained(CPU, [f"output_folder={tmp_path / 'output'}"], None, "mine", None, None)
    assert trained.config.model.kwargs["features"] == [4, 8]
    assert (files.folder / "first" / "checkpoint").is_dir()
