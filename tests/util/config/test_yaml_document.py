import pytest

from src.util.config.yaml_document import overlay, override, parse_yaml, read_yaml
from src.util.errors import ConfigError


def data(text):
    return parse_yaml(text, "my.yaml").data


def problem(text, settings=()):
    with pytest.raises(ConfigError) as caught:
        override(parse_yaml(text, "my.yaml"), settings)
    (line,) = caught.value.problems
    return line


def test_every_key_and_item_has_its_line():
    document = parse_yaml("a: 1\nb:\n  c: [1,\n      2]\n", "my.yaml")
    assert document.place(("a",)) == "my.yaml, line 1"
    assert document.place(("b", "c", 1)) == "my.yaml, line 4"


def test_a_missing_key_has_the_place_of_its_parent():
    document = parse_yaml("a: 1\nb:\n  c: 2\n", "my.yaml")
    assert document.place(("b", "missing", "deeper")) == "my.yaml, line 3"
    assert parse_yaml("a: 1", "my.yaml").place(("missing",)).startswith("my.yaml")


@pytest.mark.parametrize("nothing", ["None", "'None'", "none", "NONE", "null", "~", ""])
def test_c8_every_spelling_of_none_is_none(nothing):
    assert data(f"a: {nothing}\nb: [1, {nothing or 'null'}]\nc: {{d: {nothing}}}") == {
        "a": None,
        "b": [1, None],
        "c": {"d": None},
    }


def test_dates_stay_text():
    assert data("a: 2001-02-03\nb: 2001-99-99") == {"a": "2001-02-03", "b": "2001-99-99"}


def test_a_tilde_is_expanded_to_the_home_folder(monkeypatch):
    """Otherwise a folder named `~` would be created."""
    monkeypatch.setenv("HOME", "/home/mine")
    read = override(parse_yaml("a: ~/photos\nb: x~/y\nc: ~\n", "my.yaml"), ["output_folder=~/runs"])
    assert read.data == {"a": "/home/mine/photos", "b": "x~/y", "c": None, "output_folder": "/home/mine/runs"}


def test_keys_are_text():
    assert data("1: a\ntrue: b") == {"1": "a", "true": "b"}


@pytest.mark.parametrize(
    ("text", "found"), [("", "nothing"), ("# only this", "nothing"), ("- a", "list"), ("3", "int")]
)
def test_c9_a_file_without_keys_is_refused(text, found):
    assert "my.yaml: expected keys and values" in problem(text)
    assert found in problem(text)


def test_c10_aliases_that_multiply_are_refused():
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "expands to over 10,000 entries" in problem("\n".join(lines))


def test_c10_merges_that_multiply_are_refused():
    lines = ["a0: &a0 {a: 1, b: 2}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 9)]
    assert "expands to over 10,000 entries" in problem("\n".join(lines))


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {b: *a}",
        "a: &a {<<: *a}",
        "a: " + "[" * 10_000 + "]" * 10_000,
        "a: " + "{a: " * 10_000 + "}" * 10_000,
        "\n".join(" " * depth + "a:" for depth in range(900)),
    ],
    ids=["alias of itself", "merge of itself", "lists", "mappings", "indented"],
)
def test_c10_endless_nesting_is_refused(text):
    assert "nested too deeply" in problem(text)


def test_c11_a_duplicate_key_is_refused_with_both_lines():
    line = problem("training:\n  batch_size: 1\n  max_epochs: 2\n  batch_size: 3")
    assert line == "training.batch_size: given twice, in lines 2 and 4 of my.yaml; keep one"


def test_aliases_and_merges():
    text = """
base: &base {a: 1, b: 2}
other: &other {b: 3, c: 4}
own: &own {<<: *base, b: 5}
both: {<<: [*base, *other]}
again: *own
deeper: {<<: *own, d: 6}
"""
    found = data(text)
    assert found["own"] == found["again"] == {"a": 1, "b": 5}  # its own keys win
    assert found["both"] == {"a": 1, "b": 2, "c": 4}  # the first wins
    assert found["deeper"] == {"a": 1, "b": 5, "d": 6}


@pytest.mark.parametrize("value", ["3", "[3]", "text"])
def test_a_merge_of_anything_but_mappings_is_refused(value):
    assert problem(f"a: 1\n<<: {value}").startswith("my.yaml, line 2:")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: 1\nb: [", 2),
        ("a: b: c", 1),
        ("a: 1\nb: *nowhere", 2),
        ("a: 1\n---\nb: 2", 2),
        ("? [a, b]\n: 3", 1),
        ("a: 1\nb: !!bool maybe", 2),
        ('a: !!int ""', 1),
        ('a: !!float ""', 1),
        ("a: " + "9" * 5000, 1),
        ("a: " + ":".join(["1"] * 300) + ".5", 1),
        ("a: 1\nb: !!python/name:os.system ''", 2),
        ("a: !unknown 3", 1),
    ],
)
def test_invalid_yaml_is_refused_with_its_line(text, line):
    assert f"my.yaml, line {line}:" in problem(text)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("training:\n  batch_size: 3\n  max_epochs:5", 3, "a key, a colon and a space"),
        ("training:\n  batch_size: 3\n  max_epochs:5\n", 3, "a key, a colon and a space"),
        ("a: 1\nmax_epochs:5\nb: 2\n", 2, "a key, a colon and a space"),
        ("training:\n  max_epochs:5\n  batch_size: 2\nseed: 1\n", 2, "a space after the colon"),
        ("a: 1\n b: 2\n", 2, "mapping values are not allowed here"),
        ("a: [1,\n    2\nb: 3\nc: 4\n", 1, "the bracket that begins here is not closed"),
        ("a: {x: 1\nb: 2\n", 1, "the bracket that begins here is not closed"),
        ("a: {\n  x: 1\n  y: 2}\n", 3, "expected ',' or '}'"),
        ('a: 1\nb: "abc\nc: 2\n', 2, "the quote that begins here is not closed"),
        ("a: 1\nb: 'abc\nc: 2\n", 2, "the quote that begins here is not closed"),
        ("training:\n  batch_size: 3\n max_epochs: 4\n", 3, "expected <block end>"),
    ],
)
def test_a_syntax_error_names_the_line_at_fault(text, line, words):
    found = problem(text)
    assert found.startswith(f"my.yaml, line {line}: not valid YAML: ") and words in found


