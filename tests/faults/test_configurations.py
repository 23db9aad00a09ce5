"""Any configuration, however mangled, is read or refused with one report within a second."""

import copy
import time
from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings

from src.trainer.config.reading import read_config, to_yaml
from src.trainer.config.run_config import RunConfig
from src.util.errors import ConfigError
from tests.faults.conftest import FULL, SEED

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
TEXTS = [path.read_text(encoding="utf-8") for path in CONFIGS]
WHOLE = [yaml.safe_load(to_yaml(read_config(str(path)))) for path in CONFIGS]
LONGEST = 1.0  # seconds of CPU time

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["true", "None", "5e-5", "1e400", "../..", "~", "0x1F", "12:30:45", "2026-11-23", ""]),
    st.sampled_from([0, -1, 10**30, 2**31, 1e-320, [], {}, [[]], {"type": {}}, [1, "a", None], [0, 0]]),
    st.lists(st.integers() | st.text(max_size=5), max_size=4),
    st.dictionaries(st.text(max_size=8), st.integers(), max_size=3),
)  # fmt: skip
BITS = st.sampled_from(
    [*"{}[]:,&*!|>'\"%@`#-? \n\t\0\ufeff", "<<: *a\n", "&a ", "*a", "!!python/none ", "---\n", "...\n",
     "? ", "\r", "é"]
)  # fmt: skip


def places(block, path=()):
    """List the paths of all keys and items."""
    items = block.items() if isinstance(block, dict) else enumerate(block) if isinstance(block, list) else ()
    return [p for key, value in items for p in [(*path, key), *places(value, (*path, key))]]


@st.composite
def mutated(draw):
    """Draw a shipped configuration in full with one to three changes."""
    whole = copy.deepcopy(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(places(whole)))
        block = whole
        for key in above:
            block = block[key]
        change = draw(st.sampled_from(["value", "value", "value", "drop", "rename", "add"]))
        if change == "value":
            block[last] = draw(ODD)
        elif change == "add" and isinstance(block, dict):
            block[draw(st.text(max_size=12))] = draw(ODD)
        else:
            value = block.pop(last)
            if change == "rename" and isinstance(block, dict):
                block[draw(st.sampled_from([f"{last}s", str(last)[:-1], str(last).upper(), ""]))] = value
        if not places(whole):
            break
    return yaml.safe_dump(whole, allow_unicode=True, sort_keys=False).encode("utf-8", "surrogatepass")


@st.composite
def mangled(draw):
    """Draw the text of a shipped configuration with insertions, deletions and repeats."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 30)))
        text = draw(
            st.sampled_from([text[:start] + text[end:], text[:end] + text[start:], text[:start]])
            | BITS.map(lambda bit, start=start, text=text: text[:start] + bit + text[start:])
        )
    return text.encode("utf-8", "surrogatepass")


KINDS = {
    "keys and values": (mutated(), 150, 1500),
    "text": (mangled(), 75, 750),
    "bytes": (st.binary(max_size=400), 25, 250),
}


@pytest.mark.parametrize("kind", KINDS)
def test_b8_c7_c9_c11_c12_any_configuration_is_read_or_refused_with_one_report(
    tmp_path, trials, monkeypatch, kind
):
    monkeypatch.chdir(tmp_path)
    strategy, small, full = KINDS[kind]
    tried = trials(f"mutated configurations, {kind}", small=small, full=full)

    @seed(SEED)
    @settings(
        max_examples=tried.count, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )  # fmt: skip
    @given(strategy)
    def check(data):
        Path("a.yaml").write_bytes(data)
        tried.tried += 1
        began = time.process_time()
        try:
            assert isinstance(read_config("a.yaml"), RunConfig)
            tried.note("read")
        except ConfigError as error:
            assert error.problems and all(error.problems)
            tried.note("refused")
        assert time.process_time() - began < LONGEST
        assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]

    check()
    assert FULL or tried.tried >= small // 2  # distinct examples may run out


BOMBS = {
    "aliases, nine to the ninth": "a0: &a0 [1]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
    ),
    "merged keys, nine to the ninth": "a0: &a0 {x: 1}\n" + "".join(
        f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
    ),
    "lists in lists": "a: " + "[" * 10_000,
    "mappings in mappings": "".join(" " * i + "a:\n" for i in range(1_500)),
    "a call": "training: !!python/object/apply:os.system ['touch canary']",
    "another call": "training: !!python/object/new:subprocess.Popen [['touch', 'canary']]",
    "a module": "training: !!python/module:os",
    "a huge number": "seed: " + "9" * 5_000,
    "a huge key": f"{'a' * 500_000}: 1",
    "a huge line": "a: [" + "1, " * 100_000 + "]",
    "an alias to itself": "a: &a [*a]",
    "a mapping of itself": "a: &a {<<: *a}",
    "many keys": "".join(f"a{i}: 1\n" for i in range(20_000)),
    "octets": "a: !!binary " + "QUFB" * 50_000,
    "a set": "training: !!set {a, b}",
    "a huge exponent": "training: {init_lr: 1.0e+999999999}",
    "sexagesimals": "training: {init_lr: " + ":".join(["59"] * 2_000) + "}",
}  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS)
def test_c10_a_yaml_bomb_is_refused_with_a_report(tmp_path, monkeypatch, limits, trials, bomb):
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(BOMBS[bomb])
    for _ in (tried := trials("YAML bombs and calls", small=1)):
        with limits(tried, bomb), pytest.raises(ConfigError):
            read_config("a.yaml")
        tried.expect([path.name for path in tmp_path.iterdir()] == ["a.yaml"], bomb)
