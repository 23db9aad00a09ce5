import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from src.trainer.inference.denoise_files import FileDenoiser, FileOptions
from src.trainer.inference.result_files import result_names
from src.util.errors import DataError, NonFiniteError
from src.util.images.formats.tiff import TiffImage
from src.util.images.io import from_float, read_image, to_float, to_uint8, write_image


def made(folder):
    """Return the results in a folder and below, without the page and the contact sheet."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    assert {"panel.png", "report.html"} <= set(names)
    return [name for name in names if name not in ("panel.png", "report.html")]


def test_e7_e10_a_result_is_the_networks_rounded_output(trained, noisy_folder, tmp_path):
    noisy = read_image(noisy_folder / "b.png")
    FileDenoiser(trained).file(noisy_folder / "b.png", tmp_path / "b.png")
    expected = trained.network.denoise(to_float(noisy), "b")
    assert np.array_equal(read_image(tmp_path / "b.png"), to_uint8(expected))
    assert not np.array_equal(read_image(tmp_path / "b.png"), noisy)


def test_e18_a_grey_image_stays_grey_in_a_colour_network(trained, noisy_folder, tmp_path):
    grey = read_image(noisy_folder / "a.png")[:51, :37, :1]
    write_image(tmp_path / "grey.png", grey)
    FileDenoiser(trained).file(tmp_path / "grey.png", tmp_path / "out.png")
    found = read_image(tmp_path / "out.png")
    colours = trained.network.denoise(to_float(np.repeat(grey, 3, axis=2)), "grey")
    assert np.array_equal(found, to_uint8(colours.mean(dim=0, keepdim=True)))


def test_a_grey_network_refuses_a_colour_image(new_run, noisy_folder, tmp_path, load):
    (tmp_path / "grey").mkdir()
    write_image(tmp_path / "grey" / "a.png", read_image(noisy_folder / "a.png")[..., :1])
    run = new_run("grey")
    run.train("model.kwargs.in_channels=1", f"training.dataset_args.data_dir={tmp_path / 'grey'}")
    trained = load(run.files.checkpoint_file(2))
    with pytest.raises(DataError, match=r"b\.png: the image has 3 channels, the network takes 1"):
        FileDenoiser(trained).file(noisy_folder / "b.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()
    FileDenoiser(trained).file(tmp_path / "grey" / "a.png", tmp_path / "out.png")
    assert read_image(tmp_path / "out.png").shape == (64, 64, 1)


def test_e8_broken_weights_write_no_image(trained, noisy_folder, tmp_path):
    with torch.no_grad():
        next(trained.network.module.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match=r"a\.png"):
        FileDenoiser(trained).file(noisy_folder / "a.png", tmp_path / "out.png")
    assert not (tmp_path / "out.png").exists()


def test_e11_no_two_images_share_a_result():
    names = ["a.v1.png", "a.v2.png", "b.png", "b.jpg", "b.jpg.png", "C.png", "c.tif", "d.png", "e.ome.tif"]
    results = result_names([Path("folder", name) for name in names])
    assert [results[Path("folder", name)] for name in names] == [
        "a.v1_DN.png", "a.v2_DN.png", "b.png_DN.png", "b.jpg_DN.png", "b.jpg.png_DN.png",
        "C_DN.png", "c_DN.tif", "d_DN.png", "e_DN.ome.tif",
    ]  # fmt: skip


def test_e12_a_bad_image_does_not_stop_the_others(trained, noisy_folder, tmp_path, messages):
    (noisy_folder / "aa.txt").write_text("no image")
    whole = (noisy_folder / "b.png").read_bytes()
    (noisy_folder / "bb.png").write_bytes(whole[: len(whole) // 2])
    assert FileDenoiser(trained).folder(noisy_folder, tmp_path / "out") == 1
    assert any(
        message.startswith("ERROR") and "bb.png: the image is cut short" in message for message in messages
    )
    assert any(
        message.startswith("ERROR 1 of 4 images failed: ") and "bb.png" in message for message in messages
    )
    assert any("passed over: 1 .txt" in message for message in messages)
    assert made(tmp_path / "out") == ["a_DN.png", "b_DN.png", "c_DN.png"]


def test_results_of_a_folder_are_not_denoised(trained, noisy_folder):
    for _ in range(2):
        assert FileDenoiser(trained).folder(noisy_folder, noisy_folder / "results") == 0
    assert made(noisy_folder / "results") == ["a_DN.png", "b_DN.png", "c_DN.png"]


def test_results_of_other_calls_are_not_denoised(trained, noisy_folder, tmp_path, messages):
    (noisy_folder / "sub").mkdir()
    shutil.copy(noisy_folder / "a.png", noisy_folder / "sub" / "a.jpg.png")
    for out in (noisy_folder / "results", noisy_folder / "other" / "deep", tmp_path / "out"):
        assert FileDenoiser(trained).folder(noisy_folder, out) == 0
        assert made(out) == ["a_DN.png", "b_DN.png", "c_DN.png", "sub/a.jpg_DN.png"]
    assert any("passed over: 12 results of test.py" in line for line in messages)


def test_f12_a_file_with_dn_in_its_name_is_denoised(trained, noisy_folder, tmp_path):
    shutil.copy(noisy_folder / "a.png", tmp_path / "a_DN.png")
    FileDenoiser(trained).file(noisy_folder / "a.png", tmp_path / "one.png")
    FileDenoiser(trained).file(tmp_path / "a_DN.png", tmp_path / "other.png")
    assert np.array_equal(read_image(tmp_path / "one.png"), read_image(tmp_path / "other.png"))
    assert result_names([tmp_path / "a_DN.png"]) == {tmp_path / "a_DN.png": "a_DN_DN.png"}


# Results have the type and format of their images


def ramp(channels, dtype="uint16"):
    levels = np.arange(2**16, dtype=dtype).reshape(256, 256)
    return np.dstack([levels, levels[::-1], levels.T][:channels])


@pytest.mark.parametrize(("ending", "channels"), [("png", 1), ("png", 3), ("tif", 1), ("tif", 3), ("npy", 3)])
def test_d10_a_16_bit_ramp_keeps_its_levels(unchanged, tmp_path, ending, channels):
    source, target = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    if ending == "npy":
        np.save(source, ramp(channels))
    elif ending == "tif":
        tifffile.imwrite(
            source, ramp(channels).squeeze(), photometric="rgb" if channels == 3 else "minisblack"
        )
    else:
        cv2.imwrite(str(source), ramp(channels))
    unchanged.file(source, target)
    assert np.array_equal(read_image(target), read_image(source))
    assert len(np.unique(read_image(target))) == 2**16


def test_transparency_and_metadata_are_kept(unchanged, tmp_path, messages):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 4), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png", icc_profile=b"profile", dpi=(300, 300))
    unchanged.file(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert np.array_equal(np.asarray(image), pixels)
        assert image.info["icc_profile"] == b"profile" and round(image.info["dpi"][0]) == 300
    assert not [line for line in messages if line.startswith("WARNING")]


def test_losses_are_logged_once(unchanged, tmp_path, messages):
    for name in "abc":
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.tif", resolution=72)
        unchanged.file(tmp_path / f"{name}.tif", tmp_path / f"{name}.png")
    assert [line for line in messages if "lost" in line] == [
        f"WARNING {tmp_path / 'a.tif'}: lost in the result: TIFF tags (reported once)"
    ]


def test_a_stack_is_denoised_page_by_page(unchanged, tmp_path, monkeypatch):
    stack = np.random.default_rng(0).integers(0, 2**16, (4, 20, 30), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", compression="lzw")
    order = []
    read, one = TiffImage.read, FileDenoiser._denoised
    monkeypatch.setattr(
        TiffImage, "read", lambda self, page=0: order.append(f"read {page}") or read(self, page)
    )
    monkeypatch.setattr(FileDenoiser, "_denoised", lambda *a: order.append(f"denoise {a[2][-1]}") or one(*a))
    unchanged.file(tmp_path / "a.tif", tmp_path / "b.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "b.tif"), stack)
    assert order == [f"{what}" for n in range(4) for what in (f"read {n}", f"denoise {n + 1}")]


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (257, 131)])
def test_results_have_the_size_of_their_images(unchanged, tmp_path, size):
    write_image(tmp_path / "a.png", np.full((*size, 3), 9, np.uint8))
    unchanged.file(tmp_path / "a.png", tmp_path / "b.png")
    assert np.array_equal(read_image(tmp_path / "b.png"), read_image(tmp_path / "a.png"))


def test_a_jpeg_becomes_png_unless_the_same_format_is_requested(unchanged, tmp_path):
    (tmp_path / "in").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.effect_noise((40, 30), 50).convert("RGB").save(tmp_path / "in" / "a.jpg", exif=exif)
    for kind, name, size in (("auto", "a_DN.png", (30, 40)), ("same", "a_DN.jpg", (30, 40))):
        unchanged.options = FileOptions(format=kind)
        assert unchanged.folder(tmp_path / "in", tmp_path / kind) == 0
        with Image.open(tmp_path / kind / name) as image:
            assert image.size == size
            assert np.asarray(ImageOps.exif_transpose(image)).shape == (40, 30, 3)


def test_grey_images_other_data_ranges_and_dark_images_are_warned_about_once(unchanged, tmp_path, messages):
    (tmp_path / "in").mkdir()
    for name in "ab":
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), ramp(1)[:16])
    assert unchanged.folder(tmp_path / "in", tmp_path / "out") == 0
    warned = [line for line in messages if line.startswith("WARNING")]
    assert len(warned) == 3
    assert "a.png: grey is denoised as 3 equal channels" in warned[0]
    assert "data range 65535 (uint16), but 255 in the images that the network" in warned[1]
    assert "was trained on, or in most of them" in warned[1]
    assert "largest value, 4095, is far below the data range" in warned[2]


def test_the_data_range_of_a_call_is_used(trained, tmp_path, load, run):
    cv2.imwrite(str(tmp_path / "a.png"), ramp(3)[:16])
    asked = load(run.files.checkpoint_file(2), "data_range=4095")
    FileDenoiser(asked).file(tmp_path / "a.png", tmp_path / "b.png")
    image = read_image(tmp_path / "a.png")
    whole = asked.network.denoise(to_float(image, 4095), "a")
    assert np.array_equal(read_image(tmp_path / "b.png"), from_float(whole, "uint16", 4095, (0, 65535)))


def test_sub_folders_are_mirrored_and_results_not_denoised_again(unchanged, tmp_path, messages):
    source = tmp_path / "fotos ü 写真"
    for name in ("a.png", "sub/a.png", "sub/deeper/b.tif", "results/old.png", "sub/.hidden/c.png"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(source / name, np.full((8, 8, 3), 5, np.uint8))
    before = sorted(source.rglob("*"))
    assert unchanged.folder(source, tmp_path / "out") == 0
    assert sorted(source.rglob("*")) == before
    assert made(tmp_path / "out") == ["a_DN.png", "results/old_DN.png", "sub/a_DN.png", "sub/deeper/b_DN.tif"]
    for _ in range(2):
        assert unchanged.folder(source, source / "results") == 0
        assert len(list((source / "results").rglob("*_DN.*"))) == 3
    assert unchanged.folder(source / "sub" / "deeper", source / "sub" / "deeper") == 0
    assert unchanged.folder(source / "sub" / "deeper", source / "sub" / "deeper") == 0
    assert made(source / "sub" / "deeper") == ["b.tif", "b_DN.tif"]


def test_existing_results_are_kept_without_overwrite(unchanged, noisy_folder, tmp_path, messages):
    assert unchanged.folder(noisy_folder, tmp_path / "out") == 0
    write_image(tmp_path / "out" / "b_DN.png", np.zeros((9, 9, 3), np.uint8))
    (tmp_path / "out" / "c_DN.png").unlink()
    assert unchanged.folder(noisy_folder, tmp_path / "out") == 0
    assert read_image(tmp_path / "out" / "b_DN.png").shape == (9, 9, 3)
    assert any("1 of 3 images denoised, 2 were there already (--overwrite" in line for line in messages)
    unchanged.options = FileOptions(overwrite=True)
    assert unchanged.folder(noisy_folder, tmp_path / "out") == 0
    assert read_image(tmp_path / "out" / "b_DN.png").shape == (64, 80, 3)


def test_d7_d9_d16_bad_files_are_reported_and_the_others_denoised(
    unchanged, noisy_folder, tmp_path, messages
):
    whole = (noisy_folder / "a.png").read_bytes()
    bad = {
        "empty.png": b"", "cut.png": whole[:-40], "text.png": b"no image", "page.tif": b"II*\0",
        "wrong.npy": b"\x93NUMPY\x01\0", "other.tif": whole,
    }  # fmt: skip
    for name, content in bad.items():
        (noisy_folder / name).write_bytes(content)
    header = b"IHDR" + 2 * struct.pack(">I", 60_000) + whole[24:29]
    bomb = whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]
    (noisy_folder / "bomb.bmp").write_bytes(bomb)
    (noisy_folder / "link.png").symlink_to(noisy_folder / "gone.png")
    (noisy_folder / "folder.jpg").mkdir()
    assert unchanged.folder(noisy_folder, tmp_path / "out") == 8
    message = "\n".join(line for line in messages if line.startswith("ERROR"))
    for name, reason in {
        "empty.png": "empty", "cut.png": "cut short", "text.png": "not an image",
        "bomb.bmp": "60000x60000 pixels", "page.tif": "damaged",
        "wrong.npy": "damaged", "other.tif": "rename it by its content",
        "link.png": "does not exist",
    }.items():  # fmt: skip
        assert re.search(rf"{re.escape(name)}: .*{reason}", message), name
    assert "8 of 11 images failed: " in message
    assert made(tmp_path / "out") == ["a_DN.png", "b_DN.png", "c_DN.png"]


def test_max_pixels_limits_the_size(unchanged, noisy_folder, tmp_path):
    unchanged.options = FileOptions(max_pixels=64 * 64)
    with pytest.raises(DataError, match=r"b\.png: 64x80 pixels are more than the 0\.004096 megapixels"):
        unchanged.file(noisy_folder / "b.png", tmp_path / "b.png")
    unchanged.file(noisy_folder / "a.png", tmp_path / "a.png")
    assert [path.name for path in tmp_path.glob("*.png")] == ["a.png"]


def test_images_of_imagemagick_keep_their_format(unchanged, tmp_path):
    program = shutil.which("identify") and Path(shutil.which("identify")).with_name("convert")
    if not program or not program.exists():
        pytest.skip("ImageMagick is not here (apt-get install imagemagick)")
    (tmp_path / "in").mkdir()
    for name, depth in (("a.png", 8), ("b.png", 16), ("c.tif", 16), ("d.bmp", 8), ("e.ppm", 16)):
        subprocess.run(
            [program, "-size", "60x40", "plasma:red-blue", "-depth", str(depth), tmp_path / "in" / name],
            check=True,
        )
    assert unchanged.folder(tmp_path / "in", tmp_path / "out") == 0
    say = ["identify", "-format", "%# %z %wx%h\n"]
    for path in sorted((tmp_path / "in").iterdir()):
        result = tmp_path / "out" / f"{path.stem}_DN{path.suffix}"
        one, other = (subprocess.run([*say, file], capture_output=True).stdout for file in (path, result))
        assert one == other
