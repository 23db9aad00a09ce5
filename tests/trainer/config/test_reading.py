"""Which files a configuration is read from, and which value overrides which."""

import pytest

from src.trainer.config.names import CONFIGS
from src.trainer.config.reading import read_config
from src.util.errors import ConfigError


@pytest.mark.parametrize("name", ["demo", "demo.yaml", "configs/demo.yaml"])
def test_c5_a_configuration_is_a_name_with_or_without_ending_or_a_path(name, monkeypatch):
    monkeypatch.chdir(CONFIGS.parent)
    assert read_config(name) == read_config("demo")


def test_a_name_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_config("sidd_train").training.dataset == "SIDD_train"


def test_c5_a_path_outside_the_project_is_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 7\n")
    assert read_config(str(path)).seed == 7


def test_a_second_configuration_overrides_the_first_and_settings_override_both(tmp_path):
    (tmp_path / "one.yaml").write_text("seed: 7\ntraining:\n  batch_size: 4\n  max_epochs: 5\n  init_lr: 1\n")
    (tmp_path / "two.yaml").write_text("training: {batch_size: 8, max_epochs: 6}\n")
    loaded = read_config([str(tmp_path / f"{n}.yaml") for n in ("one", "two")], ["training.max_epochs=9"])
    training = loaded.training
    assert (loaded.seed, training.batch_size, training.max_epochs, training.init_lr) == (7, 8, 9, 1)


def test_problems_of_several_configurations_are_reported_with_their_files(tmp_path):
    (tmp_path / "one.yaml").write_text("sed: 7\ntraining:\n  batch_size: x\n  max_epochs: y\n  zzz: 1\n")
    (tmp_path / "two.yaml").write_text("training:\n  max_epochs: 0\n  batch_size: 2\n")
    with pytest.raises(ConfigError) as error:
        read_config([str(tmp_path / f"{name}.yaml") for name in ("one", "two")])
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert any("sed: unknown key" in line and "one.yaml, line 1" in line for line in lines)
    assert any("zzz" in line and "one.yaml, line 5" in line for line in lines)
    assert any("max_epochs" in line and "two.yaml, line 2" in line for line in lines)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "../configs/demo", "a\0b", "x" * 5000, "no/such.yaml"])
def test_a_missing_configuration_is_refused(name):
    with pytest.raises(ConfigError, match="there is no such configuration"):
        read_config(name)


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(ConfigError, match="did you mean 'sidd_train'"):
        read_config("sid_train")
