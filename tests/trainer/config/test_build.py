"""What is built from a configuration: images of each part, networks, maskers, losses."""

import pytest
import torch
import yaml

from src.data_handlers import DATASETS
from src.masker import MASKERS
from src.model import MODELS
from src.trainer.config.build import build_images, build_loss, build_masker, build_model
from src.trainer.config.reading import check_config, to_yaml
from src.util.config.yaml_document import override, parse_yaml
from src.util.errors import DataError
from tests.trainer.conftest import DEMO, config, problem

# Images


def test_whole_images_that_cannot_be_masked_are_refused_once_for_each_size(tiny_config):
    """The images have 64x64, 64x80 and 80x64 px."""
    settings = ["training.dataset_args.crop_size=null", "training.batch_size=1"]
    assert build_images(tiny_config(*settings), "training")
    dense = tiny_config(*settings, "masker.masker_args.pixel_perc=0.0037")
    with pytest.raises(DataError) as refused:
        build_images(dense, "training")
    (line,) = str(refused.value).splitlines()
    assert "a.png: pixel_perc: expected at most 0.003417 for an image of 64x64 px" in line
    assert build_images(dense, "validation")


# A part without a dataset


def test_validation_and_test_default_to_the_training_folder(noisy_folder):
    loaded = config(
        f"training: {{dataset: Folder, dataset_args: {{data_dir: '{noisy_folder}', crop_size: 48,"
        " repeat_times: 4, augmentations: [flip, rotate]}}"
    )
    assert len(build_images(loaded, "training")) == 12
    for part in ("validation", "test"):
        images = build_images(loaded, part)
        assert len(images) == 3
        sample = images[0, 0]
        assert sample["name"] == "a.png"
        assert sample["noisy"].shape == (3, 48, 48)
        assert torch.equal(sample["noisy"], images[5, 0]["noisy"])


def test_a_part_overrides_arguments_of_the_dataset_before_it(tiny_config):
    loaded = tiny_config("validation.dataset_args={crop_size: null}", "test.dataset_args={n_data: 1}")
    assert build_images(loaded, "validation")[0, 1]["noisy"].shape == (3, 64, 80)
    assert len(build_images(loaded, "test")) == 1
    assert build_images(loaded, "test")[0, 0]["noisy"].shape == (3, 64, 64)


def test_validation_crops_may_be_oblong_although_training_crops_are_rotated(tiny_config):
    loaded = tiny_config(
        "training.dataset_args.augmentations=[rotate]", "validation.dataset_args={crop_size: [64, 48]}"
    )
    assert build_images(loaded, "validation")[0, 0]["noisy"].shape == (3, 64, 48)


def test_a_part_without_a_dataset_follows_a_changed_folder(tiny_config):
    """The stored configuration of a run must not repeat the folder."""
    again = parse_yaml(to_yaml(tiny_config()), "config.yaml")
    moved = check_config(override(again, ["training.dataset_args.data_dir=elsewhere"]))
    with pytest.raises(DataError, match="elsewhere"):
        build_images(moved, "validation")


def test_t6_a_folder_without_images_is_refused(tiny_config, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        build_images(tiny_config(f"training.dataset_args.data_dir={tmp_path / 'empty'}"), "training")


# Building


def test_every_default_is_filled_in_and_written_out():
    resolved = yaml.safe_load(to_yaml(config("seed: 3")))
    assert resolved["seed"] == 3
    assert resolved["masker"]["masker_args"]["sim_patch_edge"] == 21
    assert resolved["training"]["dataset_args"]["data_dir"] == "datasets/SIDD_train"
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


def test_a_seed_may_have_any_size():
    assert weights(TINY.format(10**30))


MASKER_ARGS = {"Masker": "sim_patch_edge: 9, repl_patch_edge: 5", "N2V_Masker": "prox_radius: 2"}


@pytest.mark.parametrize("name", MASKERS)
def test_every_masker_is_built_with_the_arguments_of_the_file(name):
    given = f"{MASKER_ARGS[name]}, pixel_perc: '0.001'"
    masker = build_masker(
        config(f"training: {{{DEMO}}}\nmasker: {{masker_type: {name}, masker_args: {{{given}}}}}")
    )
    assert type(masker) is MASKERS[name]
    assert masker.pixel_perc == 0.001
    masked = masker.mask(torch.rand(2, 3, 64, 64), torch.Generator().manual_seed(0))
    assert masked.mask.any()


def test_a_block_inside_the_arguments_of_a_masker():
    given = "{structN2V: {direction: H, edge: '4'}}"
    text = f"training: {{{DEMO}}}\nmasker: {{masker_type: N2V_Masker, masker_args: {given}}}"
    struct = build_masker(config(text)).structN2V
    assert (struct.direction, struct.edge) == ("H", 4)
    line = problem(text.replace("direction: H", "direction: X"))
    assert "structN2V.direction: expected one of 'H', 'V', 'Q', got 'X'" in line


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("network", ["UNet", "UNet2"])
def test_every_network_is_built_with_the_arguments_of_the_file(name, network):
    text = f"model: {{type: {name}, kwargs: {{bsn: {network}, in_channels: 1, features: [4, 8]}}}}"
    image = torch.rand(1, 17, 20)
    denoised = build_model(config(text), torch.device("cpu")).denoise(image, "a")
    assert denoised.shape == image.shape


def test_the_loss_has_only_its_own_terms():
    loss = build_loss(config("training: {loss: 1*self_L2 + r0.5*self_L1, tmp_info: self_L1}"))
    assert [term.name for term in loss.terms] == ["self_L2", "self_L1"]


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_a_configuration_that_passes_the_check(name):
    arguments = "{data_dir: x, crop_size: 64}" if name == "Folder" else "{crop_size: 64}"
    text = f"training: {{dataset: {name}, dataset_args: {arguments}}}\nvalidation: {{dataset: {name}, "
    loaded = config(text + f"dataset_args: {arguments}}}")
    assert loaded.training.dataset_args["crop_size"] == 64
