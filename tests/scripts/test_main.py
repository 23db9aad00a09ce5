import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from src.trainer.config import reading
from src.trainer.demo import demo
from src.trainer.training.trainer import Trainer
from tests.scripts.conftest import unexpected

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def checkpoints(run):
    return sorted(path.name for path in (run / "checkpoint").glob("*.pth"))


def test_c1_a_shipped_configuration_is_found_by_name_by_file_name_and_by_path(call):
    shown = [
        call("main", "-c", name, "--print-config")
        for name in ("sidd_train", "sidd_train.yaml", ROOT / "configs" / "sidd_train.yaml")
    ]
    assert [ended.code for ended in shown] == [0, 0, 0]
    assert len({ended.out for ended in shown}) == 1
    assert "SIDD_train" in shown[0].out


def test_c2_c5_without_a_name_the_run_is_named_after_the_file(call, tiny_yaml, tmp_path):
    (tmp_path / "sub").mkdir()
    shutil.copy(tiny_yaml, tmp_path / "sub" / "mine.yaml")
    ended = call("main", "-c", "sub/mine.yaml", "--set", "training.max_epochs=1")
    assert ended.code == 0
    (run,) = (tmp_path / "output").iterdir()
    assert re.fullmatch(r"mine_\d{8}_\d{6}", run.name)
    assert f"finished; the run is in {run.relative_to(tmp_path)}" in ended.out
    assert checkpoints(run) == [f"{run.name}_001.pth"]


@pytest.mark.parametrize(
    ("name", "hint"), [("sid_train", "did you mean 'sidd_train'"), ("no/such.yaml", "no such configuration")]
)
def test_c14_a_missing_configuration_is_refused_with_a_hint(call, name, hint):
    ended = call("main", "-c", name)
    assert ended.code == 2
    assert ended.err.startswith(f"error: -c {name}: ") and hint in ended.err


@pytest.mark.parametrize("name", SHIPPED)
def test_print_config_prints_yaml_that_loads_to_the_same_and_writes_nothing(call, tmp_path, name):
    first = call("main", "-c", name, "--print-config")
    (tmp_path / "printed.yaml").write_text(first.out)
    second = call("main", "-c", "printed.yaml", "--print-config")
    assert (first.code, first.err, second) == (0, "", first)
    assert yaml.safe_load(first.out)["masker"]["masker_args"]["pixel_perc"] == 0.002
    assert [path.name for path in tmp_path.iterdir()] == ["printed.yaml"]


def test_c13_set_overrides_the_file_and_is_saved_with_the_run(call, trained, tmp_path):
    ended = call(
        "main", "-c", "tiny.yaml", "-s", "set",
        "--set", "training.batch_size=3", "--set", "masker.masker_args={center_only: true}",
    )  # fmt: skip
    assert ended.code == 0
    kept = yaml.safe_load((tmp_path / "output" / "set" / "config.yaml").read_text())
    assert kept["training"]["batch_size"] == 3
    assert kept["masker"]["masker_args"]["center_only"] is True
    assert kept["training"]["max_epochs"] == 2
    before = yaml.safe_load((trained / "config.yaml").read_text())
    assert before["training"]["batch_size"] == 2


def test_c12_c14_all_errors_are_reported_at_once_with_their_lines(call, tiny_yaml):
    text = tiny_yaml.read_text().replace("max_epochs: 2", "max_epochs: 0").replace("seed:", "sed:")
    tiny_yaml.write_text(text)
    lines = text.splitlines()
    epochs = next(i for i, line in enumerate(lines, 1) if "max_epochs" in line)
    seed = next(i for i, line in enumerate(lines, 1) if "sed:" in line)
    ended = call("main", "-c", "tiny.yaml", "-s", "run", "--set", "log.iter_interval=0")
    assert ended.code == 2
    assert re.search(rf"sed: unknown key; did you mean 'seed'\? \(tiny\.yaml, line {seed}\)", ended.err)
    assert re.search(rf"training\.max_epochs: .*at least 1, got 0 \(tiny\.yaml, line {epochs}\)", ended.err)
    assert "log.iter_interval: expected an integer of at least 1, got 0 (--set" in ended.err
    assert not (tiny_yaml.parent / "output").exists()


@pytest.mark.parametrize("setting", ["training.batch_size", "=4", "training.batch_size.x=4", "training=5"])
def test_an_invalid_setting_is_refused(call, tiny_yaml, setting):
    assert call("main", "-c", "tiny.yaml", "-s", "run", "--set", setting).code == 2
    assert not (tiny_yaml.parent / "output").exists()


@pytest.mark.parametrize("choice", ["99", "0,1", "cuda", "-1", ""])
def test_c4_c6_a_missing_gpu_is_an_error(call, tiny_yaml, choice):
    ended = call("main", "-c", "tiny.yaml", "-s", "run", f"-g={choice}", device=())
    assert ended.code == 2 and ended.err.startswith("error: -g ")
    assert not (tiny_yaml.parent / "output").exists()


