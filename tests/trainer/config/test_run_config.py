"""Keys, values and defaults of the configuration, and the files that the original's users have."""

import ast
import inspect

import pytest

from src.data_handlers import DATASETS
from src.data_handlers.datasets.noise import NoiseOptions
from src.data_handlers.samples.view import View
from src.masker import MASKERS, StructN2V
from src.model import MODELS
from src.trainer.config import run_config
from src.trainer.config.run_config import RunConfig
from src.util.config.schema import Block, arguments_model
from tests.trainer.conftest import config, problems


def test_the_defaults_are_the_published_training():
    training = RunConfig().training
    assert (training.batch_size, training.max_epochs, training.init_lr, training.loss) == (
        32,
        100,
        5e-6,
        "1*self_L2",
    )
    assert (training.masker_type, training.optimizer.betas) == ("Masker", (0.9, 0.999))
    scheduler = training.scheduler
    assert (scheduler.type, scheduler.step_size, scheduler.gamma) == ("step", 15, 0.5)
    assert (RunConfig().validation.start_epoch, RunConfig().validation.num_of_saves) == (1, 10)


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
        "training: {optimizer: {type: SGD}}",
        "training: {optimizer: {betas: [0.9, 1]}}",
        "training: {optimizer: {betas: [0.9]}}",
        "training: {scheduler: {type: plateau}}",
        "training: {scheduler: {step_size: 0}}",
        "training: {scheduler: {gamma: 0}}",
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
        "training: {masker_type: null}",
        "training: {masker_type: [Masker]}",
    ],
)
def test_t3_t8_a_value_that_cannot_be_run_is_refused_in_one_line_before_anything_is_built(text):
    (line,) = problems(text)
    assert line.endswith("(my.yaml, line 1)")
    assert "expected" in line


def test_blocks_nested_as_in_the_original_are_flattened():
    nested = config(
        "training:\n"
        "  scheduler: {type: step, step: {step_size: 7, gamma: 0.1}}\n"
        "  optimizer: {type: Adam, Adam: {betas: [0.8, 0.99]}}\n"
    ).training
    assert (nested.scheduler.step_size, nested.scheduler.gamma) == (7, 0.1)
    assert nested.optimizer.betas == (0.8, 0.99)


def test_a_mistake_in_a_nested_block_is_reported():
    (line,) = problems("training: {scheduler: {type: step, step: {step_sizes: 7}}}")
    assert "unknown key; did you mean 'step_size'?" in line


# The four published trainings with their keys spelled as users of the original have them: text for numbers
# and truth values, None, keys that nothing reads.
ORIGINAL = """
output_folder: output
model:
  type: NL_BSN
  restore: None
  kwargs:
    bsn: UNet2
    in_channels: '3'
    features: ['96', 192]
    pd_training: 5
    pd_testing: 2
training:
  dataset: {set}_train
  dataset_args:
    crop_size: [256, 256]
    add_noise: None
    augmentations: [flip, rotate]
    n_data: None
    repeat_times: {repeats}
  batch_size: '32'
  max_epochs: 100
  init_lr: {rate}
  loss: 1*self_L2
  tmp_info: []
  optimizer:
    type: Adam
    Adam:
      betas: [0.9, '0.999']
  scheduler:
    type: step
    step: {{step_size: 15, gamma: 0.5}}
  masker_type: {masker}
validation:
  val: 'True'
  dataset: {set}_val
  dataset_args: {{crop_size: None, add_noise: None, n_data: None}}
  batch_size: 1
  start_epoch: 1
  interval_epoch: 1
  save_image: True
  save_only_preds: 'False'
  num_of_saves: 10
  add_constant: False
  floor: False
  val_pad: None
test:
  dataset: {set}_test
  dataset_args: {{n_data: None}}
  save_image: 'True'
  add_constant: None
  floor: 'False'
  test_pad: None
checkpoint:
  save: 'True'
  save_all: '{keep_all}'
  start_epoch: 1
  interval_epoch: '{interval}'
log:
  iter_interval: '100'
"""
NL_MASKER = """Masker
  masker_args:
    sim_patch_edge: '21'
    repl_patch_edge: 13
    speedup_factor: 5
    pixel_perc: '0.002'
    center_only: 'False'"""
