"""Hostile checkpoints are refused at once and have no effect."""

import builtins
import io
import json
import os
import pickle
import struct
import subprocess
import tarfile
import zipfile
from collections import Counter, OrderedDict
from pathlib import Path

import pytest
import torch

from src.trainer.checkpoints.checkpoint import CheckpointStore, load_checkpoint
from src.trainer.inference.trained import load_trained
from src.util.errors import CheckpointError, UserError
from src.util.file_manager import FileManager
from tests.faults.program import run

WEIGHTS = {"w": torch.arange(4.0)}


class Call:
    """Calls a function when unpickled."""

    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def calls(canary):
    """Return calls that would each create the canary file."""
    code = f"open({str(canary)!r}, 'w')"
    return {
        "os.system": Call(os.system, f"touch {canary}"),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "open": Call(builtins.open, str(canary), "w"),
        "Popen": Call(subprocess.Popen, ["touch", str(canary)]),
        "Path.touch": Call(Path.touch, canary),
        "os.mkdir": Call(os.mkdir, str(canary)),
        "pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.mkdir, str(canary)))),
        "torch.save": Call(torch.save, {}, str(canary)),
        "getattr": Call(getattr, Call(__import__, "os"), "system"),
    }


PLACES = {
    "instead of it": lambda bomb: bomb,
    "in the weights": lambda bomb: {"epoch": 1, "model_weights": {"w": bomb}},
    "in the optimiser": lambda bomb: {
        "epoch": 1, "model_weights": WEIGHTS, "optimizer_weights": {"state": {0: {"step": [bomb]}}}
    },
    "as a key": lambda bomb: {"epoch": 1, "model_weights": WEIGHTS, Call(tuple, (bomb,)): 1},
}  # fmt: skip


def as_zip(path, thing):
    torch.save(thing, path)


def as_legacy(path, thing):
    torch.save(thing, path, _use_new_zipfile_serialization=False)


def as_pickle(path, thing):
    path.write_bytes(pickle.dumps(thing))


def as_tar(path, thing):
    with tarfile.open(path, "w") as tar:
        for name in ("pickle", "storages", "tensors"):
            data = pickle.dumps(thing)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


WRITERS = [as_zip, as_legacy, as_pickle, as_tar]
CALLS = [(call, place, writer) for call in calls("x") for place in PLACES for writer in WRITERS]


def test_k17_nothing_in_a_checkpoint_is_called(tmp_path, limits, trials):
    canary = tmp_path / "canary"
    tried = trials("checkpoints that call something", small=len(CALLS))
    for number, _ in tried:
        call, place, write = CALLS[number]
        path = tmp_path / f"{number}.pth"
        write(path, PLACES[place](calls(canary)[call]))
        case = f"{call} {place}, {write.__name__}"
        with limits(tried, case), pytest.raises(CheckpointError, match="not a readable checkpoint"):
            load_checkpoint(path)
        tried.note(write.__name__.removeprefix("as_"))
        tried.expect(not canary.exists(), case)


