import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from src.trainer.config.build import build_model
from src.trainer.config.reading import check_config
from src.trainer.inference.export import export_weights
from src.util.config.yaml_document import parse_yaml
from src.util.errors import ConfigError


def test_an_export_holds_the_network_and_its_configuration(trained, tmp_path, differing):
    path = tmp_path / "weights.safetensors"
    export_weights(trained, path)
    assert differing(load_file(path), dict(trained.network.module.state_dict())) == []
    with safe_open(path, "pt") as file:
        about = file.metadata()
    config = check_config(parse_yaml(about["config"], "metadata"))
    assert config == trained.config
    assert (about["epoch"], about["white"]) == ("2", "255.0")
    again = build_model(config, torch.device("cpu"))
    again.module.load_state_dict(load_file(path))
    image = torch.rand(3, 32, 40, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.denoise(image, "a"), trained.network.denoise(image, "a"))


def test_an_existing_file_is_replaced_only_with_overwrite(trained, tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="--overwrite"):
        export_weights(trained, path)
    assert path.read_text() == "mine"
    export_weights(trained, path, overwrite=True)
    assert load_file(path)
    assert not [name for name in os.listdir(tmp_path) if name.endswith(".tmp")]
