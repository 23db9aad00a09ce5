import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from src.util.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    NonFiniteError,
    RunExistsError,
    StorageError,
    UserError,
)
from src.util.flags import common_flags
from src.util.script import run


def raising(error):
    def script():
        raise error

    return script


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("beware"), 2),
        (RunExistsError("beware"), 3),
        (CheckpointError("beware"), 4),
        (StorageError("beware"), 5),
        (NonFiniteError("beware"), 6),
        (DataError("beware"), 7),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_error_has_its_exit_code_and_prints_one_line(capsys, error, code):
    assert run(raising(error)) == code
    captured = capsys.readouterr()
    assert captured.err == "error: beware\n"
    assert captured.out == ""


def test_exit_codes_are_unique():
    codes = [kind.exit_code for kind in UserError.__subclasses__() if kind.__module__ == UserError.__module__]
    assert sorted(codes) == [2, 3, 4, 5, 6, 7, 8]


def test_all_problems_of_a_configuration_are_printed(capsys):
    assert run(raising(ConfigError(["a: wrong", "b: wrong"]))) == 2
    assert capsys.readouterr().err == "error: a: wrong\nb: wrong\n"


def test_ctrl_c_is_130(capsys):
    assert run(raising(KeyboardInterrupt())) == 130
    assert "stopped by Ctrl-C" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_a_disk_error_is_a_storage_error(capsys, number):
    assert run(raising(OSError(number, "refused", "some/file"))) == 5
    assert capsys.readouterr().err == "error: some/file: refused\n"


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "gone"), ValueError("a mistake of ours")])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run(raising(error))


def test_the_exit_code_of_a_script_is_returned():
    assert run(lambda: 0) == 0
    assert run(lambda: 7) == 7


def test_flags_have_the_documented_defaults():
    flags = vars(common_flags("").parse_args([]))
    assert flags == {"config": None, "session": None, "gpu": None, "thread": 4, "settings": []}


def test_flags_have_short_and_long_names_and_settings_are_collected():
    parser = common_flags("")
    short = parser.parse_args(["-c", "x", "-s", "run", "-g", "0", "--thread", "0"])
    long = parser.parse_args(["--config", "x", "--session", "run", "--gpu", "0", "--thread", "0"])
    assert short == long
    assert parser.parse_args(["--set", "a=1", "--set", "b=2"]).settings == ["a=1", "b=2"]


@pytest.mark.parametrize(
    "arguments", [["--thread", "-1"], ["--thread", "many"], ["--unknown"], ["--thread", "2.5"]]
)
def test_a_wrong_flag_is_a_usage_error(capsys, arguments):
    with pytest.raises(SystemExit) as caught:
        common_flags("").parse_args(arguments)
    assert caught.value.code == 2


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has no such signals")
@pytest.mark.parametrize("number", ["SIGTERM", "SIGUSR1"])
def test_b5_a_terminated_program_leaves_no_temporary_file(tmp_path, number):
    """Training instead finishes its step first."""
    program = (
        "import pathlib, signal, sys, time\n"
        "from src.util.atomic_file import write_atomically\n"
        "from src.util.script import run\n"
        "def write():\n"
        "    with write_atomically(pathlib.Path(sys.argv[1], 'a.png')):\n"
        f"        signal.raise_signal(signal.{number})\n"
        "        time.sleep(60)\n"
        "sys.exit(run(write))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (143, "stopped by SIGTERM\n")
    assert list(tmp_path.iterdir()) == []


def test_one_of_several_processes_is_terminated_at_once():
    """It may wait in a collective call that never returns to Python."""
    program = "import signal, time; from src.util.script import run; run(lambda: signal.raise_signal(15))"
    environment = {**os.environ, "WORLD_SIZE": "2"}
    assert subprocess.run([sys.executable, "-c", program], env=environment).returncode == -signal.SIGTERM


@pytest.mark.parametrize("words", [["main.py"], ["test.py", "--pretrained", __file__]], ids=lambda w: w[0])
def test_ctrl_c_during_the_imports_prints_one_line(words, tmp_path):
    (tmp_path / "torch.py").write_text("raise KeyboardInterrupt")
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, str(root / words[0]), *words[1:]],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (130, "stopped by Ctrl-C\n")
