"""A damaged manifest is refused, because the program may delete the files that it lists."""

import json

import pytest

from src.trainer.checkpoints.manifest import read_manifest
from src.util.errors import CheckpointError

GOOD = {"file": "checkpoint/run_001.pth", "epoch": 1, "sha256": ["x"]}
MANIFESTS = [
    "", "\xff\xfe", "garbage", "[]", "{}", "null", "3", '{"last": 3, "best": {}}', '{"last": [], "best": []}',
    '{"last": [3], "best": {}}', '{"last": [{"file": 3}], "best": {}}', "[" * 100_000,
    json.dumps({"last": [GOOD | {"epoch": "1"}], "best": {}}),
    json.dumps({"last": [GOOD | {"sha256": 3}], "best": {}}),
    *(json.dumps({"last": [GOOD | {"file": name}], "best": {}}) for name in (
        "../file.pth", "config.yaml", "checkpoint/../../file.pth", "checkpoint/..", "/etc/file.pth",
        "logs/a.pth", "checkpoint/notes.txt", "",
    )),
    json.dumps({"last": [], "best": {"psnr": [GOOD | {"file": "../file.pth"}]}}),
]  # fmt: skip


@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda text: text[:60])
def test_a_damaged_manifest_is_refused_and_nothing_deleted(files, manifest):
    files.manifest_file.write_bytes(manifest.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"manifest\.json: damaged"):
        read_manifest(files)
