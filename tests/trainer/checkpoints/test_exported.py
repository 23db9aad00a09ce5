"""Exported files and the general network, both in safetensors, load as checkpoints."""

import hashlib

import pytest
import safetensors.torch
import torch

from src.trainer.checkpoints import general
from src.trainer.checkpoints.checkpoint import load_checkpoint, load_verified
from src.trainer.inference.trained import load_trained
from src.util.errors import CheckpointError
from tests.trainer.conftest import CPU


def test_a_file_of_another_program_has_only_weights(tmp_path):
    safetensors.torch.save_file({"module.bsn.w": torch.ones(2)}, tmp_path / "a.safetensors")
    content = load_checkpoint(tmp_path / "a.safetensors")
    assert content.keys() == {"epoch", "model_weights"} and content["epoch"] == 0
    assert torch.equal(content["model_weights"]["bsn.w"], torch.ones(2))


def test_16_bit_weights_become_float32(tmp_path):
    weights = {"a": torch.ones(2, dtype=torch.float16), "b": torch.ones(2, dtype=torch.bfloat16)}
    safetensors.torch.save_file(weights | {"c": torch.ones(1, dtype=torch.int64)}, tmp_path / "a.safetensors")
    read = load_checkpoint(tmp_path / "a.safetensors")["model_weights"]
    assert [read[name].dtype for name in "abc"] == [torch.float32, torch.float32, torch.int64]


@pytest.mark.parametrize("text", ["model: [", "a: 1\na: 2"])
def test_an_invalid_configuration_is_an_error(tmp_path, text):
    path = tmp_path / "a.safetensors"
    safetensors.torch.save_file({"w": torch.ones(2)}, path, metadata={"config": text})
    with pytest.raises(CheckpointError, match=r"a\.safetensors: not a readable checkpoint"):
        load_checkpoint(path)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    safetensors.torch.save_file({"w": torch.tensor([1.0, torch.nan])}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="not finite, first w"):
        load_checkpoint(tmp_path / "a.safetensors")


def test_the_general_network_matches_its_sha256_and_description():
    assert hashlib.sha256(general.PATH.read_bytes()).hexdigest() == general.SHA256
    assert general.PATH.stat().st_size < 10e6
    trained = load_trained(CPU, [], None, None, None, None)
    assert trained.path == general.PATH
    assert trained.config.test.finish.light and trained.config.test.finish.detail
    assert trained.config.training.dataset == "Generated" and trained.config.training.objective == "imitate"


def test_a_missing_or_changed_general_network_is_refused(tmp_path, monkeypatch):
    changed = bytearray(general.PATH.read_bytes())
    changed[-1] ^= 1
    monkeypatch.setattr(general, "PATH", tmp_path / "general.safetensors")
    monkeypatch.setattr("src.trainer.checkpoints.checkpoint.PATH", general.PATH)
    with pytest.raises(CheckpointError, match="the general network is missing; install the program again"):
        load_verified(general.PATH)
    general.PATH.write_bytes(changed)
    with pytest.raises(CheckpointError, match=r"damaged .*install it again"):
        load_verified(general.PATH)
