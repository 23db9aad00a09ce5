"""SIDD and DND from the download to the upload with all blocks: prepare, train, test, submit, check."""

import base64
import csv
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from scipy import io
from torch import nn
from torch.nn.functional import interpolate

from src.model import NETWORKS, DenoisingNetwork
from src.trainer.evaluation.masked_loss import MaskedLoss
from src.trainer.inference.trained import load_trained
from src.util.images.io import read_image, to_float, to_uint8, write_image

pytestmark = pytest.mark.long

# Trained for one small epoch. `sensible` then turns it into a denoiser.
TINY = """
model: {{kwargs: {{bsn: Tiny}}}}
masker: {{masker_type: N2V_Masker}}
training:
  dataset: {train}
  dataset_args: {{data_dir: {pieces}, crop_size: 48}}
  batch_size: 16
  max_epochs: 1
validation: {{val: true, dataset: {val}, dataset_args: {{data_dir: {validated}, n_data: 8}}}}
test:
  dataset: {test}
  dataset_args: {{data_dir: {blocks}}}
  save_float: {save_float}
  save_image: {save_image}
"""


class Tiny(DenoisingNetwork):
    """A network of one convolution, as these tests are about everything around it."""

    receptive_radius = 1

    def __init__(self, in_channels):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, in_channels, 3, padding=1, padding_mode="replicate")

    def forward(self, x):
        return self.conv(x)


@pytest.fixture
def script(call, monkeypatch):
    """Call a script that must succeed. Those of the benchmarks take no device."""
    # The score without ground truth would take a second pass through the network.
    monkeypatch.setattr(MaskedLoss, "__call__", lambda *arguments: 0.0)
    monkeypatch.setitem(NETWORKS, "Tiny", Tiny)

    def called(name, *arguments):
        options = {"device": (), "workers": ()} if name.startswith("prep") else {}
        ended = call(name, *arguments, **options)
        assert ended.code == 0, ended.err
        return ended

    return called


@pytest.fixture
def write_config(tmp_path):
    return lambda **values: (tmp_path / "tiny.yaml").write_text(TINY.format(**values))


def scenes(count, edge, generator):
    """Return `count` different smooth colourful scenes, float32 (count, edge, edge, 3) in [0.1, 0.9]."""
    coarse = 0.6 * generator.random((count, 3, 6, 6)) + 0.4 * generator.random((count, 3, 1, 1))
    smooth = interpolate(torch.from_numpy(coarse).float(), size=(edge, edge), mode="bilinear")
    return (0.1 + 0.8 * smooth).permute(0, 2, 3, 1).numpy()


def sensible(checkpoint):
    """Copy a checkpoint with weights that blur slightly, in place of its barely trained ones."""
    content = torch.load(checkpoint, weights_only=True)
    weights = content["model_weights"]
    kernel = torch.tensor([1.0, 2.0, 1.0]) / 4
    weights["bsn.conv.weight"][:] = torch.eye(3)[..., None, None] * kernel.outer(kernel)
    weights["bsn.conv.bias"].zero_()
    denoiser = checkpoint.with_name("sensible.pth")
    torch.save(content, denoiser)
    return denoiser


def network_outputs(checkpoint, noisy_images):
    """Denoise images (H, W, 3) directly with the network."""
    network = load_trained(torch.device("cpu"), [], None, None, None, str(checkpoint)).network
    return [network.denoise(to_float(noisy), "block").permute(1, 2, 0).numpy() for noisy in noisy_images]


