"""Keys, values and defaults of the configuration."""

import ast
import inspect

import pytest

from src.data_handlers import DATASETS
from src.data_handlers.datasets.camera_noise import CameraNoise
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.samples.view import View
from src.masker import MASKERS, StructN2V
from src.model import MODELS
from src.trainer.config import run_config
from src.trainer.config.run_config import RunConfig
from src.util.config.schema import Block, arguments_model
from tests.trainer.conftest import config, problems


def test_the_defaults_are_the_published_training():
    loaded = config("{}")
    training = loaded.training
    assert (training.batch_size, training.max_epochs, training.init_lr, training.loss) == (
        32,
        100,
        5e-6,
        "1*self_L2",
    )
    assert loaded.masker.masker_type == "Masker"
    optimizer, scheduler = training.optimizer, training.scheduler
    assert (optimizer.type, optimizer.arguments) == ("Adam", {"betas": [0.9, 0.999], "fused": False})
    assert (scheduler.type, scheduler.arguments) == ("step", {"step_size": 15, "gamma": 0.5})
    assert (loaded.validation.start_epoch, loaded.validation.num_of_saves) == (1, 10)


@pytest.mark.parametrize(
    "text",
    [
        "training: {batch_size: 0}",
        "training: {batch_size: -3}",
        "training: {max_epochs: 0}",
        "training: {init_lr: 0}",
        "training: {init_lr: -1.0}",
        "training: {init_lr: .inf}",
        "training: {init_lr: .nan}",
        "training: {precision: fp16}",
        "training: {optimizer: {betas: [0.9, 1]}}",
        "training: {optimizer: {betas: [0.9]}}",
        "training: {scheduler: {step_size: 0}}",
        "training: {scheduler: {gamma: 0}}",
        "training: {scheduler: {type: cosine, warm_up: 1}}",
        "training: {optimizer: {type: AdamW, weight_decay: -1}}",
        "training: {ema: 0}",
        "training: {ema: 1}",
        "training: {freeze_norm: 1.5}",
        "test: {finish: {light: 0}}",
        "test: {finish: {light: 257}}",
        "test: {finish: {gamma: 0.5}}",
        "test: {finish: {gamma: dark}}",
        "test: {finish: {detail: 33}}",
        "test: {finish: {strength: 1.5}}",
        "test: {finish: light}",
        "training: {loss: self_L2}",
        "training: {loss: 1*self_L3}",
        "training: {tmp_info: [self_L3]}",
        "validation: {batch_size: 2}",
        "validation: {start_epoch: 0}",
        "validation: {interval_epoch: 0}",
        "validation: {num_of_saves: 0}",
        "checkpoint: {interval_epoch: 0}",
        "checkpoint: {start_epoch: 0}",
        "log: {iter_interval: 0}",
        "seed: -1",
        "seed: 1.5",
        "output_folder: null",
        "output_folder: 3",
        "model: {type: 3}",
        "model: {kwargs: 3}",
        "model: {kwargs: [1]}",
        "training: 3",
        "training: [1]",
        "masker: {masker_type: null}",
        "masker: {masker_type: [Masker]}",
        "training: {optimizer: 3}",
        "training: {scheduler: {type: 3}}",
        "training: {scheduler: {step: 3}}",
        "training: {scheduler: {step: 3, gamma: 0.1}}",
        "training: {optimizer: {type: Adam, Adam: [1]}}",
    ],
)
def test_t3_t8_an_invalid_value_is_refused_in_one_line(text):
    (line,) = problems(text)
    assert line.endswith("(my.yaml, line 1)")
    assert "expected" in line


@pytest.mark.parametrize(
    "text",
    [
        "scheduler: {step: {step_size: 7, gamma: 0.1}}\n  optimizer: {Adam: {betas: [0.8, 0.99]}}",
        "scheduler: {type: step, step_size: 7, gamma: 0.1}\n  optimizer: {betas: [0.8, 0.99]}",
    ],
    ids=["nested", "flat"],
)
def test_arguments_of_optimizer_and_scheduler_may_stand_in_the_types_block_or_beside_it(text):
    training = config(f"training:\n  {text}\n").training
    assert training.scheduler.model_dump() == {"type": "step", "step": {"step_size": 7, "gamma": 0.1}}
    assert training.optimizer.model_dump() == {
        "type": "Adam", "Adam": {"betas": [0.8, 0.99], "fused": False},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["step: {step_sizes: 7}", "step_sizes: 7"])
