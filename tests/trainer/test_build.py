import time

import pytest
import torch
import yaml

from src.data_handlers import DATASETS
from src.masker import MASKERS
from src.model import MODELS
from src.trainer.build import (
    CONFIGS,
    build_loss,
    build_masker,
    build_model,
    build_pictures,
    check_config,
    read_config,
    to_yaml,
)
from src.util.errors import ConfigError, DataError
from src.util.yaml_document import override, parse_yaml

DEMO = "dataset: Demo, dataset_args: {crop_size: 64}"


def config(text, *settings):
    return check_config(override(parse_yaml(text, "my.yaml"), settings))


def problems(text, *settings):
    with pytest.raises(ConfigError) as caught:
        config(text, *settings)
    return caught.value.problems


def problem(text, *settings):
    (line,) = problems(text, *settings)
    return line


# Finding a configuration


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "configs/demo.yaml"])
def test_c5_a_configuration_is_a_name_with_or_without_ending_or_a_path(name, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    assert read_config(name) == read_config("demo")


def test_a_name_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_config("sidd_train").training.dataset == "SIDD_train"


def test_c5_a_path_outside_the_project_is_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 7\n")
    assert read_config(str(path)).seed == 7


def test_settings_override_the_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 7\ntraining: {batch_size: 4}\n")
    loaded = read_config(str(path), ["training.batch_size=8"])
    assert (loaded.seed, loaded.training.batch_size) == (7, 8)


def test_a_second_configuration_is_laid_over_the_first_and_settings_over_both(tmp_path):
    (tmp_path / "one.yaml").write_text("seed: 7\ntraining:\n  batch_size: 4\n  max_epochs: 5\n  init_lr: 1\n")
    (tmp_path / "two.yaml").write_text("training: {batch_size: 8, max_epochs: 6}\n")
    loaded = read_config([str(tmp_path / f"{n}.yaml") for n in ("one", "two")], ["training.max_epochs=9"])
    training = loaded.training
    assert (loaded.seed, training.batch_size, training.max_epochs, training.init_lr) == (7, 8, 9, 1)


def test_a_problem_of_several_configurations_is_said_where_it_stands(tmp_path):
    (tmp_path / "one.yaml").write_text("sed: 7\ntraining:\n  batch_size: x\n  max_epochs: y\n  zzz: 1\n")
    (tmp_path / "two.yaml").write_text("training:\n  max_epochs: 0\n  batch_size: 2\n")
    with pytest.raises(ConfigError) as error:
        read_config([str(tmp_path / f"{name}.yaml") for name in ("one", "two")])
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert any("sed: unknown key" in line and "one.yaml, line 1" in line for line in lines)
    assert any("zzz" in line and "one.yaml, line 5" in line for line in lines)
    assert any("max_epochs" in line and "two.yaml, line 2" in line for line in lines)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "../configs/demo", "a\0b", "x" * 5000, "no/such.yaml"])
def test_a_configuration_that_is_not_there_is_said(name):
    with pytest.raises(ConfigError, match="there is no such configuration"):
        read_config(name)


def test_a_misspelt_configuration_gets_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'sidd_train'"):
        read_config("sid_train")


# The report


