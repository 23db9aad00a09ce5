from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from src.trainer.config.reading import check_config, to_yaml
from src.trainer.inference.denoiser import Denoiser
from src.util.config.yaml_document import Document
from src.util.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from src.util.images.io import ImageWarning, from_float, read_image, to_float


@pytest.fixture
def ckpt(following):
    return following


@pytest.fixture
def denoiser(ckpt):
    return Denoiser.load(ckpt, device="cpu")


@pytest.fixture
def noisy(noisy_folder):
    """A colour image (51, 67, 3) of odd size, uint8."""
    return read_image(noisy_folder / "b.png")[:51, :67]


def whole(denoiser, image, data_range):
    """Denoise the image without tiles and return an array."""
    denoised = denoiser.network.denoise(to_float(image, data_range), "image")
    return denoised.permute(1, 2, 0).numpy() * data_range


def test_a_result_has_the_arrays_shape_and_type_and_is_rounded(denoiser, noisy):
    before = noisy.copy()
    denoised = denoiser(noisy)
    assert (denoised.shape, denoised.dtype) == (noisy.shape, np.uint8)
    assert np.array_equal(denoised, np.rint(whole(denoiser, noisy, 255).clip(0, 255)))
    assert np.array_equal(noisy, before) and not np.array_equal(denoised, noisy)


@pytest.mark.parametrize(
    ("dtype", "data_range"),
    [("uint8", 255), ("uint16", 65535), ("int32", 2**31 - 1), ("float32", 1), ("float64", 1)],
)
def test_each_type_has_its_data_range(denoiser, noisy, dtype, data_range):
    given = from_float(to_float(noisy), dtype, data_range)
    denoised = denoiser(given)
    assert (denoised.shape, denoised.dtype) == (noisy.shape, dtype)
    expected = denoiser(noisy).astype(np.float64) / 255
    assert np.abs(denoised / data_range - expected).max() < 0.6 / 255


def test_a_given_data_range_is_used(ckpt, noisy):
    denoised = Denoiser.load(ckpt, "cpu", data_range=4080)(noisy.astype(np.uint16) * 16)
    assert np.abs(denoised / 16 - Denoiser.load(ckpt, "cpu")(noisy)).max() < 0.6
    assert len(np.unique(denoised % 16)) == 16


def test_the_data_range_of_the_training_holds_unless_another_is_given(ckpt, noisy):
    content = torch.load(ckpt, weights_only=True)
    content["config"]["data_range"] = 4095
    torch.save(content, ckpt)
    assert Denoiser.load(ckpt, "cpu").data_range == 4095
    assert Denoiser.load(ckpt, "cpu", data_range=255).data_range == 255


def test_settings_of_the_training_can_be_overridden(ckpt):
    assert Denoiser.load(ckpt, "cpu").network.precision == "fp32"
    network = Denoiser.load(ckpt, "cpu", settings=["training.precision=bf16"]).network
    assert network.precision == "bf16"


def test_a_checkpoint_without_a_configuration_uses_a_given_one(ckpt, noisy, tmp_path):
    expected = Denoiser.load(ckpt, "cpu")(noisy)
    content = torch.load(ckpt, weights_only=True)
    (tmp_path / "tiny.yaml").write_text(to_yaml(check_config(Document(content.pop("config"), {}, "tiny"))))
    torch.save(content, ckpt)
    with pytest.raises(ConfigError, match=r"ckpt\.pth: carries no configuration"):
        Denoiser.load(ckpt, "cpu")
    given = Denoiser.load(ckpt, "cpu", config=str(tmp_path / "tiny.yaml"))
    assert np.array_equal(given(noisy), expected)


@pytest.mark.parametrize(
    ("device", "chosen"),
    [("auto", "auto"), ("mps", "mps"), ("cuda", "0"), ("1", "1"), (1, "1"), ("cuda:2", "2"),
     (torch.device("cuda", 2), "2"), (torch.device("cpu"), "cpu")],
)  # fmt: skip
def test_a_device_may_be_given_in_pytorchs_notation(ckpt, monkeypatch, device, chosen):
    asked = []
    cpu = torch.device("cpu"), "device: CPU"
    monkeypatch.setattr(
        "src.trainer.inference.denoiser.resolve_device", lambda choice: asked.append(choice) or cpu
    )
    Denoiser.load(ckpt, device)
    assert asked == [chosen]


def test_grey_images_come_back_grey(denoiser, noisy):
    grey = noisy[..., 0]
    denoised = denoiser(grey)
    assert denoised.shape == grey.shape
    colours = whole(denoiser, np.repeat(grey[..., None], 3, axis=2), 255).mean(axis=2).clip(0, 255)
    assert np.abs(denoised - colours).max() <= 0.51
    assert np.array_equal(denoiser(grey[..., None]), denoised[..., None])


