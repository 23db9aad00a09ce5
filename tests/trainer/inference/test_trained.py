import shutil

import pytest
import torch

from src.trainer.inference.denoise_files import FileDenoiser
from src.trainer.inference.trained import load_trained
from src.util.errors import CheckpointError, ConfigError
from src.util.images.io import read_image

CPU = torch.device("cpu")


def test_c15_a_checkpoint_alone_is_enough(run, trained, tmp_path, noisy_folder, differing, load):
    assert trained.epoch == 2
    assert differing(trained.network.module.state_dict(), run.last["model_weights"]) == []
    alone = tmp_path / "elsewhere.pth"
    shutil.move(run.files.checkpoint_file(2), alone)
    image = tmp_path / "image.png"
    shutil.copy(noisy_folder / "b.png", image)
    for folder in (run.files.folder, noisy_folder, tmp_path / "clean"):
        shutil.rmtree(folder)
    FileDenoiser(load(alone)).file(image, tmp_path / "out.png")
    assert read_image(tmp_path / "out.png").shape == (64, 80, 3)


def test_k24_the_prefix_of_data_parallel_is_removed(run, tmp_path, differing, load):
    content = run.last
    content["model_weights"] = {f"module.{name}": value for name, value in content["model_weights"].items()}
    torch.save(content, tmp_path / "parallel.pth")
    weights = load(tmp_path / "parallel.pth").network.module.state_dict()
    assert differing(weights, run.last["model_weights"]) == []


def test_k18_a_checkpoint_of_a_gpu_loads_on_the_cpu(run, tmp_path, monkeypatch, differing, load):
    path = tmp_path / "gpu.pth"
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda storage: "cuda:0")
        torch.save(run.last, path)
    if not torch.cuda.is_available():
        with pytest.raises(RuntimeError, match="CUDA"):
            torch.load(path, weights_only=True)
    weights = load(path).network.module.state_dict()
    assert differing(weights, run.last["model_weights"]) == []


def test_a_checkpoint_that_does_not_fit_is_reported_with_the_difference(run, load):
    with pytest.raises(
        CheckpointError, match=r"run_002\.pth: does not fit the configuration's network: .*\w"
    ):
        load(run.files.checkpoint_file(2), "model.kwargs.features=[8, 16]")
    with pytest.raises(CheckpointError, match="does not fit"):
        load(run.files.checkpoint_file(2), "model.kwargs={bsn: UNet, features: [4, 8]}")


def test_a_checkpoint_without_a_configuration_needs_one(run, tmp_path, load):
    content = run.last
    del content["config"]
    torch.save(content, tmp_path / "original.pth")
    with pytest.raises(ConfigError, match=r"original\.pth: carries no configuration .*-c"):
        load(tmp_path / "original.pth")
    assert load(tmp_path / "original.pth", "model.kwargs.features=[4, 8]", config="sidd_train").epoch == 2


def test_k19_no_network_has_random_weights():
    with pytest.raises(ConfigError, match="name a network: --pretrained"):
        load_trained(CPU, [], "demo", None, None, None)