def test_all_problems_of_a_file_come_in_one_report():
    text = """
trainig: {batch_size: 3}
training:
  batch_size: many
  max_epochs: 0
  init_lr: .inf
  loss: self_L2
  tmp_info: [self_L9]
  masker_args: {sim_patch_edge: 20, pixel_prec: 0.1}
  optimizer: {type: SGD}
  dataset: Folder
  dataset_args: {crop_sise: 64, repeat_times: 0}
validation:
  dataset_args: {n_data: none, shuffle: true}
test: {dataset: Foldr}
model:
  kwargs: {bsn: UNet3}
"""
    found = problems(text)
    expected = {
        "trainig": (2, "did you mean 'training'?"),
        "training.batch_size": (4, "expected an integer of at least 1, got 'many'"),
        "training.max_epochs": (5, "expected an integer of at least 1, got 0"),
        "training.init_lr": (6, "expected a number above 0, got inf"),
        "training.loss": (7, "did you mean '1*self_L2'?"),
        "training.tmp_info": (8, "got 'self_L9'"),
        "training.masker_args.sim_patch_edge": (9, "expected an odd number, got 20"),
        "training.masker_args.pixel_prec": (9, "did you mean 'pixel_perc'?"),
        "training.optimizer.type": (10, "expected 'Adam', got 'SGD'"),
        "training.dataset_args.folder": (12, "missing: folder of the noisy pictures"),
        "training.dataset_args.crop_sise": (12, "did you mean 'crop_size'?"),
        "training.dataset_args.repeat_times": (12, "expected an integer of at least 1 or None, got 0"),
        "validation.dataset_args.shuffle": (14, "unknown key"),
        "test.dataset": (15, "did you mean 'Folder'?"),
        "model.kwargs.bsn": (17, "got 'UNet3'; did you mean 'UNet'?"),
    }
    lines = {line.partition(": ")[0]: line for line in found}
    assert len(found) == len(lines)
    assert lines.keys() == expected.keys()
    for key, (number, words) in expected.items():
        assert words in lines[key]
        assert lines[key].endswith(f"(my.yaml, line {number})")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model: {type: NL_BNS}", "model.type: no 'NL_BNS' is known; did you mean 'NL_BSN'?"),
        (
            "training: {masker_type: Maskr}",
            "training.masker_type: no 'Maskr' is known; did you mean 'Masker'?",
        ),
        ("training: {dataset: SIDD_trian}", "did you mean 'SIDD_train'?"),
        ("validation: {dataset: zzz}", "choose from BSD68_test"),
    ],
)
def test_c16_a_name_that_is_not_registered_is_refused_with_the_nearest(text, words):
    assert words in problem(text)


@pytest.mark.parametrize(
    ("key", "flag"),
    [("gpu", "-g"), ("thread", "--thread"), ("run_name", "-s"), ("resume", "-r"), ("config", "-c")],
)
def test_c13_flags_in_a_file_are_refused_with_the_flag_to_use(key, flag):
    assert problem(f"seed: 1\n{key}: 8") == f"{key}: is said on the command line, by {flag} (my.yaml, line 2)"


def test_a_problem_of_a_setting_is_placed_there():
    line = problem("seed: 1", "training.batch_size=x")
    assert line.endswith("(--set training.batch_size=x)")


# What single keys cannot tell


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("sim_patch_edge: 20", "sim_patch_edge: expected an odd number, got 20"),
        ("repl_patch_edge: 12", "repl_patch_edge: expected an odd number"),
        ("repl_patch_edge: 23", "at most sim_patch_edge (21), got 23"),
        ("pixel_perc: 0.1", "pixel_perc: expected at most 0.003417 for an image of 64x64 px"),
        ("pixel_perc: 1e-9", "pixel_perc: expected at least 0.000245 for an image of 64x64 px"),
        ("sim_patch_edge: 1000001", "sim_patch_edge: "),
        ("sim_patch_edge: 301, repl_patch_edge: 1", "sim_patch_edge: "),
    ],
)
def test_m2_m4_blind_spots_that_cannot_be_placed_are_refused_at_once(arguments, expected):
    begin = time.process_time()
    line = problem(f"training: {{{DEMO}, masker_args: {{{arguments}}}}}")
    assert line.startswith("training.masker_args.")
    assert expected in line
    assert line.endswith("(my.yaml, line 1)")
    assert time.process_time() - begin < 10  # the original hangs for ever


def test_the_largest_feasible_share_of_blind_spots_is_accepted():
    refused = problem(f"training: {{{DEMO}, masker_args: {{pixel_perc: 0.1}}}}")
    largest = refused.partition("expected at most ")[2].partition(" ")[0]
    assert config(f"training: {{{DEMO}, masker_args: {{pixel_perc: {largest}}}}}")


def test_a_crop_smaller_than_the_patch_is_refused():
    line = problem("training: {dataset: Demo, dataset_args: {crop_size: [64, 12]}}")
    assert "expects images of at least 13x13 px, got 64x12 px" in line