N2V_MASKER = """N2V_Masker
  masker_args:
    pixel_perc: 0.002
    prox_radius: '3'
    strat_name: uniform_withoutCP
    structN2V: None"""
PUBLISHED = {
    "sidd_train": ("SIDD", NL_MASKER, "5e-6", 1, False, 1),
    "dnd_train": ("DND", NL_MASKER, "5e-5", 2, True, 5),
    "n2v_sidd_train": ("SIDD", N2V_MASKER, "5e-6", 1, False, 1),
    "n2v_dnd_train": ("DND", N2V_MASKER, "5e-5", 2, True, 5),
}


def original(name):
    dataset, masker, rate, repeats, keep_all, interval = PUBLISHED[name]
    return ORIGINAL.format(
        set=dataset, masker=masker, rate=rate, repeats=repeats, keep_all=keep_all, interval=interval
    )


@pytest.mark.parametrize("name", PUBLISHED)
def test_c7_c12_files_as_the_original_writes_them_load_with_their_meaning(name, messages):
    dataset, _, rate, repeats, keep_all, interval = PUBLISHED[name]
    loaded = config(original(name))
    training = loaded.training
    assert loaded.model.kwargs["features"] == [96, 192]
    assert training.init_lr == float(rate)
    assert training.dataset == f"{dataset}_train"
    view = {key: training.dataset_args[key] for key in ("crop_size", "add_noise", "n_data", "repeat_times")}
    assert view == {"crop_size": [256, 256], "add_noise": None, "n_data": None, "repeat_times": repeats}
    assert (training.batch_size, training.optimizer.betas, training.scheduler.step_size) == (
        32,
        (0.9, 0.999),
        15,
    )
    if training.masker_type == "Masker":
        expected = {
            "sim_patch_edge": 21, "repl_patch_edge": 13, "speedup_factor": 5, "pixel_perc": 0.002,
            "center_only": False,
        }  # fmt: skip
    else:
        expected = {
            "pixel_perc": 0.002, "prox_radius": 3, "strat_name": "uniform_withoutCP", "structN2V": None,
        }  # fmt: skip
    assert training.masker_args == expected
    assert (loaded.validation.val, loaded.validation.save_image) == (True, True)
    checkpoint = loaded.checkpoint
    assert (checkpoint.save, checkpoint.save_all, checkpoint.interval_epoch) == (True, keep_all, interval)
    (warning,) = messages
    dead = (
        "model.restore", "validation.save_only_preds", "validation.add_constant", "validation.floor",
        "validation.val_pad", "test.add_constant", "test.floor", "test.test_pad",
    )  # fmt: skip
    assert warning.startswith("WARNING my.yaml: keys without effect")
    assert [key for key in dead if key not in warning] == []


def test_c12_checkpoint_save_false_is_honoured():
    assert config("checkpoint: {save: 'False'}").checkpoint.save is False


def test_no_terms_for_the_log_alone_may_be_said_as_none():
    assert config("training: {tmp_info: None}") == config("training: {}")


def test_a_file_without_dead_keys_is_loaded_in_silence(messages):
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
    """Blocks among the keys are described by their class."""
    for field, after in zip(block.body, [*block.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and not ast.unparse(field.annotation).endswith("Block"):
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            assert described, f"{block.name}.{ast.unparse(field.target)}"


COMPONENTS = {**MODELS, **MASKERS, **DATASETS, "View": View}


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_argument_of_a_component_has_its_description(name):
    for key, field in arguments_model(COMPONENTS[name]).model_fields.items():
        assert field.description, f"{name}: {key}"


@pytest.mark.parametrize("block", [NoiseOptions, StructN2V])
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
