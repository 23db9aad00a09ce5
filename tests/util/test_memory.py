import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from src.util import memory

LARGE = """
import resource, sys
from src.util import memory

memory.PLENTY = int(sys.argv[1])
kept, size = memory.keep_freed_memory(), 2**27
b"x" * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * size
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_of_a_second_large_block(plenty, **environment):
    """Return whether memory is kept, and how many pages the system had to clear."""
    run = subprocess.run(
        [sys.executable, "-c", LARGE, str(plenty)], env={**os.environ, **environment}, check=True,
        capture_output=True, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    kept, pages = run.stdout.split()
    return kept == "True", int(pages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs Linux's GNU C library")
def test_large_blocks_reuse_freed_memory_if_there_is_plenty():
    kept, pages = pages_of_a_second_large_block(plenty=1)
    assert kept and pages < 1000  # of 32,768
    for plenty, environment in ((2**62, {}), (1, {"MALLOC_TRIM_THRESHOLD_": "131072"})):
        kept, pages = pages_of_a_second_large_block(plenty, **environment)
        assert not kept and pages > 30_000


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
def test_available_memory_is_limited_by_the_control_group(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    whole = memory.available_memory()
    assert whole > 2**20
    for name, content in {
        "max": "3000000",
        "current": "2500000",
        "stat": "anon 1\ninactive_file 1000",
    }.items():
        (tmp_path / f"memory.{name}").write_text(content)
    assert memory.available_memory() == 501_000
    (tmp_path / "memory.max").write_text("max")
    assert memory.available_memory() > 2**20
