import numpy as np
import pytest
import torch

from src.trainer.config.build import build_model
from src.trainer.config.reading import check_config, to_yaml
from src.trainer.inference.denoiser import Denoiser
from src.util.config.yaml_document import Document
from src.util.errors import CheckpointError, ConfigError, DataError, NonFiniteError
from src.util.pictures.io import from_float, read_picture, to_float


@pytest.fixture
def ckpt(tiny_config, noisy_folder, tmp_path):
    """A network whose values stay within [0, 1] and follow the picture's, untrained for speed."""
    config = tiny_config()
    module = build_model(config, torch.device("cpu")).module
    for norm in (layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        norm.momentum = None
    pictures = to_float(read_picture(noisy_folder / "a.png"))[None]
    with torch.no_grad():
        module(pictures)
        values = module.eval()(pictures)
        last = module.bsn.tail[1]
        scale = 0.15 / values.std(dim=(0, 2, 3))
        last.weight *= scale[:, None, None, None]
        last.bias.copy_((last.bias - values.mean(dim=(0, 2, 3))) * scale + 0.5)
    content = {"epoch": 2, "model_weights": module.state_dict(), "config": config.model_dump(mode="json")}
    torch.save(content, tmp_path / "ckpt.pth")
    return tmp_path / "ckpt.pth"


@pytest.fixture
def denoiser(ckpt):
    return Denoiser.load(ckpt, device="cpu")


@pytest.fixture
def noisy(noisy_folder):
    """A colour picture (51, 67, 3) of odd size, uint8."""
    return read_picture(noisy_folder / "b.png")[:51, :67]


def whole(denoiser, picture, white):
    """What the network gives for the picture at once, as an array."""
    denoised = denoiser.network.denoise(to_float(picture, white), "picture")
    return denoised.permute(1, 2, 0).numpy() * white


def test_an_array_comes_back_rounded_in_its_shape_and_type(denoiser, noisy):
    before = noisy.copy()
    denoised = denoiser(noisy)
    assert (denoised.shape, denoised.dtype) == (noisy.shape, np.uint8)
    assert np.array_equal(denoised, np.rint(whole(denoiser, noisy, 255).clip(0, 255)))
    assert np.array_equal(noisy, before) and not np.array_equal(denoised, noisy)


@pytest.mark.parametrize(
    ("dtype", "white"),
    [("uint8", 255), ("uint16", 65535), ("int32", 2**31 - 1), ("float32", 1), ("float64", 1)],
)
def test_each_type_of_number_has_its_white(denoiser, noisy, dtype, white):
    given = from_float(to_float(noisy), dtype, white)
    denoised = denoiser(given)
    assert (denoised.shape, denoised.dtype) == (noisy.shape, dtype)
    expected = denoiser(noisy).astype(np.float64) / 255
    assert np.abs(denoised / white - expected).max() < 0.6 / 255


def test_a_data_range_says_what_white_is(ckpt, noisy):
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


def test_a_checkpoint_without_a_configuration_takes_a_given_one(ckpt, noisy, tmp_path):
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
def test_a_device_may_be_said_as_torch_says_it(ckpt, monkeypatch, device, chosen):
    asked = []
    cpu = torch.device("cpu"), "device: CPU"
    monkeypatch.setattr(
        "src.trainer.inference.denoiser.resolve_device", lambda choice: asked.append(choice) or cpu
    )
    Denoiser.load(ckpt, device)
    assert asked == [chosen]


def test_grey_pictures_come_back_grey(denoiser, noisy):
    grey = noisy[..., 0]
    denoised = denoiser(grey)
    assert denoised.shape == grey.shape
    colours = whole(denoiser, np.repeat(grey[..., None], 3, axis=2), 255).mean(axis=2).clip(0, 255)
    assert np.abs(denoised - colours).max() <= 0.51
    assert np.array_equal(denoiser(grey[..., None]), denoised[..., None])


def test_a_batch_is_an_array_of_four_axes_or_a_list_of_any_sizes(denoiser, noisy):
    first, second = noisy[:48, :40], noisy[:48, 20:60]
    stacked = denoiser(np.stack([first, second]))
    assert (stacked.shape, stacked.dtype) == ((2, 48, 40, 3), np.uint8)
    listed = denoiser([first, second, noisy[..., 0], noisy / np.float32(255)])
    assert [picture.shape for picture in listed] == [(48, 40, 3), (48, 40, 3), (51, 67), (51, 67, 3)]
    assert [picture.dtype.name for picture in listed] == ["uint8"] * 3 + ["float32"]
    for found, alone in zip(stacked, listed[:2], strict=True):
        assert np.array_equal(found, alone)
    assert np.array_equal(listed[0], denoiser(first))
    assert denoiser([]) == []


def test_an_array_in_any_memory_order_is_the_same_picture(denoiser, noisy):
    expected = denoiser(np.ascontiguousarray(noisy[::-1, ::2]))
    assert np.array_equal(denoiser(noisy[::-1, ::2]), expected)
    assert np.array_equal(denoiser(np.asfortranarray(noisy[::-1, ::2])), expected)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiles_and_whole_give_the_same_picture(ckpt, noisy_folder, dtype):
    picture = np.tile(read_picture(noisy_folder / "b.png"), (2, 2, 1))[:125, :147].astype(dtype)
    picture = picture / np.float32(255) if dtype == "float32" else picture
    at_once = Denoiser.load(ckpt, "cpu", tile=0)(picture)
    tiled = Denoiser.load(ckpt, "cpu", tile=48)(picture)
    step = np.finfo(np.float32).eps * 1e3 if dtype == "float32" else 1
    assert np.abs(tiled.astype(np.float64) - at_once).max() <= 8 * step
    assert not np.array_equal(Denoiser.load(ckpt, "cpu", tile=48, overlap=0)(picture), at_once)


def test_an_ensemble_does_not_change_with_the_side_a_picture_is_seen_from(ckpt, noisy):
    picture = noisy[:48, :64]
    ensemble = Denoiser.load(ckpt, "cpu", ensemble=True)
    seen, turned = ensemble(picture).astype(int), ensemble(np.rot90(picture)).astype(int)
    assert np.abs(np.rot90(seen) - turned).max() <= 1
    assert not np.array_equal(seen, Denoiser.load(ckpt, "cpu")(picture))


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (
            np.zeros((8, 9, 4), np.uint8),
            "the picture has 4 channels, the network takes 3 .*; several pictures",
        ),
        (np.zeros((5, 64, 64), np.uint8), "the picture has 64 channels.*several pictures are a list"),
        (
            np.zeros((0, 9, 3), np.uint8),
            r"expected numbers of shape \(H, W\) or \(H, W, C\), got uint8 \(0, 9",
        ),
        (np.zeros(9, np.uint8), r"got uint8 \(9,\)"),
        (np.zeros((8, 9), complex), "got complex128"),
        (np.zeros((8, 9), bool), "got bool"),
        (np.full((8, 9, 3), np.nan, np.float32), "NaN or infinite"),
        (np.full((8, 9, 3), 200.0, np.float32), "say which number is white"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(denoiser, picture, said):
    with pytest.raises(DataError, match=f"the picture: .*{said}" if "several" not in said else said):
        denoiser(picture)
    with pytest.raises(DataError, match="picture 1: "):
        denoiser([np.zeros((8, 9, 3), np.uint8), picture])


def test_e8_broken_weights_give_no_array(denoiser, noisy):
    with torch.no_grad():
        next(denoiser.network.module.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteError, match="the picture: the network's output is not finite"):
        denoiser(noisy)


def test_what_cannot_be_loaded_is_said_as_on_the_command_line(ckpt, tmp_path):
    with pytest.raises(CheckpointError, match=r"absent\.pth: there is no such checkpoint"):
        Denoiser.load(tmp_path / "absent.pth", "cpu")
    with pytest.raises(ConfigError, match="-g 99: that GPU is not there"):
        Denoiser.load(ckpt, "cuda:99")
    with pytest.raises(ConfigError, match="--tile -5"):
        Denoiser.load(ckpt, "cpu", tile=-5)
