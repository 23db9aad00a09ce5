"""Unusual images: microscope stacks, counts with hot pixels, constant and narrow images."""

import numpy as np
import pytest
import tifffile

from src.trainer.inference.denoise_files import FileDenoiser
from src.util.images.io import read_image, write_image

STACK = np.random.default_rng(1).integers(0, 65_536, (2, 3, 2, 20, 24), dtype=np.uint16)
OF_OME = {
    "axes": "TZCYX", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0, "TimeIncrement": 1.5,
    "Channel": {"Name": ["DAPI", "GFP"]},
}  # fmt: skip
OF_IMAGEJ = {
    "axes": "TZCYX",
    "spacing": 2.0,
    "unit": "um",
    "finterval": 1.5,
    "Ranges": (0.0, 900.0, 0.0, 700.0),
}


def test_an_ome_stack_keeps_its_axes_scale_and_time_step(unchanged, tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=OF_OME)
    unchanged.file(tmp_path / "a.ome.tif", tmp_path / "b.ome.tif")
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as result:
        (series,) = result.series
        pixels = tifffile.xml2dict(result.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (series.axes, series.shape) == ("TZCYX", STACK.shape)
        assert np.array_equal(series.asarray(), STACK)
    assert [pixels[f"PhysicalSize{axis}"] for axis in "XYZ"] == [0.25, 0.5, 2]
    assert pixels["TimeIncrement"] == 1.5 and [one["Name"] for one in pixels["Channel"]] == ["DAPI", "GFP"]


def test_an_imagej_stack_keeps_its_axes_scale_and_time_step(unchanged, tmp_path):
    scale = {"resolution": (4.0, 4.0)}
    tifffile.imwrite(tmp_path / "a.tif", STACK, imagej=True, metadata=OF_IMAGEJ, **scale)
    unchanged.file(tmp_path / "a.tif", tmp_path / "b.tif")
    with tifffile.TiffFile(tmp_path / "b.tif") as result:
        assert (result.series[0].axes, result.series[0].shape) == ("TZCYX", STACK.shape)
        assert np.array_equal(result.asarray(), STACK)
        metadata = result.imagej_metadata
        assert [metadata[name] for name in ("spacing", "unit", "finterval")] == [2.0, "um", 1.5]
        assert metadata["Ranges"] == OF_IMAGEJ["Ranges"] and result.pages[0].resolution == (4.0, 4.0)


def test_a_stack_of_500_pages_is_complete(unchanged, tmp_path, messages):
    (tmp_path / "in").mkdir()
    stack = np.random.default_rng(2).integers(0, 256, (500, 10, 12), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "in" / "a.tif", stack, photometric="minisblack", compression="lzw")
    del messages[:]
    assert unchanged.folder(tmp_path / "in", tmp_path / "out") == 0
    assert np.array_equal(tifffile.imread(tmp_path / "out" / "a_DN.tif"), stack)
    assert any("1 of 1 images denoised" in line for line in messages)


def test_22_channels_of_counts_keep_their_hot_pixels(new_run, load, tmp_path):
    rng = np.random.default_rng(3)
    light = 300 + 900 * np.sin(np.mgrid[:64, :64].sum(axis=0) / 9) ** 2
    counts = rng.poisson(light[None] * np.linspace(0.5, 2, 22)[:, None, None]).astype(np.uint16)
    hot = rng.integers(0, 64, (2, 40))
    counts[:, hot[0], hot[1]] = 60_000
    (tmp_path / "counts").mkdir()
    for name in "ab":
        tifffile.imwrite(
            tmp_path / "counts" / f"{name}.tif", counts, photometric="minisblack", planarconfig="separate"
        )
    run = new_run("counts")
    run.train(
        "model.kwargs.in_channels=22", f"training.dataset_args.data_dir={tmp_path / 'counts'}",
        "data_range=5000", "model.kwargs.local_mean=2", "training.max_epochs=1",
    )  # fmt: skip
    assert run.last["white"] == 5000
    trained = load(run.files.checkpoint_file(1))
    assert FileDenoiser(trained).folder(tmp_path / "counts", tmp_path / "out") == 0
    result = tifffile.imread(tmp_path / "out" / "a_DN.tif")
    assert result.shape == counts.shape and result.dtype == np.uint16
    trained.network.module.forward = lambda images, window=None: images
    FileDenoiser(trained).file(tmp_path / "counts" / "a.tif", tmp_path / "same.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "same.tif"), counts), (
        "nothing is cut at white, nor wraps"
    )


@pytest.mark.parametrize("masker", ["Masker", "N2V_Masker"])
def test_constant_images_do_not_harm_training_and_stay_constant(
    new_run, load, noisy_folder, tmp_path, messages, masker
):
    blank = {"black": 0, "constant": 117, "saturated": 255}
    for name, level in blank.items():
        write_image(noisy_folder / f"{name}.png", np.full((64, 64, 3), level, np.uint8))
    run = new_run("blank")
    run.train(f"masker.masker_type={masker}", "model.kwargs.local_mean=2", "training.max_epochs=3")
    assert len(run.losses) == 9 and all("nan" not in line for line in run.losses.values())
    trained = load(run.files.checkpoint_file(3))
    del messages[:]
    assert FileDenoiser(trained).folder(noisy_folder, tmp_path / "out") == 0
    for name, level in blank.items():
        result = read_image(tmp_path / "out" / f"{name}_DN.png").astype(int)
        assert np.abs(result - level).max() < 40, name
        assert not [line for line in messages if f"{name}.png" in line]
    trained.network.module.forward = lambda images, window=None: images
    for name, level in blank.items():
        FileDenoiser(trained).file(noisy_folder / f"{name}.png", tmp_path / f"{name}.png")
        assert (read_image(tmp_path / f"{name}.png") == level).all()


@pytest.mark.parametrize("size", [(96, 1), (1, 96), (20, 4000), (4000, 20)])
def test_narrow_images_keep_their_size(trained, tmp_path, size):
    image = np.random.default_rng(4).integers(60, 190, (*size, 3), dtype=np.uint8)
    write_image(tmp_path / "a.png", image)
    FileDenoiser(trained).file(tmp_path / "a.png", tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").shape == image.shape
