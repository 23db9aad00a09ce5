"""One report lists all mistakes of a configuration with their lines, before anything is built."""

import time

import pytest

from src.util.errors import ConfigError
from tests.trainer.conftest import DEMO, config, problem, problems

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
  optimizer: {type: SGD}
  dataset: Folder
  dataset_args: {crop_sise: 64, repeat_times: 0}
validation:
  dataset_args: {n_data: none, shuffle: true}
test: {dataset: Foldr}
model:
  kwargs: {bsn: UNet3}
masker:
  masker_args: {sim_patch_edge: 20, pixel_prec: 0.1}
"""
    found = problems(text)
    expected = {
        "trainig": (2, "did you mean 'training'?"),
        "training.batch_size": (4, "expected an integer of at least 1, got 'many'"),
        "training.max_epochs": (5, "expected an integer of at least 1, got 0"),
        "training.init_lr": (6, "expected a number above 0, got inf"),
        "training.loss": (7, "did you mean '1*self_L2'?"),
        "training.tmp_info": (8, "got 'self_L9'"),
        "masker.masker_args.sim_patch_edge": (18, "expected an odd number, got 20"),
        "masker.masker_args.pixel_prec": (18, "did you mean 'pixel_perc'?"),
        "training.optimizer.type": (9, "unknown name 'SGD'; choose from Adam"),
        "training.dataset_args.data_dir": (11, "missing: noisy images: a folder of them"),
        "training.dataset_args.crop_sise": (11, "did you mean 'crop_size'?"),
        "training.dataset_args.repeat_times": (11, "expected an integer of at least 1 or None, got 0"),
        "validation.dataset_args.shuffle": (13, "unknown key"),
        "test.dataset": (14, "did you mean 'Folder'?"),
        "model.kwargs.bsn": (16, "got 'UNet3'; did you mean 'UNet'?"),
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
        ("model: {type: NL_BNS}", "model.type: unknown name 'NL_BNS'; did you mean 'NL_BSN'?"),
        (
            "masker: {masker_type: Maskr}",
            "masker.masker_type: unknown name 'Maskr'; did you mean 'Masker'?",
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
    line = problem(f"seed: 1\n{key}: 8")
    assert line.startswith(f"{key}: ") and line.endswith(f"flag {flag} (my.yaml, line 2)")


def test_a_problem_of_a_setting_is_placed_there():
    line = problem("seed: 1", "training.batch_size=x")
    assert line.endswith("(--set training.batch_size=x)")


# Keys that must fit together


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
        ("exclude: 26, similar: 4", "at least 68x68 px, got 64x64 px (some spots have 0 candidates)"),
        ("exclude: 1000000000, speedup_factor: 1", "exclude: "),
        ("similar: 1000000000000", "similar: "),
        ("spots: grid, pitch: 66", "pitch: 66 expects images of at least 65x65 px, got 64x64 px"),
    ],
)
def test_m2_m4_blind_spots_that_cannot_be_placed_are_refused_at_once(arguments, expected):
    begin = time.process_time()
    line = problem(f"training: {{{DEMO}}}\nmasker: {{masker_args: {{{arguments}}}}}")
    assert line.startswith("masker.masker_args.")
    assert expected in line
    assert line.endswith("(my.yaml, line 2)")
    assert time.process_time() - begin < 10  # the original never ends


def test_the_largest_feasible_share_of_blind_spots_is_accepted():
    refused = problem(f"training: {{{DEMO}}}\nmasker: {{masker_args: {{pixel_perc: 0.1}}}}")
    largest = refused.partition("expected at most ")[2].partition(" ")[0]
    assert config(f"training: {{{DEMO}}}\nmasker: {{masker_args: {{pixel_perc: {largest}}}}}")


def test_a_crop_smaller_than_the_patch_is_refused():
    line = problem("training: {dataset: Demo, dataset_args: {crop_size: [64, 12]}}")
    assert "expects images of at least 13x13 px, got 64x12 px" in line


def test_d4_turning_crops_that_are_not_square_is_refused():
    line = problem("training: {dataset: Demo, dataset_args: {crop_size: [64, 96], augmentations: [rotate]}}")
    assert line.startswith(
        "training.dataset_args.augmentations: `rotate` needs a square crop_size, got [64, 96]"
    )


def test_u4_widths_that_do_not_fit_the_network_are_refused():
    assert "expected two widths for UNet2" in problem("model: {kwargs: {features: [4, 8, 16]}}")
    assert config("model: {kwargs: {bsn: UNet, features: [4, 8, 16]}}")


def test_every_key_of_the_noise_is_checked():
    noise = "training: {dataset: Demo, dataset_args: {crop_size: 64, add_noise: {kernel_edge: 4, sigam: 3}}}"
    first, second = problems(noise)
    assert "add_noise.kernel_edge: expected an odd number of pixels, got 4" in first
    assert "add_noise.sigam: unknown key; did you mean 'sigma'?" in second


def test_f3_checking_a_configuration_writes_nothing_and_needs_no_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config("training: {dataset: Folder, dataset_args: {data_dir: not_there, crop_size: 64}}")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_hides_no_other_mistake_of_its_block():
    found = problems(
        "training: {dataset: Demo, dataset_args: {crop_sise: 5, crop_size: 8}}\n"
        "validation: {dataset_args: {shufle: true, crop_size: [8, 9]}}"
    )
    assert [line.partition(":")[0] for line in found] == [
        "training.dataset_args.crop_sise",
        "validation.dataset_args.shufle",
        "masker.masker_args.sim_patch_edge",  # too large for the crop
    ]


def test_mistakes_in_a_part_without_a_dataset_are_found(tiny_config):
    with pytest.raises(ConfigError) as caught:
        tiny_config("validation.dataset_args={crop_sise: 64, n_data: 0}")
    lines = caught.value.problems
    assert any("validation.dataset_args.crop_sise: unknown key" in line for line in lines)
    assert any("validation.dataset_args.n_data: expected an integer of at least 1" in line for line in lines)