def test_c4_without_g_the_device_is_chosen_and_printed(call, tiny_yaml):
    ended = call("main", "-c", "tiny.yaml", "-s", "run", "--set", "training.max_epochs=1", device=())
    assert ended.code == 0
    assert ended.out.startswith("device: " + ("GPU 0" if torch.cuda.is_available() else "CPU (no CUDA GPU"))


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped", "", " ", ".", "..", ".hidden", "a/b", "a\\b", "con", "x" * 300]
)
def test_f1_f2_a_hostile_run_name_is_refused(call, tiny_yaml, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    ended = call("main", "-c", "tiny.yaml", "-s", name)
    assert ended.code == 2
    assert "expected one plain folder name" in ended.err
    assert sorted(tmp_path.rglob("*")) == before


def test_f4_an_existing_run_name_is_refused_with_a_hint(call, trained):
    ended = call("main", "-c", "tiny.yaml", "-s", "run")
    assert ended.code == 3
    assert "add -r to resume it, or choose another name" in ended.err


def test_resume_needs_a_name_a_run_and_a_checkpoint(call, trained):
    ended = call("main", "-c", "tiny.yaml", "-r")
    assert ended.code == 2 and "name the run to resume with -s RUN" in ended.err
    ended = call("main", "-c", "tiny.yaml", "-s", "absent", "-r")
    assert ended.code == 2 and "there is no run" in ended.err
    ended = call("main", "-s", "absent", "-r")
    assert ended.code == 2 and "absent" in ended.err
    shutil.rmtree(trained / "checkpoint")
    ended = call("main", "-c", "tiny.yaml", "-s", "run", "-r")
    assert ended.code == 4 and "no usable checkpoint" in ended.err
    assert not (trained.parent / "absent").exists()


def test_k23_resuming_a_finished_run_exits_0(call, trained):
    ended = call("main", "-c", "tiny.yaml", "-s", "run", "-r")
    assert ended.code == 0
    assert "already finished: 2 epochs" in ended.out


def test_a_run_is_resumed_with_its_own_configuration(call, tiny_yaml, tmp_path):
    tiny_yaml.write_text(tiny_yaml.read_text().replace("init_lr: 0.001", "init_lr: 0.002"))
    assert call("main", "-c", "tiny.yaml", "-s", "run").code == 0
    tiny_yaml.unlink()
    ended = call("main", "-s", "run", "-r", "--set", "training.max_epochs=3")
    assert ended.code == 0
    assert "epoch 3/3, step 6/6" in ended.out and "learning rate 2.000e-03" in ended.out
    assert "resumed with changed settings: training.max_epochs: 2 -> 3" in ended.err
    assert checkpoints(tmp_path / "output" / "run") == ["run_002.pth", "run_003.pth"]


def test_a_run_elsewhere_is_resumed_by_its_output_folder(call, tiny_yaml, tmp_path):
    elsewhere = ["--set", f"output_folder={tmp_path / 'elsewhere'}"]
    assert call("main", "-c", "tiny.yaml", "-s", "run", *elsewhere).code == 0
    assert call("main", "-s", "run", "-r").code == 2
    assert call("main", "-s", "run", "-r", *elsewhere).code == 0


@pytest.mark.parametrize("call_of", [("main", "-r"), ("test",)])
def test_an_output_folder_that_is_no_path_is_refused(call, call_of):
    ended = call(*call_of, "-s", "run", "--set", "output_folder=2026")
    assert ended.code == 2
    assert ended.err.startswith("error: output_folder: expected a path, got 2026")
    assert ended.err.endswith("(--set output_folder=2026)\n") and ended.err.count("\n") == 1


def test_a_moved_run_is_resumed_in_place(call, trained, tmp_path):
    shutil.move(tmp_path / "output", tmp_path / "elsewhere")
    moved = ["--set", f"output_folder={tmp_path / 'elsewhere'}"]
    assert call("main", "-s", "run", "-r", *moved, "--set", "training.max_epochs=3").code == 0
    shutil.move(tmp_path / "elsewhere", tmp_path / "output")
    assert call("main", "-s", "run", "-r", "--set", "training.max_epochs=4").code == 0
    assert checkpoints(tmp_path / "output" / "run") == ["run_003.pth", "run_004.pth"]
    assert not (tmp_path / "elsewhere").exists()


def test_t1_a_loss_that_is_not_finite_exits_6(call, trained):
    more = ["--set", "training.max_epochs=4", "--set"]
    ended = call("main", "-s", "run", "-r", *more, "training.init_lr=1e20")
    assert ended.code == 6
    error = ended.err.splitlines()[-1]
    place = r"error: epoch 3/4, step 6/8, values from 0 to 1 of .*"
    assert re.fullmatch(place + r": the loss is \w+; try a smaller init_lr", error)
    assert ended.err.count("the loss is") == 1
    assert checkpoints(trained) == ["run_001.pth", "run_002.pth"]
    assert call("main", "-s", "run", "-r", *more, "training.init_lr=1e-3").code == 0


def test_d7_a_file_that_is_no_image_exits_7_before_a_run_is_created(call, tiny_yaml, noisy_folder):
    (noisy_folder / "notes.png").write_text("no image")
    ended = call("main", "-c", "tiny.yaml", "-s", "run")
    assert ended.code == 7
    assert "notes.png: not an image" in ended.err
    assert not (tiny_yaml.parent / "output").exists()


def test_an_unwritable_output_folder_exits_5(call, tiny_yaml, tmp_path):
    (tmp_path / "file").write_text("")
    ended = call("main", "-c", "tiny.yaml", "-s", "run", "--set", f"output_folder={tmp_path / 'file'}")
    assert ended.code == 5


def test_k16_ctrl_c_exits_130_and_the_run_can_be_resumed(call, tiny_yaml, tmp_path, monkeypatch):
    def interrupted(self, epoch):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "validate", interrupted)
        ended = call("main", "-c", "tiny.yaml", "-s", "run")
    assert ended.code == 130
    assert ended.err == "stopped by Ctrl-C\n"
    assert "stopped: KeyboardInterrupt" in (tmp_path / "output" / "run" / "logs" / "train.log").read_text()
    assert call("main", "-s", "run", "-r").code == 0