def test_whole_pictures_that_cannot_be_masked_are_refused_one_of_each_size(tiny_config):
    """Three pictures, of two numbers of pixels: 64x64, 64x80 and 80x64."""
    settings = ["training.dataset_args.crop_size=null", "training.batch_size=1"]
    assert build_pictures(tiny_config(*settings), "training")
    dense = tiny_config(*settings, "training.masker_args.pixel_perc=0.0037")
    with pytest.raises(DataError) as refused:
        build_pictures(dense, "training")
    (line,) = str(refused.value).splitlines()
    assert "a.png: pixel_perc: expected at most 0.003417 for an image of 64x64 px" in line
    assert build_pictures(dense, "validation")


def test_d4_turning_crops_that_are_not_square_is_refused():
    line = problem("training: {dataset: Demo, dataset_args: {crop_size: [64, 96], augmentations: [rotate]}}")
    assert line.startswith(
        "training.dataset_args.augmentations: `rotate` needs a square crop_size, got [64, 96]"
    )


def test_u4_widths_that_do_not_suit_the_network_are_refused():
    assert "expected two widths for UNet2" in problem("model: {kwargs: {features: [4, 8, 16]}}")
    assert config("model: {kwargs: {bsn: UNet, features: [4, 8, 16]}}")


def test_noise_is_checked_to_its_last_key():
    noise = "training: {dataset: Demo, dataset_args: {crop_size: 64, add_noise: {kernel_edge: 4, sigam: 3}}}"
    first, second = problems(noise)
    assert "add_noise.kernel_edge: expected an odd number of pixels, got 4" in first
    assert "add_noise.sigam: unknown key; did you mean 'sigma'?" in second


def test_f3_checking_a_configuration_writes_nothing_and_needs_no_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config("training: {dataset: Folder, dataset_args: {folder: not_there, crop_size: 64}}")
    assert list(tmp_path.iterdir()) == []


# A part that names no dataset


def test_a_folder_is_enough_validation_and_test_look_at_it_too(noisy_folder):
    loaded = config(
        f"training: {{dataset: Folder, dataset_args: {{folder: '{noisy_folder}', crop_size: 48,"
        " repeat_times: 4, augmentations: [flip, rotate]}}"
    )
    assert len(build_pictures(loaded, "training")) == 12
    for part in ("validation", "test"):
        pictures = build_pictures(loaded, part)
        assert len(pictures) == 3
        sample = pictures[0, 0]
        assert sample["name"] == "a.png"
        assert sample["noisy"].shape == (3, 48, 48)
        assert torch.equal(sample["noisy"], pictures[5, 0]["noisy"])


def test_a_part_changes_what_it_says_of_the_dataset_before_it(tiny_config):
    loaded = tiny_config("validation.dataset_args={crop_size: null}", "test.dataset_args={n_data: 1}")
    assert build_pictures(loaded, "validation")[0, 1]["noisy"].shape == (3, 64, 80)
    assert len(build_pictures(loaded, "test")) == 1
    assert build_pictures(loaded, "test")[0, 0]["noisy"].shape == (3, 64, 64)


def test_an_oblong_validation_crop_goes_with_turned_training_crops(tiny_config):
    loaded = tiny_config(
        "training.dataset_args.augmentations=[rotate]", "validation.dataset_args={crop_size: [64, 48]}"
    )
    assert build_pictures(loaded, "validation")[0, 0]["noisy"].shape == (3, 64, 48)


def test_an_unknown_key_hides_no_other_mistake_of_its_block():
    found = problems(
        "training: {dataset: Demo, dataset_args: {crop_sise: 5, crop_size: 8}}\n"
        "validation: {dataset_args: {shufle: true, crop_size: [8, 9]}}"
    )
    assert [line.partition(":")[0] for line in found] == [
        "training.dataset_args.crop_sise",
        "validation.dataset_args.shufle",
        "training.masker_args.sim_patch_edge",  # too large for the crop
    ]


def test_mistakes_in_what_a_part_says_are_found(tiny_config):
    with pytest.raises(ConfigError) as caught:
        tiny_config("validation.dataset_args={crop_sise: 64, n_data: 0}")
    lines = caught.value.problems
    assert any("validation.dataset_args.crop_sise: unknown key" in line for line in lines)
    assert any("validation.dataset_args.n_data: expected an integer of at least 1" in line for line in lines)


