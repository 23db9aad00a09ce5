from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from src.util.config.schema import Block, arguments, arguments_model, describe, nearest, validate
from src.util.config.yaml_document import parse_yaml


class Inner(Block):
    edge: Annotated[int, Field(ge=1)] = 3


class Component:
    def __init__(
        self,
        folder: Annotated[str, Field(description="folder of the images")],
        count: Annotated[int, Field(ge=1)] = 5,
        share: Annotated[float, Field(gt=0, le=1)] = 0.5,
        flag: bool = False,
        kind: Literal["H", "V"] = "H",
        edges: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None,
        widths: list[int] | None = None,
        inner: Inner | None = None,
        shift: float = 0.0,
        ways: list[Literal["a", "b"]] | Literal["a", "b"] | None = None,
        terms: str = "",
    ) -> None: ...


def other(radius: Annotated[int, Field(ge=1)] = 3) -> None: ...


def problems(text):
    document = parse_yaml("args:\n  " + text.replace("\n", "\n  "), "my.yaml")
    block, found = validate(arguments_model(Component), document.data["args"], document, ("args",))
    assert (block is None) == bool(found)
    return found


def test_a_block_is_checked_by_the_signature_of_its_constructor():
    assert arguments({"folder": "x"}, Component) == {
        "folder": "x", "count": 5, "share": 0.5, "flag": False, "kind": "H", "edges": None, "widths": None,
        "inner": None, "shift": 0.0, "ways": None, "terms": "",
    }  # fmt: skip


def test_two_constructors_share_one_flat_block():
    assert arguments({"folder": "x", "radius": 9}, Component, other)["radius"] == 9
    with pytest.raises(TypeError, match="count is a parameter of more than one"):
        arguments_model(Component, lambda count: None)


def test_a_partial_block_may_lack_required_keys():
    schema = arguments_model(Component, partial=True)
    document = parse_yaml("count: 0", "my.yaml")
    assert validate(schema, {}, document)[1] == []
    assert len(validate(schema, document.data, document)[1]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count: '7'", {"count": 7}),
        ("count: 7.0", {"count": 7}),
        ("share: 5e-6", {"share": 5e-6}),  # text under YAML 1.1
        ("share: 1", {"share": 1.0}),
        ("flag: 'True'", {"flag": True}),
        ("flag: False", {"flag": False}),
        ("flag: 'no'", {"flag": False}),
        ("edges: ['4', 5]", {"edges": (4, 5)}),
        ("edges: 'None'", {"edges": None}),
        ("inner: {edge: '5'}", {"inner": Inner(edge=5)}),
    ],
)
def test_c7_values_are_converted_to_their_types(text, expected):
    found = arguments({"folder": "x"} | parse_yaml(text, "my.yaml").data, Component)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("count: many", "args.count: expected an integer of at least 1, got 'many'"),
        ("count: 0", "args.count: expected an integer of at least 1, got 0"),
        ("count: 1.5", "args.count: expected an integer of at least 1, got 1.5"),
        ("count: null", "args.count: expected an integer of at least 1, got None"),
        ("count: true", "args.count: expected an integer of at least 1, got True"),
        ("share: 2", "args.share: expected a number above 0 and of at most 1, got 2"),
        ("share: .nan", "args.share: expected a number above 0 and of at most 1, got nan"),
        ("share: -.inf", "args.share: expected a number above 0 and of at most 1, got -inf"),
        ("share: 'inf'", "args.share: expected a number above 0 and of at most 1, got 'inf'"),
        ("shift: .inf", "args.shift: expected a number, got inf"),
        ("shift: .nan", "args.shift: expected a number, got nan"),
        ("flag: maybe", "args.flag: expected true or false, got 'maybe'"),
        ("kind: D", "args.kind: expected one of 'H', 'V', got 'D'"),
        (
            "folder: 2024",
            "args.folder: expected text, got 2024; if this is the name of a folder, write ./ before it",
        ),
        ("terms: 2024", "args.terms: expected text, got 2024"),
        ("inner: {edge: 0}", "args.inner.edge: expected an integer of at least 1, got 0"),
        (
            "edges: [1]",
            "args.edges: expected a list of 2 values, each an integer of at least 1 or None, got [1]",
        ),
        (
            "ways: [a, c]",
            "args.ways: expected a list of values, each one of 'a', 'b' or one of 'a', 'b' or None, got 'c'",
        ),
        (
            "ways: 3",
            "args.ways: expected a list of values, each one of 'a', 'b' or one of 'a', 'b' or None, got 3",
        ),
    ],
)
def test_a_wrong_value_is_reported_with_path_expectation_and_line(text, expected):
    before = "" if text.startswith("folder") else "folder: x\n"
    assert problems(before + text) == [f"{expected} (my.yaml, line {3 if before else 2})"]


@pytest.mark.parametrize("text", ["widths: [true, 8]", "edges: [false, 8]", "share: false"])
def test_booleans_are_not_numbers_in_lists_either(text):
    (line,) = problems(f"folder: x\n{text}")
    assert "expected a" in line


def test_c12_an_unknown_key_is_refused_with_the_nearest_name():
    assert problems("folder: x\ncuont: 3") == [
        "args.cuont: unknown key; did you mean 'count'? (my.yaml, line 3)"
    ]
    (line,) = problems("folder: x\nzzz: 3")
    assert "choose from count, edges, flag, folder" in line
    (line,) = problems("folder: x\ninner: {egde: 3}")
    assert "args.inner.egde: unknown key; did you mean 'edge'?" in line


def test_a_missing_key_is_reported_with_its_description():
    assert problems("count: 3") == ["args.folder: missing: folder of the images (my.yaml, line 2)"]


def test_all_problems_are_reported_and_each_once():
    found = problems("count: many\nshare: 7\ncuont: 1\nedges: [x, y]\nwidths: [z, z]\ninner: 3")
    assert len(found) == len(set(found))
    for key in ("count", "share", "cuont", "edges", "widths", "inner", "folder"):
        assert any(line.startswith(f"args.{key}:") for line in found), key


def test_a_long_value_is_shortened_in_the_message():
    (line,) = problems(f"folder: x\ncount: {'y' * 500}")
    assert len(line) < 160


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Field(ge=1)], "an integer of at least 1"),
        (Annotated[float, Field(gt=0, lt=1)], "a number above 0 and below 1"),
        (bool, "true or false"),
        (str | None, "text or None"),
        (Literal["H", "V"], "one of 'H', 'V'"),
        (Literal[1], "1"),
        (tuple[int, int], "a list of 2 values, each an integer"),
        (list[str], "a list of values, each text"),
        (dict[str, Any], "keys and values"),
    ],
)
def test_types_are_described_in_words(annotation, words):
    assert describe(annotation) == words


def test_nearest_gives_a_hint_or_the_choices():
    assert nearest("Maskr", ["Masker", "N2V_Masker"]) == "; did you mean 'Masker'?"
    assert nearest("zzz", ["b", "a"]) == "; choose from a, b"
