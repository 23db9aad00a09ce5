import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from src.util.errors import StorageError
from src.util.logger import LOG, PROGRESS_LOG, log_file, progress_bar, start_console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def console(monkeypatch):
    """Returns a function that starts the console on streams for standard output and standard error."""

    def start(stream, warned=None):
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", warned or io.StringIO())
        start_console()
        return stream

    return start


def test_a_pipe_gets_plain_lines_with_progress_and_without_warnings(console):
    stream, warned = io.StringIO(), io.StringIO()
    console(stream, warned)
    LOG.info("one")
    PROGRESS_LOG.info("two")
    LOG.warning("three")
    LOG.error("four")
    assert stream.getvalue() == "one\ntwo\n"
    assert warned.getvalue() == "warning: three\nerror: four\n"


def test_a_terminal_gets_no_progress_lines(console):
    stream = console(Terminal())
    LOG.info("one")
    PROGRESS_LOG.info("two")
    assert "one\n" in stream.getvalue()
    assert "two" not in stream.getvalue()


def test_starting_the_console_again_does_not_double_the_lines(console):
    console(io.StringIO())
    stream = console(io.StringIO())
    LOG.info("one")
    assert stream.getvalue() == "one\n"


def test_warnings_of_libraries_are_logged(console):
    warned = io.StringIO()
    console(io.StringIO(), warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        shown = warnings.showwarning
        start_console()
        warnings.warn("beware", UserWarning, stacklevel=1)
        warnings.showwarning = shown
    assert warned.getvalue() == "warning: beware\n"


def test_f15_the_log_file_has_dated_lines_of_plain_utf_8(tmp_path, console, monkeypatch):
    console(Terminal())
    monkeypatch.setattr(sys, "stderr", Terminal())
    path = tmp_path / "train.log"
    with log_file(path) as handler, progress_bar(10, "step") as bar:
        for number in range(10):
            bar.update()
            bar.set_postfix(loss=f"{number}")
            PROGRESS_LOG.info("schön %d", number)
        LOG.warning("beware")
    assert handler.encoding == "utf-8"  # not the locale's
    text = path.read_bytes().decode("utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    lines = text.splitlines()
    assert len(lines) == 11
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (INFO|WARNING) \S.*", line) for line in lines)
    assert lines[3].endswith("INFO schön 3")


def test_f4_a_log_file_is_appended_to(tmp_path):
    path = tmp_path / "train.log"
    LOG.setLevel("INFO")
    for text in ("one", "two"):
        with log_file(path):
            LOG.info(text)
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["one", "two"]


def test_a_log_file_ends_with_the_error_and_is_closed(tmp_path):
    path = tmp_path / "train.log"
    with pytest.raises(ValueError, match="too hot"), log_file(path) as handler:
        raise ValueError("too hot")
    assert path.read_text().endswith("ERROR stopped: too hot\n")
    assert handler not in LOG.handlers
    assert handler.stream is None
    with pytest.raises(KeyboardInterrupt), log_file(path):
        raise KeyboardInterrupt
    assert path.read_text().endswith("ERROR stopped: KeyboardInterrupt\n")


def test_a_bar_is_shown_only_on_a_terminal(monkeypatch):
    for stream, drawn in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar(10, "step", initial=3) as bar:
            bar.update()
        assert bool(stream.getvalue()) == drawn


@pytest.mark.parametrize("merged", [False, True], ids=["output", "both"])
def test_a_closed_pipe_does_not_stop_the_program(tmp_path, merged):
    script = (
        "import sys\n"
        "from src.util.logger import LOG, start_console\n"
        "start_console()\n"
        "input()\n"
        "for _ in range(3):\n"
        "    LOG.info('a line')\n"
        "    LOG.warning('another')\n"
        "open(sys.argv[1], 'w').close()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path / "done"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
    )  # fmt: skip
    process.stdout.close()
    errors = process.communicate(b"\n")[1]
    assert (process.returncode, (tmp_path / "done").exists()) == (0, True)
    assert errors == (None if merged else 3 * b"warning: another\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_output_is_not_an_error(closed):
    script = (
        "import sys\n"
        "from src.util.logger import LOG, progress_bar, start_console\n"
        "start_console()\n"
        "LOG.info('a line')\n"
        "LOG.warning('another')\n"
        "progress_bar(3, 'step').close()\n"
    )
    command = f'"$0" -c "$1" {closed}'
    assert subprocess.run(["bash", "-c", command, sys.executable, script], check=False).returncode == 0


def test_a_file_name_that_is_not_valid_text_is_logged(tmp_path):
    code = (
        "from pathlib import Path; from src.util.logger import LOG, log_file, start_console\n"
        "start_console()\n"
        "with log_file(Path('log.txt')): LOG.info('%s', 'a\\udcff.png')"
    )
    environment = {
        **os.environ,
        "PYTHONIOENCODING": "utf-8:strict",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=tmp_path, env=environment)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"a\\udcff.png\n", b"")
    assert "a\\udcff.png" in (tmp_path / "log.txt").read_text(encoding="utf-8")


def test_f13_a_partial_line_is_ended_before_the_next(tmp_path):
    """A killed process or a full disk leaves one."""
    path = tmp_path / "train.log"
    path.write_text("2026-11-23 12:00:00 INFO half of a li")
    LOG.setLevel("INFO")
    with log_file(path):
        LOG.info("resumed")
    assert path.read_text().splitlines()[0].endswith("half of a li")
    assert path.read_text().splitlines()[1].endswith("INFO resumed")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_f13_a_full_disk_stops_the_program(capsys):
    """By default `logging` prints a traceback and goes on."""
    LOG.setLevel("INFO")
    with (
        pytest.raises(StorageError, match="/dev/full: cannot be written: No space left"),
        log_file(Path("/dev/full")),
    ):
        LOG.info("lost")
    assert "Traceback" not in capsys.readouterr().err