def test_a_part_without_a_name_follows_the_folder_when_that_is_changed(tiny_config):
    """What is saved with a run must not hold a copy of the old folder."""
    again = parse_yaml(to_yaml(tiny_config()), "config.yaml")
    moved = check_config(override(again, ["training.dataset_args.folder=elsewhere"]))
    with pytest.raises(DataError, match="elsewhere"):
        build_pictures(moved, "validation")


def test_t6_a_folder_without_pictures_is_refused(tiny_config, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no pictures"):
        build_pictures(tiny_config(f"training.dataset_args.folder={tmp_path / 'empty'}"), "training")


# Building


def test_every_default_is_filled_in_and_written_out():
    resolved = yaml.safe_load(to_yaml(config("seed: 3")))
    assert resolved["seed"] == 3
    assert resolved["training"]["masker_args"]["sim_patch_edge"] == 21
    assert resolved["training"]["dataset_args"]["folder"] == "datasets/SIDD_train"
    assert resolved["model"]["kwargs"]["bsn"] == "UNet2"


@pytest.mark.parametrize("rate", ["5e-6", "5e-05", "0.00012345678901234567", "1e-300"])
def test_numbers_survive_being_written_out(rate):
    loaded = config(f"training: {{init_lr: {rate}}}")
    assert check_config(parse_yaml(to_yaml(loaded), "")).training.init_lr == float(rate)


def weights(text):
    return build_model(config(text), torch.device("cpu")).module.state_dict()


TINY = "model: {{kwargs: {{features: [4, 8]}}}}\nseed: {}"


def test_c15_weights_are_a_function_of_the_seed_alone():
    first = weights(TINY.format(1))
    torch.manual_seed(123)
    again, other = weights(TINY.format(1)), weights(TINY.format(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_building_a_network_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    weights(TINY.format(1))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_of_any_size_is_taken():
    assert weights(TINY.format(10**30))


MASKER_ARGS = {"Masker": "sim_patch_edge: 9, repl_patch_edge: 5", "N2V_Masker": "prox_radius: 2"}


@pytest.mark.parametrize("name", MASKERS)
def test_every_masker_is_built_with_the_arguments_of_the_file(name):
    given = f"{MASKER_ARGS[name]}, pixel_perc: '0.001'"
    masker = build_masker(config(f"training: {{{DEMO}, masker_type: {name}, masker_args: {{{given}}}}}"))
    assert type(masker) is MASKERS[name]
    assert masker.pixel_perc == 0.001
    masked = masker.mask(torch.rand(2, 3, 64, 64), torch.Generator().manual_seed(0))
    assert masked.mask.any()


def test_a_block_inside_the_arguments_of_a_masker():
    given = "{structN2V: {direction: H, edge: '4'}}"
    text = f"training: {{{DEMO}, masker_type: N2V_Masker, masker_args: {given}}}"
    struct = build_masker(config(text)).structN2V
    assert (struct.direction, struct.edge) == ("H", 4)
    line = problem(text.replace("direction: H", "direction: X"))
    assert "structN2V.direction: expected one of 'H', 'V', 'Q', got 'X'" in line


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("network", ["UNet", "UNet2"])
def test_every_network_is_built_with_the_arguments_of_the_file(name, network):
    text = f"model: {{type: {name}, kwargs: {{bsn: {network}, in_channels: 1, features: [4, 8]}}}}"
    picture = torch.rand(1, 17, 20)
    denoised = build_model(config(text), torch.device("cpu")).denoise(picture, "a")
    assert denoised.shape == picture.shape


def test_the_loss_and_what_is_only_logged():
    loss = build_loss(config("training: {loss: 1*self_L2 + r0.5*self_L1, tmp_info: self_L1}"))
    assert [term.name for term in loss.terms] == ["self_L2", "self_L1"]


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_a_configuration_that_passes_the_check(name):
    arguments = "{folder: x, crop_size: 64}" if name == "Folder" else "{crop_size: 64}"
    text = f"training: {{dataset: {name}, dataset_args: {arguments}}}\nvalidation: {{dataset: {name}, "
    loaded = config(text + f"dataset_args: {arguments}}}")
    assert loaded.training.dataset_args["crop_size"] == 64