def seen_by_octave(file, variable):
    """Return class and size of a cell array and its last cell by GNU Octave; None without it."""
    if shutil.which("octave") is None:
        return None
    code = (
        f"s = load('{file}'); c = s.{variable}; "
        "printf('%s ', class(c), mat2str(size(c)), class(c{end}), mat2str(size(c{end})))"
    )
    command = ["octave", "--no-gui", "--eval", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_frames(folder, generator):
    """Write three small frames in the layout of SIDD-Medium."""
    for number, frame in enumerate(scenes(3, 160, generator), start=1):
        scene = folder / "Data" / f"{number:04d}_001_S6_00100_00060_3200_L"
        scene.mkdir(parents=True)
        noisy = frame + generator.normal(0, 0.04, frame.shape)
        for kind, image in (("NOISY", noisy), ("GT", frame)):
            write_image(scene / f"{number:04d}_{kind}_SRGB_010.PNG", to_uint8(image.transpose(2, 0, 1)))


def write_blocks(folder, generator):
    """Write SIDD's three files of 40x32 blocks in full size."""
    grain = generator.normal(0, 10, (320, 320, 3)).astype(np.float32)
    blocks = np.empty((2, 40, 32, 256, 256, 3), np.uint8)
    for image, scene in enumerate(scenes(40, 512, generator) * 255):
        for block in range(32):
            (row, column), (top, left) = divmod(block, 8), generator.integers(0, 64, 2)
            clean = scene[row * 85 : row * 85 + 256, column * 36 : column * 36 + 256]
            noisy = clean + grain[top : top + 256, left : left + 256]
            blocks[:, image, block] = noisy.clip(0, 255), clean
    files = {
        "val": ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"), "test": ("BenchmarkNoisyBlocksSrgb",)
    }  # fmt: skip
    for part, names in files.items():
        (folder / part).mkdir()
        for name, array in zip(names, blocks, strict=False):
            io.savemat(folder / part / f"{name}.mat", {name: array})
    return blocks[0].reshape(-1, 256, 256, 3)


def test_sidd_from_frames_to_the_upload(script, write_config, tmp_path):
    folder, generator = tmp_path / "SIDD", np.random.default_rng(0)
    write_frames(folder / "Medium", generator)
    noisy = write_blocks(folder, generator)
    script("prep_SIDD", "-c", 64, "-s", 32, "-df", folder / "Medium", "-nf", "pieces")
    assert len(list((tmp_path / "pieces").rglob("*.png"))) == 3 * 16
    write_config(
        train="SIDD_train", pieces="pieces", val="SIDD_val", validated=folder / "val", test="SIDD_test",
        blocks=folder / "test", save_float="false", save_image="true",
    )  # fmt: skip
    script("main", "-c", "tiny.yaml", "-s", "run")
    denoiser = sensible(tmp_path / "output/run/checkpoint/run_001.pth")
    script("test", "--pretrained", denoiser, "--out", "results")
    submission = ("--test", folder / "test", "--denoised", "results", "--out", "sidd.csv", "--mat")
    script("prep_submission_SIDD", *submission)
    script("prep_submission_SIDD", "--check", "sidd.csv", "--test", folder / "test")
    csv.field_size_limit(2**20)
    with open(tmp_path / "sidd.csv", newline="") as file:
        rows = [(row["ID"], base64.b64decode(row["BLOCK"])) for row in csv.DictReader(file)]
    assert [number for number, _ in rows] == [str(number) for number in range(1280)]
    submitted = [np.frombuffer(block, np.uint8).reshape(256, 256, 3) for _, block in rows]
    cells = io.loadmat(tmp_path / "SubmitSrgb.mat")["DenoisedBlocksSrgb"]
    for number, block in enumerate(submitted):
        assert np.array_equal(block, read_image(tmp_path / "results" / f"{number:04d}_DN.png"))
        assert np.array_equal(block, cells[number // 32, number % 32])
    chosen = [0, 31, 32, 700, 1279]
    given = network_outputs(denoiser, noisy[chosen])
    for number, output in zip(chosen, given, strict=True):
        assert np.array_equal(submitted[number], to_uint8(output.transpose(2, 0, 1)))
    seen = seen_by_octave(tmp_path / "SubmitSrgb.mat", "DenoisedBlocksSrgb")
    assert seen in (None, "cell [40 32] uint8 [256 256 3]")
    shutil.rmtree(folder)  # 1.4 GB with the submissions
    for name in ("sidd.csv", "SubmitSrgb.mat"):
        (tmp_path / name).unlink()


@dataclass(frozen=True)
class Download:
    """A simulated DND; `corners` (50, 20, 2) holds top and left of the boxes, from 0."""

    folder: Path
    corners: np.ndarray

    def read(self, number):
        """Read a box (512, 512, 3) without the tested code."""
        image, box = divmod(number, 20)
        top, left = self.corners[image, box]
        with h5py.File(self.folder / "images_srgb" / f"{image + 1:04d}.mat") as file:
            return file["InoisySRGB"][:, left : left + 512, top : top + 512].transpose(2, 1, 0)


@pytest.fixture
def dnd(tmp_path, real_data):
    """Write 50 sparse files of real size with only the boxes filled. Remove them with all results."""
    if shutil.disk_usage(tmp_path).free < 12e9:
        pytest.skip("needs 12 GB of disk")
    (folder := tmp_path / "DND").mkdir()
    real = real_data and real_data / "dnd" / "info.mat"
    if real and real.is_file():
        shutil.copy(real, folder)
    else:
        write_info(folder / "info.mat", np.random.default_rng(1))
    yield Download(folder, write_images(folder))
    for made in ("DND", "results", "submission"):
        shutil.rmtree(tmp_path / made, ignore_errors=True)


def write_info(path, generator):
    """Write an info.mat like the real one, with boxes for images of about 2,900 to 7,300 px."""
    with h5py.File(path, "w") as file:
        references = file.create_dataset("info/boundingboxes", (1, 50), h5py.ref_dtype)
        for image in range(50):
            edges = generator.integers(2900, (5400, 7300))
            first = np.stack([generator.integers(1, edge - 511, 20) for edge in edges])
            corners = np.concatenate([first, first + 511]).astype(np.float64)
            references[0, image] = file.create_dataset(f"#refs#/{image}", data=corners).ref


def write_images(folder):
    """Write images like those of the download, float32 (3, W, H), uncompressed for speed."""
    generator = np.random.default_rng(0)
    grain = generator.normal(0, 0.04, (3, 640, 640)).astype(np.float32)
    with h5py.File(folder / "info.mat") as file:
        boxes = [np.rint(file[reference][()]).astype(int) for reference in file["info/boundingboxes"][0]]
    (folder / "images_srgb").mkdir()
    for image, (tops, lefts, bottoms, rights) in enumerate(boxes):
        (scene,) = scenes(1, 1024, generator)
        scene = np.ascontiguousarray(scene.transpose(2, 1, 0))
        with h5py.File(folder / "images_srgb" / f"{image + 1:04d}.mat", "w") as file:
            size = (3, rights.max(), bottoms.max())
            stored = file.create_dataset("InoisySRGB", size, np.float32, chunks=(3, 64, 64))
            for box, (top, left) in enumerate(zip(tops - 1, lefts - 1, strict=True)):
                row, column, (down, along) = box // 5 * 170, box % 5 * 128, generator.integers(0, 128, 2)
                noisy = (
                    scene[:, column : column + 512, row : row + 512]
                    + grain[:, along : along + 512, down : down + 512]
                )
                stored[:, left : left + 512, top : top + 512] = noisy.clip(0, 1)
    return np.array([corners[:2].T - 1 for corners in boxes])


def test_dnd_from_the_download_to_the_upload(script, write_config, dnd, tmp_path):
    script("prep_DND", "-c", 64, "-s", 4096, "-df", "DND", "-nf", "pieces")
    script("prep_DND", "-df", "DND", "-nf", "boxes", "--split", "test")
    names = [f"{image:04d}_{box:02d}" for image in range(1, 51) for box in range(1, 21)]
    assert sorted(path.stem for path in (tmp_path / "boxes").glob("*.png")) == names
    write_config(
        train="DND_train", pieces="pieces", val="DND_test", validated="boxes", test="DND_test",
        blocks="DND", save_float="true", save_image="false",
    )  # fmt: skip
    script("main", "-c", "tiny.yaml", "-s", "run")
    denoiser = sensible(tmp_path / "output/run/checkpoint/run_001.pth")
    script("test", "--pretrained", denoiser, "--out", "results")
    script("prep_submission_DND", "--denoised", "results", "--noisy", "DND", "--out", "submission")
    script("prep_submission_DND", "--check", "submission", "--noisy", "boxes")
    chosen = [0, 19, 20, 500, 999]
    outputs = dict(zip(chosen, network_outputs(denoiser, map(dnd.read, chosen)), strict=True))
    for image in range(50):
        bundle = io.loadmat(tmp_path / "submission" / "bundled" / f"{image + 1:04d}.mat", mat_dtype=True)
        assert not bundle["israw"].item() and bundle["eval_version"].item() == "1.0"
        for box, block in enumerate(bundle["Idenoised"][0]):
            number = 20 * image + box
            values = np.load(tmp_path / "results" / f"{number:04d}_DN.npy")
            assert block.dtype == np.float32 and np.array_equal(block, values.clip(0, 1))
            if number in outputs:
                assert np.array_equal(values, outputs[number])
                piece = read_image(tmp_path / "boxes" / f"{names[number]}.png")
                assert np.array_equal(piece, to_uint8(dnd.read(number).transpose(2, 0, 1)))
    seen = seen_by_octave(tmp_path / "submission" / "bundled" / "0050.mat", "Idenoised")
    assert seen in (None, "cell [1 20] single [512 512 3]")
