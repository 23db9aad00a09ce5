"""Files of the original load with their meaning."""

import pytest

from tests.trainer.conftest import config

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
masker:
  masker_type: {masker}
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
    assert training.batch_size == 32
    assert training.optimizer.arguments["betas"] == [0.9, 0.999]
    assert training.scheduler.arguments == {"step_size": 15, "gamma": 0.5}
    if loaded.masker.masker_type == "Masker":
        expected = {
            "sim_patch_edge": 21, "repl_patch_edge": 13, "speedup_factor": 5, "pixel_perc": 0.002,
            "center_only": False, "exclude": 0, "similar": 1, "core_edge": None, "spots": "random",
            "pitch": 18,
        }  # fmt: skip
    else:
        expected = {
            "pixel_perc": 0.002, "prox_radius": 3, "strat_name": "uniform_withoutCP", "structN2V": None,
        }  # fmt: skip
    assert loaded.masker.masker_args == expected
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
