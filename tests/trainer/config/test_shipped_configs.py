"""Every YAML file in configs/ is a test case."""

import pytest
import torch

from src.data_handlers import DATASETS
from src.trainer.config.build import build_loss, build_masker, build_model, build_objective
from src.trainer.config.names import CONFIGS
from src.trainer.config.reading import check_config, read_config, to_yaml
from src.util.config.yaml_document import parse_yaml

OVERLAYS = {"sidd_best": "folder", "dnd_best": "folder"}  # and what they are laid over
NAMES = sorted({path.stem for path in CONFIGS.glob("*.yaml")} - {"fast"})
PUBLISHED = {
    "sidd_train": ("Masker", 5e-6, 1, False, 1),
    "dnd_train": ("Masker", 5e-5, 2, True, 5),
    "n2v_sidd_train": ("N2V_Masker", 5e-6, 1, False, 1),
    "n2v_dnd_train": ("N2V_Masker", 5e-5, 2, True, 5),
}


def test_the_documented_files_exist():
    assert {*PUBLISHED, "demo", "folder", "nl_folder", "n2v_folder"} <= {*NAMES}


def shipped(name):
    """A shipped configuration; an overlay with what it is laid over."""
    return read_config([OVERLAYS[name], name] if name in OVERLAYS else name)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_file_loads_without_a_warning(name, messages):
    shipped(name)
    assert messages == []


@pytest.mark.parametrize("name", NAMES)
def test_a_resolved_configuration_written_out_loads_to_the_same(name):
    config = shipped(name)
    again = check_config(parse_yaml(to_yaml(config), "written.yaml"))
    assert again == config
    assert to_yaml(again) == to_yaml(config)


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_of_a_shipped_file_can_be_built_and_take_its_crop(name):
    config = shipped(name)
    training = config.training
    # A local mean disables autocast, which does not support the meta device.
    device = torch.device("cpu" if config.model.kwargs["local_mean"] else "meta")
    network = build_model(config, device)
    adapted = None if config.adapt is None else config.adapt.size
    crop = adapted or training.dataset_args["crop_size"] or training.dataset_args["size"]
    height, width = (crop, crop) if isinstance(crop, int) else crop
    if build_objective(config).hides:
        build_masker(config).check_size(height, width)
    channels = config.model.kwargs["in_channels"]
    batch = torch.empty(1, channels, height, width, device=device)
    assert network.module(batch).shape == batch.shape
    assert build_loss(config).terms
    parts = (config.training, config.validation, config.test)
    assert {part.dataset for part in parts if part.dataset is not None} <= {*DATASETS}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_values(name):
    masker, rate, repeats, keep_all, interval = PUBLISHED[name]
    config = read_config(name)
    training, validation, checkpoint = config.training, config.validation, config.checkpoint
    assert config.model.kwargs["bsn"] == "UNet2"
    assert config.model.kwargs["features"] == [96, 192]
    network = build_model(config, torch.device("meta"))
    assert sum(weights.numel() for weights in network.module.parameters()) == 4_589_859
    assert (config.masker.masker_type, training.init_lr) == (masker, rate)
    assert (training.batch_size, training.max_epochs, training.loss) == (32, 100, "1*self_L2")
    arguments = training.dataset_args
    assert (arguments["repeat_times"], arguments["crop_size"]) == (repeats, [256, 256])
    assert set(arguments["augmentations"]) == {"flip", "rotate"}
    assert training.scheduler.model_dump() == {"type": "step", "step": {"step_size": 15, "gamma": 0.5}}
    assert (training.optimizer.type, training.optimizer.arguments["betas"]) == ("Adam", [0.9, 0.999])
    assert (checkpoint.save, checkpoint.save_all, checkpoint.start_epoch) == (True, keep_all, 1)
    assert checkpoint.interval_epoch == interval
    assert (validation.val, validation.batch_size, validation.start_epoch) == (True, 1, 1)
    assert (validation.interval_epoch, validation.save_image, validation.num_of_saves) == (1, True, 10)
    assert config.log.iter_interval == 100
    if masker == "Masker":
        values = {
            "sim_patch_edge": 21, "repl_patch_edge": 13, "speedup_factor": 5, "center_only": False,
            "exclude": 0, "similar": 1, "core_edge": None, "spots": "random", "pitch": 18,
        }  # fmt: skip
    else:
        values = {"strat_name": "uniform_withoutCP", "prox_radius": 3, "structN2V": None}
    assert config.masker.masker_args == {**values, "pixel_perc": 0.002}


@pytest.mark.parametrize("name", sorted({*NAMES} - {*OVERLAYS}))
def test_the_fast_overlay_changes_only_how_a_network_is_computed(name, messages):
    plain, fast = (read_config(names).model_dump() for names in (name, [name, "fast"]))
    assert messages == []
    training = fast["training"]
    assert (training["precision"], training["channels_last"]) == ("bf16", True)
    optimizers = [block["optimizer"][block["optimizer"]["type"]] for block in (plain["training"], training)]
    assert ([each.pop("fused") for each in optimizers], training["cudnn_benchmark"]) == ([False, True], True)
    for key in ("precision", "channels_last", "cudnn_benchmark"):
        training[key] = plain["training"][key]
    assert fast == plain


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_configurations_compute_in_32_bits(name):
    training = read_config(name).training
    assert training.precision == "fp32"
    assert not (training.channels_last or training.compile or training.cudnn_benchmark)
    assert not training.optimizer.arguments["fused"]


def test_nl_n2v_and_n2v_are_trained_alike():
    """Only the masker differs, so that the two can be compared."""
    for one, other in (
        ("sidd_train", "n2v_sidd_train"),
        ("dnd_train", "n2v_dnd_train"),
        ("nl_folder", "n2v_folder"),
    ):
        first, second = (read_config(name).model_dump() for name in (one, other))
        for plain in (first, second):
            del plain["masker"]
        assert first == second
