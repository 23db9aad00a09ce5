"""A later layer changes a type: which arguments of the old type stay."""

import pytest
import yaml

from src.trainer.config.components import laid_over, with_settings
from src.trainer.config.reading import check_config, read_config, to_yaml
from src.util.config.yaml_document import parse_yaml
from src.util.errors import ConfigError

CROP = "training: {dataset: Demo, dataset_args: {crop_size: 64}}\n"


def changed(text, *settings):
    return check_config(with_settings(parse_yaml(text, "my.yaml"), settings))


def stored(text):
    """Return the configuration as a run stores it, with every default."""
    return to_yaml(check_config(parse_yaml(text, "my.yaml")))


def over(below, above):
    return check_config(laid_over(parse_yaml(below, "below.yaml"), parse_yaml(above, "above.yaml")))


@pytest.mark.parametrize("name", ["sidd_train", "dnd_train", "nl_folder", "demo"])
def test_a_shipped_configuration_takes_the_other_masker(name, messages):
    masker = read_config(name, ["masker.masker_type=N2V_Masker"]).masker
    assert masker.masker_args == {
        "pixel_perc": 0.002, "prox_radius": 3, "strat_name": "uniform_withoutCP", "structN2V": None,
    }  # fmt: skip
    assert messages == []


@pytest.mark.parametrize(
    ("setting", "key", "expected"),
    [
        ("masker.masker_type=N2V_Masker", "masker", {"prox_radius", "strat_name", "structN2V", "pixel_perc"}),
        ("training.scheduler.type=cosine", "training.scheduler.cosine", set()),
        ("training.dataset=SIDD_train", "training.dataset_args", {"data_dir", "clean_folder"}),
    ],
)
def test_stored_defaults_of_the_old_type_are_dropped_without_a_warning(setting, key, expected, messages):
    resolved = yaml.safe_load(to_yaml(changed(stored(CROP), setting)))
    for part in key.split("."):
        resolved = resolved[part]
    resolved = resolved.get("masker_args", resolved)
    assert expected <= set(resolved)
    assert not {"sim_patch_edge", "step_size", "photographs"} & set(resolved)
    assert messages == []


def test_a_chosen_argument_that_the_new_type_does_not_take_is_named_with_its_line(messages):
    text = (
        CROP
        + "masker:\n  masker_args:\n    sim_patch_edge: 15\n    speedup_factor: 5\n    pixel_perc: 0.001\n"
    )
    loaded = changed(text, "masker.masker_type=N2V_Masker")
    assert loaded.masker.masker_args["pixel_perc"] == 0.001  # both take it
    assert messages == [
        "WARNING masker.masker_args: dropped, N2V_Masker does not take: sim_patch_edge (my.yaml, line 4)"
    ]


def test_arguments_given_together_with_the_new_type_are_checked_against_it():
    with pytest.raises(ConfigError) as error:
        changed(CROP, "masker.masker_type=N2V_Masker", "masker.masker_args.sim_patch_edge=15")
    (line,) = error.value.problems
    assert line.startswith("masker.masker_args.sim_patch_edge: unknown key")
    assert line.endswith("(--set masker.masker_args.sim_patch_edge=15)")
    settings = ["masker.masker_args.prox_radius=5", "masker.masker_type=N2V_Masker"]
    assert changed(CROP, *settings).masker.masker_args["prox_radius"] == 5


def test_an_overriding_configuration_changes_types_too(messages):
    loaded = over(stored(CROP), "masker: {masker_type: N2V_Masker, masker_args: {prox_radius: 2}}")
    assert loaded.masker.masker_args["prox_radius"] == 2
    assert "sim_patch_edge" not in loaded.masker.masker_args
    assert messages == []


def test_a_chosen_schedule_is_named_when_another_replaces_it(messages):
    text = CROP.replace("64}", "64}, scheduler: {type: step, step_size: 7}")
    assert changed(text, "training.scheduler.type=cosine").training.scheduler.arguments == {"warm_up": 0}
    assert messages == [
        "WARNING training.scheduler.step: dropped, cosine does not take: step_size (my.yaml, line 1)"
    ]
    again = changed(text, "training.scheduler.gamma=0.1").training.scheduler
    assert again.arguments == {"step_size": 7, "gamma": 0.1}


def test_arguments_that_both_datasets_take_stay():
    text = "training: {dataset: Folder, dataset_args: {data_dir: mine, crop_size: 32, clean_folder: null}}"
    arguments = changed(text, "training.dataset=DND_train").training.dataset_args
    assert (arguments["data_dir"], arguments["crop_size"]) == ("mine", 32)


def test_an_unknown_type_is_refused_with_a_hint():
    with pytest.raises(ConfigError, match=r"masker\.masker_type: unknown name 'N2V_Maskr'; did you mean"):
        changed(stored(CROP), "masker.masker_type=N2V_Maskr")


@pytest.mark.parametrize(
    ("name", "features"), [("sidd_train", None), ("nl_folder", [32, 64])], ids=["default", "chosen"]
)
def test_another_network_has_its_own_default_widths_unless_widths_were_chosen(name, features, messages):
    kwargs = read_config(name, ["model.kwargs.bsn=UNet"]).model.kwargs
    assert (kwargs["bsn"], kwargs["features"], kwargs["in_channels"]) == ("UNet", features, 3)
    again = read_config(name, ["model.kwargs.bsn=UNet", "model.kwargs.features=[4, 8]"]).model.kwargs
    assert again["features"] == [4, 8]
    assert messages == []


def test_a_key_that_neither_type_takes_is_unknown():
    text = CROP + "masker: {masker_args: {sim_patch_egde: 9}}"
    with pytest.raises(ConfigError, match=r"masker_args\.sim_patch_egde: unknown key.*my\.yaml, line 2"):
        changed(text, "masker.masker_type=N2V_Masker")
