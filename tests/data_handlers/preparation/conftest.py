import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.sync", lambda: None)


@pytest.fixture
def contents():
    """Read the files that a preparation left in a folder, except for the lock."""
    return lambda folder: {p.name: p.read_bytes() for p in folder.iterdir() if p.name != ".lock"}