def test_without_arguments_the_demo_is_trained(call, monkeypatch, tmp_path):
    original = reading.read_config
    tiny = [
        "model.kwargs.features=[4, 8]", "training.max_epochs=1", "training.dataset_args.repeat_times=1",
        "training.dataset_args.scale=0.25",
    ]  # fmt: skip
    monkeypatch.setattr(reading, "read_config", lambda name, settings: original(name, [*settings, *tiny]))
    shortest = ("adapt.crops=2", "adapt.megapixels=0.01", "adapt.first_students=0", "adapt.teacher=null")
    monkeypatch.setattr(demo, "ADAPTED", (*demo.ADAPTED, *shortest, "training.batch_size=2"))
    ended = call("main", device=(), workers=())
    assert ended.code == 0
    lines = ended.out.splitlines()
    table = next(i for i, line in enumerate(lines) if line.split()[:1] == ["method"])
    methods = [line.split()[0] for line in lines[table + 1 : table + 7]]
    assert methods == ["noisy", "NLM", "N2V", "NL-N2V", "general", "adapted"]
    image = Path(lines[-1].removeprefix("side by side (noisy, NLM, N2V, NL-N2V, general, adapted, clean): "))
    assert image.suffix == ".png" and (tmp_path / image).is_file()
    assert re.fullmatch(r"output/demo_\d{8}_\d{6}_nl_n2v", str(image.parents[1]))


def test_help_names_every_flag(call):
    ended = call("main", "--help")
    assert ended.code == 0
    for flag in ("-c", "-s", "-r", "-g", "--thread", "--set", "--print-config", "--noise-report"):
        assert flag in ended.out


def in_a_process(tmp_path, script, *arguments):
    return subprocess.Popen(
        [sys.executable, ROOT / script, *map(str, arguments)],
        cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_main_and_test_as_processes(tiny_yaml, noisy_folder, tmp_path):
    training = in_a_process(tmp_path, "main.py", "-c", "tiny.yaml", "-s", "run", "-g", "cpu", "--thread", "2")
    out, err = training.communicate(timeout=300)
    assert (training.returncode, unexpected(err)) == (0, "")
    assert "validation after epoch 2: masked loss" in out
    testing = in_a_process(tmp_path, "test.py", "-s", "run", "-g", "cpu", "--test_dir", noisy_folder)
    out, err = testing.communicate(timeout=300)
    assert (testing.returncode, unexpected(err)) == (0, "")
    results = sorted(path.name for path in (noisy_folder / "results").iterdir())
    assert results == ["a_DN.png", "b_DN.png", "c_DN.png", "panel.png", "report.html"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_k16_a_process_stopped_by_ctrl_c_saves_and_prints_no_traceback(tiny_yaml, call, tmp_path):
    endless = ["--set", "training.max_epochs=100000"]
    training = in_a_process(
        tmp_path, "main.py", "-c", "tiny.yaml", "-s", "run", "-g", "cpu", "--thread", "1", *endless
    )
    for line in training.stdout:
        if "validation after epoch 2" in line:
            break
    training.send_signal(signal.SIGINT)
    _, err = training.communicate(timeout=60)
    assert training.returncode == 130
    assert re.fullmatch(r"stopped by SIGINT; saved \S+\.pth; -r continues from there\n", err)
    epochs = int(re.search(r"run_(\d{3,})", checkpoints(tmp_path / "output" / "run")[-1])[1]) + 1
    ended = call("main", "-s", "run", "-r", "--set", f"training.max_epochs={epochs}")
    assert ended.code == 0, ended.err