def test_a_batch_is_a_4d_array_or_a_list_of_images_of_any_size(denoiser, noisy):
    first, second = noisy[:48, :40], noisy[:48, 20:60]
    stacked = denoiser(np.stack([first, second]))
    assert (stacked.shape, stacked.dtype) == ((2, 48, 40, 3), np.uint8)
    listed = denoiser([first, second, noisy[..., 0], noisy / np.float32(255)])
    assert [image.shape for image in listed] == [(48, 40, 3), (48, 40, 3), (51, 67), (51, 67, 3)]
    assert [image.dtype.name for image in listed] == ["uint8"] * 3 + ["float32"]
    for found, alone in zip(stacked, listed[:2], strict=True):
        assert np.array_equal(found, alone)
    assert np.array_equal(listed[0], denoiser(first))
    assert denoiser([]) == []


def test_the_memory_order_of_an_array_does_not_matter(denoiser, noisy):
    expected = denoiser(np.ascontiguousarray(noisy[::-1, ::2]))
    assert np.array_equal(denoiser(noisy[::-1, ::2]), expected)
    assert np.array_equal(denoiser(np.asfortranarray(noisy[::-1, ::2])), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiles_and_whole_give_the_same_image(ckpt, noisy_folder, dtype):
    image = np.tile(read_image(noisy_folder / "b.png"), (2, 2, 1))[:125, :147].astype(dtype)
    image = image * {"uint8": 1, "uint16": 257, "float32": np.float32(1 / 255)}[dtype]
    at_once = Denoiser.load(ckpt, "cpu", tile=0)(image)
    tiled = Denoiser.load(ckpt, "cpu", tile=48)(image)
    step = np.finfo(np.float32).eps * 1e3 if dtype == "float32" else 1
    assert np.abs(tiled.astype(np.float64) - at_once).max() <= 8 * step
    assert not np.array_equal(Denoiser.load(ckpt, "cpu", tile=48, overlap=0)(image), at_once)


def test_an_ensemble_is_invariant_to_rotation(ckpt, noisy):
    image = noisy[:48, :64]
    ensemble = Denoiser.load(ckpt, "cpu", ensemble=True)
    seen, turned = ensemble(image).astype(int), ensemble(np.rot90(image)).astype(int)
    assert np.abs(np.rot90(seen) - turned).max() <= 1
    assert not np.array_equal(seen, Denoiser.load(ckpt, "cpu")(image))


@pytest.mark.parametrize(
    "device",
    ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))],
)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_a_tensor_is_returned_as_one(denoiser, noisy, dtype, device):
    tensor = torch.from_numpy(noisy).to(device, dtype) / (1 if dtype == torch.uint8 else 255)
    tensor = tensor.to(dtype).requires_grad_(dtype != torch.uint8)
    denoised = denoiser(tensor)
    assert (denoised.dtype, denoised.device, denoised.requires_grad) == (dtype, tensor.device, False)
    expected = denoiser(tensor.detach().float().cpu().numpy()) if dtype != torch.uint8 else denoiser(noisy)
    assert torch.equal(denoised.cpu(), torch.from_numpy(expected).to(dtype))
    assert torch.equal(denoiser(tensor[None])[0], denoised)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "I;16B", "I", "F"])
def test_a_pil_image_is_returned_as_one(denoiser, noisy, mode):
    scales = {"L": np.uint8(1), "I;16": np.uint16(257), "I;16B": np.dtype(">u2").type(257),
              "I": np.int32(2**23), "F": np.float32(1 / 255)}  # fmt: skip
    array = noisy if mode == "RGB" else noisy[..., 0] * scales[mode]
    array = array.astype(">u2") if mode == "I;16B" else array
    denoised = denoiser([Image.fromarray(array)])[0]
    assert (denoised.mode, denoised.size) == (mode, (67, 51))
    assert np.array_equal(np.asarray(denoised), denoiser(array))


