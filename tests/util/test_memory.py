from pathlib import Path

import pytest

from src.util import memory


@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="needs Linux")
def test_what_is_available_is_no_more_than_the_control_group_leaves(tmp_path, monkeypatch):
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