def archive(path, program, parts=(), how=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("a/data.pkl", program)
        file.writestr("a/version", "3\n")
        file.writestr("a/byteorder", "little")
        for name, data in dict(parts).items():
            file.writestr(name, data)


def program(change=lambda data: data):
    """Return the pickle of a small checkpoint after `change`."""
    buffer = io.BytesIO()
    torch.save({"epoch": 1, "model_weights": WEIGHTS}, buffer)
    with zipfile.ZipFile(buffer) as file:
        (name,) = [name for name in file.namelist() if name.endswith("data.pkl")]
        return change(file.read(name))


def number(value):
    return b"\x8a\x08" + struct.pack("<q", value)


STORED = (b"K\x04tq", lambda count: number(count) + b"tq")  # of the storage
SHAPE = (b"K\x00K\x04\x85", lambda count: b"K\x00" + number(count) + b"\x85")  # of the tensor
STRIDE = (b"K\x01\x85", lambda step: (b"K" + bytes([step]) if step >= 0 else number(step)) + b"\x85")
SMALL = {"a/data/0": bytes(16)}


def with_(*changes):
    def change(data):
        for (old, new), value in changes:
            assert old in data
            data = data.replace(old, new(value), 1)
        return data

    return program(change)


def nested(depth):
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


def billion_laughs(levels):
    """Nest lists of nine references to the same list: 9 ** levels values in a few bytes."""
    inner = b"]q\x00"
    for level in range(1, levels + 1):
        inner += b"]q" + bytes([level]) + b"(" + b"".join(b"h" + bytes([level - 1]) for _ in range(9)) + b"e"
    return b"\x80\x02" + inner + b"."


def shifted_name(path):
    archive(path, program(), {"../../canary": b"x", "/tmp/canary": b"x", **SMALL})


def overlapping(path):
    """Write a ZIP whose directory lists parts larger than the file."""
    archive(path, program(), {f"a/data/{i}": b"0" for i in range(1000)} | SMALL)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<LL", 1, 1), struct.pack("<LL", 2**31, 2**31)))


def pipe(path):
    os.mkfifo(path)


def everlasting(path):
    path.symlink_to("/dev/zero")


def saved(thing):
    return lambda path: torch.save({"epoch": 1, "model_weights": WEIGHTS} | thing, path)


def crafted(data, parts=SMALL, how=zipfile.ZIP_STORED):
    return lambda path: archive(path, data, parts, how)


ENDLESS = dict.fromkeys(range(3))
ENDLESS[0] = ENDLESS
WIDE = {"bsn": "UNet2", "features": [2**20, 2**20]}
BOMBS = {
    "a gigabyte of zeros, deflated": crafted(
        with_((STORED, 10**8)), {"a/data/0": bytes(4 * 10**8)}, zipfile.ZIP_DEFLATED
    ),
    "a deflated pickle": crafted(b"\x80\x02" + b"]" * 10**8 + b".", SMALL, zipfile.ZIP_DEFLATED),
    "parts of LZMA": crafted(program(), SMALL, zipfile.ZIP_LZMA),
    "a bytearray of 10 GB": crafted(b"\x80\x02cbuiltins\nbytearray\n" + number(10**10) + b"\x85R."),
    "its old name": crafted(b"\x80\x02c__builtin__\nbytearray\n" + number(10**10) + b"\x85R."),
    "a storage of 10^12 numbers": crafted(with_((STORED, 10**12))),
    "a storage of -1 numbers": crafted(with_((STORED, -1))),
    "a tensor of 10^9 numbers": crafted(with_((SHAPE, 10**9))),
    "a tensor of 10^9 times the same": crafted(with_((SHAPE, 10**9), (STRIDE, 0))),
    "a tensor that runs backwards": crafted(with_((STRIDE, -1))),
    "lists 100,000 deep": crafted(nested(100_000)),
    "lists by nines": crafted(billion_laughs(12)),
    "a dict within itself": saved({"state": ENDLESS}),
    "a length of 2 GB": crafted(b"\x80\x02X\xff\xff\xff\x7fabc."),
    "a long of 2 GB": crafted(b"\x80\x02\x8b\xff\xff\xff\x7f1."),
    "a stack that is empty": crafted(b"\x80\x02R."),
    "a memo that is empty": crafted(b"\x80\x02h\x07."),
    "no end": crafted(b"\x80\x02]"),
    "no operations": crafted(b""),
    "a later protocol": crafted(b"\x80\x05\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."),
    "a TorchScript archive": crafted(program(), {"a/constants.pkl": b"\x80\x02).", **SMALL}),
    "a counter": saved({"state": Counter("abc")}),
    "names that climb": shifted_name,
    "parts larger than the file": overlapping,
    "a pipe": pipe,
    "/dev/zero": everlasting,
    "a folder": Path.mkdir,
    "nothing": Path.touch,
    "half a ZIP": lambda path: (as_zip(path, WEIGHTS), path.write_bytes(path.read_bytes()[:300])),
    "text": lambda path: path.write_text("PK\x03\x04" * 1000),
    "zeros": lambda path: path.write_bytes(bytes(10**6)),
    "a header of safetensors": lambda path: path.write_bytes(struct.pack("<Q", 2**62) + b"{"),
    "other weights": saved({"config": {"model": {"kwargs": {"bsn": "UNet2", "features": [4, 8]}}}}),
    "a network of 10^13 weights": saved({"config": {"model": {"kwargs": WIDE}}}),
    "a configuration of text": saved({"config": {"model": "x"}}),
    "a configuration 30 deep": saved({"config": {"training": json.loads('{"a":' * 25 + "1" + "}" * 25)}}),
    "a configuration of numbers": saved({"config": {1: 2}}),
    "no configuration": saved({}),
    "an epoch of text": saved({"epoch": "1"}),
    "weights by number": saved({"model_weights": {1: torch.ones(1)}}),
    "weights that are NaN": saved({"model_weights": {"w": torch.full((1,), torch.nan)}}),
    "white as text": saved({"white": "x"}),
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_k17_d16_a_crafted_checkpoint_is_refused_at_once(tmp_path, limits, trials, bomb):
    path = tmp_path / "a.pth"
    BOMBS[bomb](path)
    before = sorted(tmp_path.rglob("*"))
    for _ in (tried := trials("crafted checkpoints", small=1)):
        with limits(tried, bomb), pytest.raises(UserError) as caught:
            load_trained(torch.device("cpu"), [], None, None, None, str(path))
        tried.expect(caught.value.exit_code in (2, 4) and str(caught.value), bomb)
        tried.expect(sorted(tmp_path.rglob("*")) == before and not Path("/tmp/canary").exists(), bomb)


@pytest.mark.parametrize(
    "content",
    [
        {"state": 3}, {"state": {}}, {"state": {"epoch": "x"}}, {"optimizer_weights": []}, {"environment": 3},
        {"config": []}, {"model_weights": OrderedDict()},
        {"optimizer_weights": {"state": {}, "param_groups": []}},
    ],
    ids=str,
)  # fmt: skip
def test_a_run_with_an_invalid_state_is_not_resumed(tmp_path, undisturbed, content):
    """Although the manifest lists the checkpoint."""
    folder = undisturbed.copy(tmp_path)
    store = CheckpointStore(FileManager(folder / "output", "run"))
    store.save_last(store.newest()[1] | content, 4, keep_all=False)
    ended = run(folder, "main.py", "-r", "-s", "run", "-g", "cpu", "--thread", "0")
    assert ended.code in (2, 4)
    assert ended.err.startswith("error: ") and "Traceback" not in ended.err
