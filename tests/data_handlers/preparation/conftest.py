import json

import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.sync", lambda: None)


@pytest.fixture
def contents():
    """Everything a preparation left in a folder, but for the lock and the manifest's order."""

    def read(folder):
        found = {
            p.name: p.read_bytes() for p in folder.iterdir() if p.name not in (".lock", ".manifest.jsonl")
        }
        lines = map(json.loads, (folder / ".manifest.jsonl").read_text().splitlines())
        return found, {line["piece"]: line for line in lines if "sha256" in line}

    return read