def test_array_like_objects_are_one_image(denoiser, noisy):
    class Lazy:
        """An array like those of xarray, zarr and h5py."""

        def __array__(self, dtype=None, copy=None):
            return noisy

        def __iter__(self):
            return iter(noisy)

    assert np.array_equal(denoiser(Lazy()), denoiser(noisy))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 9, 4), np.uint8), r"has 4 channels, the network takes 3 \(in_channels: 3\); drop its"
         r" transparency by image\[\.\.\., :3\], or train a network with in_channels: 4$"),
        (np.zeros((8, 9, 2), np.uint8), r"has 2 channels, .*transparency by image\[\.\.\., :1\]"),
        (np.zeros((5, 64, 64), np.uint8), "has 64 channels, .*; channels come last"),
        (np.zeros((8, 9, 13), np.uint8), "has 13 channels, .*train a network with in_channels: 13$"),
        (np.zeros((0, 9, 3), np.uint8), r"expected shape .*, got \(0, 9, 3\), which is empty$"),
        (np.zeros(9, np.uint8), r"expected shape \(H, W\) or \(H, W, C\), got \(9,\)"),
        (np.zeros((8, 9), complex), "expected whole or floating-point numbers, got complex128; take its"),
        (np.zeros((8, 9), bool), "got bool; convert it to floating point$"),
        (np.array([np.zeros((8, 9)), np.zeros((9, 8))], object), "got object; several images of different"),
        (np.full((8, 9, 3), np.nan, np.float32), "NaN or infinite"),
        (np.full((8, 9, 3), 200.0, np.float32), "set the data range, such as data_range=255$"),
        (Image.new("P", (9, 8)), r"image of mode L, RGB, .*, got P; convert it first, .*convert\('RGB'\)$"),
        (Image.new("RGBA", (9, 8)), "got RGBA; convert"),
        ("a.png", "expected an array, .*, got str; a file is read by"),
        (Path("a.png"), "expected an array, .*, got PosixPath|WindowsPath"),
        (None, "got NoneType"),
    ],
)  # fmt: skip
def test_unsuitable_images_are_refused_with_a_remedy(denoiser, image, message):
    with pytest.raises(DataError, match=f"^the image: .*{message}"):
        denoiser(image)
    with pytest.raises(DataError, match=f"^image 1: .*{message}") as caught:
        denoiser([np.zeros((8, 9, 3), np.uint8), image])
    assert "are a list, or" not in str(caught.value)


@pytest.mark.parametrize("shape", [(9,), (5, 64, 64), (3, 64, 64), (1, 2, 8, 9, 3)])
def test_an_ambiguous_shape_is_refused_with_a_hint_at_batches(denoiser, shape):
    with pytest.raises(DataError, match=r"; several images are a list, or \(N, H, W, C\)"):
        denoiser(np.zeros(shape, np.uint8))


# Data range


@pytest.mark.parametrize(("dtype", "bits"), [("int64", 8), ("uint64", 10), ("int32", 12), ("uint32", 16)])
def test_wide_types_need_a_data_range(denoiser, noisy, dtype, bits):
    wide = noisy.astype(dtype) << (bits - 8)
    message = rf"^the image, {dtype}: its largest value, {wide.max()}, .*; .* set data_range={2**bits - 1}$"
    with pytest.raises(DataError, match=message):
        denoiser(wide)
    with pytest.raises(DataError, match=r"^image 0, .* data_range=255$"):
        denoiser([np.zeros_like(wide)])
    denoised = Denoiser(denoiser.network, 255 << (bits - 8))(wide)
    assert np.abs(denoised / 2.0 ** (bits - 8) - denoiser(noisy)).max() <= 0.5 + 2.0 ** (7 - bits)


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_dark_16_bit_images_get_a_warning(denoiser, noisy, dtype):
    for images in (noisy.astype(dtype), [noisy.astype(dtype)]):
        with pytest.warns(ImageWarning, match="image.*far below the data range .* data_range=255$") as told:
            denoiser(images)
        assert [Path(each.filename) for each in told] == [Path(__file__)]


@pytest.mark.parametrize("asked", [0, -5, np.nan, "foo"])
def test_an_invalid_data_range_is_refused(ckpt, denoiser, asked):
    with pytest.raises(ConfigError, match=r"^data_range: expected 'auto' or "):
        Denoiser.load(ckpt, "cpu", data_range=asked)
    with pytest.raises(ConfigError, match=r"^data_range: "):
        Denoiser(denoiser.network, asked)


def test_e8_broken_weights_raise(denoiser, noisy):
    with torch.no_grad():
        next(denoiser.network.module.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="the image: the network's output is not finite"):
        denoiser(noisy)


def test_loading_errors_match_the_command_line(ckpt, tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pth: there is no such checkpoint"):
        Denoiser.load(tmp_path / "absent.pth", "cpu")
    with pytest.raises(ConfigError, match="-g 99: that GPU is not there"):
        Denoiser.load(ckpt, "cuda:99")
    with pytest.raises(ConfigError, match="--tile -5"):
        Denoiser.load(ckpt, "cpu", tile=-5)
