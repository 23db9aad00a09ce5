import numpy as np
import pytest
import tifffile

from src.data_handlers.datasets.generated import Generated
from src.util.images.io import write_image

ADAPT = """
model:
  {{kwargs: {{bsn: UNet, in_channels: 3, features: [32, 64], local_mean: 8, upsample_align_corners: false}}}}
training:
  {{dataset: Folder, dataset_args: {{data_dir: {data_dir}}}, objective: imitate, loss: 1*target_L1,
   batch_size: 2, max_epochs: 2, init: general, init_lr: 1.0e-3, freeze_norm: 0, ema: 0.5}}
validation: {{val: false}}
test: {{finish: {{light: 16, coarse: 8, detail: 3}}, each_channel: true}}
adapt: {{crops: 4, size: 32, teacher_above: 0, teacher: {teacher}}}
"""
TEACHER = """
   {model: {kwargs: {bsn: UNet2, in_channels: 3, features: [4, 8], local_mean: 4}},
    masker: {masker_type: Masker,
             masker_args: {sim_patch_edge: 9, repl_patch_edge: 5, exclude: 5, core_edge: 3, spots: grid,
                           pitch: 8}},
    training: {dataset_args: {crop_size: 32, repeat_times: 1}, loss: 1*self_L1, batch_size: 2}}
"""


def make_noisy(folder, count=3, edge=96, channels=3, dtype=np.uint8):
    """Write images with white noise into a folder."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng(number)
        clean = Generated(count=1, size=edge, dark=0).draw(0, rng).noisy[..., : min(channels, 3)]
        clean = clean if channels <= 3 else clean[..., np.arange(channels) % 3]
        noisy = (clean + rng.normal(0, 12, clean.shape)).clip(0, 255) / 255
        top = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
        values = (noisy * top).round() if top > 1 else noisy
        if channels > 3:
            np.save(folder / f"{number}.npy", values.astype(dtype))
        elif dtype == np.uint8:
            write_image(folder / f"{number}.png", values.astype(dtype))
        else:
            tifffile.imwrite(folder / f"{number}.tif", values.astype(dtype).squeeze())
    return folder


@pytest.fixture
def noisy(tmp_path):
    """A folder of three noisy images of 96 px."""
    return make_noisy(tmp_path / "noisy")


def adapted(folder, teacher=TEACHER):
    """Return the YAML text of a small configuration that adapts to a folder of images."""
    return ADAPT.format(data_dir=folder, teacher=teacher)