def test_a_mistake_in_either_is_reported_at_its_line(text):
    (line,) = problems(f"training:\n  scheduler:\n    type: step\n    {text}\n")
    assert "training.scheduler.step.step_sizes: unknown key; did you mean 'step_size'?" in line
    assert line.endswith("(my.yaml, line 4)")


def test_an_argument_given_in_both_places_is_refused():
    (line,) = problems("training:\n  scheduler:\n    step_size: 7\n    step: {step_size: 8}\n")
    assert line == (
        "training.scheduler.step_size: given twice, also as training.scheduler.step.step_size: keep one"
        " (my.yaml, line 3)"
    )


def test_arguments_of_a_type_that_was_not_chosen_are_refused():
    (line,) = problems("training: {scheduler: {type: cosine, step: {step_size: 7}}}")
    assert "training.scheduler.step: arguments of step, but training.scheduler.type is cosine" in line


def test_c12_checkpoint_save_false_is_honoured():
    assert config("checkpoint: {save: 'False'}").checkpoint.save is False


def test_none_means_no_terms_for_the_log_alone():
    assert config("training: {tmp_info: None}") == config("training: {}")


def test_a_file_without_dead_keys_logs_nothing(messages):
    config("seed: 3")
    assert messages == []


def _blocks(module):
    tree = ast.parse(inspect.getsource(module))
    return [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name.endswith(("Block", "Config"))
    ]


@pytest.mark.parametrize("block", _blocks(run_config), ids=lambda node: node.name)
def test_every_key_has_its_description(block):
    """Nested blocks are described by their class."""
    for field, after in zip(block.body, [*block.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and not ast.unparse(field.annotation).endswith("Block"):
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert described, f"{block.name}.{ast.unparse(field.target)}"


COMPONENTS = {**MODELS, **MASKERS, **DATASETS, "View": View}


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_argument_of_a_component_has_its_description(name):
    for key, field in arguments_model(COMPONENTS[name]).model_fields.items():
        assert field.description, f"{name}: {key}"


@pytest.mark.parametrize("block", [NoiseOptions, CameraNoise, StructN2V])
def test_every_key_of_an_inner_block_has_its_description_and_unknown_ones_are_refused(block):
    assert [key for key, field in block.model_fields.items() if not field.description] == []
    with pytest.raises(ValueError, match="unknown_key"):
        block.model_validate({"unknown_key": 1})


def test_unknown_keys_are_refused_in_every_block():
    for name, field in RunConfig.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Block):
            (line,) = problems(f"{name}: {{no_such_key: 1}}")
            assert line.startswith(f"{name}.no_such_key: unknown key")


@pytest.mark.parametrize(
    ("text", "key", "name"),
    [
        ("training: {masker_type: Masker}", "training.masker_type", "masker.masker_type"),
        ("training: {masker_args: {pixel_perc: 0.1}}", "training.masker_args", "masker.masker_args"),
        (
            "training: {dataset_args: {folder: x}}",
            "training.dataset_args.folder",
            "training.dataset_args.data_dir",
        ),
        ("test: {dataset_args: {folder: x}}", "test.dataset_args.folder", "test.dataset_args.data_dir"),
    ],
)
def test_a_key_of_another_name_is_refused_with_the_right_one(text, key, name):
    assert problems(text) == [f"{key}: unknown key; its name is {name} (my.yaml, line 1)"]


def test_a_missing_space_after_a_colon_is_reported():
    (line,) = problems("training:\n  max_epochs:5\n")
    assert line == (
        "training: expected keys and values, got 'max_epochs:5'; add a space after the key's colon"
        " (my.yaml, line 2)"
    )