@pytest.mark.parametrize(
    "path", [r"C:\Users\me", r"C:\Daten", r"C:\temp\new", r"D:\new", r"\\nas\photos\2026"]
)
def test_a_windows_path_in_double_quotes_is_refused_with_a_hint(path):
    """Some escapes would silently become a tab or a line break, others are invalid."""
    found = problem(f'a: 1\nb: "{path}"')
    assert found.startswith("my.yaml, line 2: ") and "in single quotes, or with /" in found
    assert data(f"a: '{path}'") == {"a": path}


def test_top_level_keys_that_begin_with_x_are_ignored():
    text = "x-crop: &crop {crop_size: 64}\na: {<<: *crop, b: 1}\nc: {x-d: 1}\n"
    assert data(text) == {"a": {"crop_size": 64, "b": 1}, "c": {"x-d": 1}}


def test_nothing_in_a_file_is_executed(tmp_path):
    canary = tmp_path / "canary"
    text = f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{canary}']]"
    assert data(text) == {"a": [[str(canary)]]}
    assert not canary.exists()


def test_control_characters_are_refused():
    assert "not valid YAML" in problem("a: \x00")


def test_an_unreadable_file_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_yaml(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml: cannot be read: it is not UTF-8"):
        read_yaml(tmp_path / "latin.yaml")


# --set


DOCUMENT = "seed: 1\ntraining:\n  batch_size: 4\n  scheduler:\n    type: step\nempty:\n"


def changed(*settings):
    return override(parse_yaml(DOCUMENT, "my.yaml"), settings)


def test_a_setting_replaces_a_value_and_leaves_the_others():
    document = changed("training.batch_size=8")
    assert document.data["training"] == {"batch_size": 8, "scheduler": {"type": "step"}}
    assert document.data["seed"] == 1


def test_a_setting_does_not_change_the_original_document():
    document = parse_yaml(DOCUMENT, "my.yaml")
    override(document, ["training.scheduler.type=cosine", "new.key=1"])
    assert document == parse_yaml(DOCUMENT, "my.yaml")


def test_values_of_settings_are_yaml():
    document = changed("a=[1, 2]", "b={c: None}", "d=5e-6", "e=", "f=x=y")
    assert [document.data[key] for key in "abdef"] == [[1, 2], {"c": None}, "5e-6", None, "x=y"]


def test_a_setting_creates_missing_blocks():
    assert changed("model.kwargs.features=[4, 8]", "empty.key=1").data["model"] == {
        "kwargs": {"features": [4, 8]}
    }


def test_the_last_of_two_settings_wins():
    assert changed("seed=2", "seed=3").data["seed"] == 3


def test_a_setting_is_the_place_of_its_keys():
    document = changed("training={batch_size: many}")
    assert document.place(("training", "batch_size")) == "--set training={batch_size: many}"
    assert document.place(("seed",)) == "my.yaml, line 1"


FORM = ": expected KEY.PATH=VALUE"


@pytest.mark.parametrize(
    ("setting", "reason"),
    [("training.batch_size", FORM), ("=3", FORM), (".=3", FORM), ("a..b=3", FORM), ("a.=3", FORM),
     ("seed.a=3", ": 'seed' is a plain value"), ("seed=[", ", line 1: not valid YAML")],
)  # fmt: skip
def test_an_invalid_setting_is_refused(setting, reason):
    assert problem(DOCUMENT, [setting]).startswith(f"--set {setting}{reason}")


def test_an_overlay_is_merged_key_by_key_into_a_copy():
    below = parse_yaml("a: 1\nb: {c: 1, d: {e: 1}}\nf: [1, 2]\n", "below")
    above = parse_yaml("b: {d: 5}\nf: [3]\n\ng: {h: 1}\n", "above")
    both = overlay(below, above)
    assert both.data == {"a": 1, "b": {"c": 1, "d": 5}, "f": [3], "g": {"h": 1}}
    assert both.place(("b", "c")) == "below, line 2"
    assert both.place(("b", "d")) == both.place(("b", "d", "e")) == "above, line 1"
    assert both.place(("f", 1)) == "above, line 2"
    assert both.place(("g", "h")) == "above, line 4"
    both.data["g"]["h"] = both.data["b"]["c"] = 9
    assert (above.data["g"]["h"], below.data["b"]["c"]) == (1, 1)
