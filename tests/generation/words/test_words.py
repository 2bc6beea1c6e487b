import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline import params, printable
from pipeline.errors import ParameterError
from pipeline.generation import words
from pipeline.workspace import Workspace

NAMES = ("ankle boot", "bag", "coat")
WHERE = "params.yaml, generate.class_overrides"


def test_overrides_rename_their_class_only() -> None:
    assert words.for_classes(NAMES, {}) == NAMES
    assert words.for_classes(NAMES, {"bag": "handbag"}) == ("ankle boot", "handbag", "coat")
    assert words.for_classes(NAMES, {"bag": "coat", "coat": "bag"}) == ("ankle boot", "coat", "bag")


def test_an_override_is_taken_as_it_is() -> None:
    assert words.for_classes(("apple_pie", "bag"), {"bag": "hand_Bag 7"}) == ("apple pie", "hand_Bag 7")


@pytest.mark.parametrize(
    ("name", "fix"),
    [("bags", "did you mean 'bag'?"), ("xyz", "did you mean 'ankle boot', 'bag', 'coat'?")],
)
def test_an_override_of_an_unknown_class_names_those_that_are_near(name: str, fix: str) -> None:
    with pytest.raises(ParameterError) as caught:
        words.for_classes(NAMES, {name: "handbag"})
    assert str(caught.value) == f"no class {name!r}: {WHERE}: {fix}"


@pytest.mark.parametrize(
    ("names", "overrides", "said", "first", "second"),
    [
        (NAMES, {"bag": "coat"}, "coat", "bag", "coat"),
        (NAMES, {"bag": "coat", "ankle boot": "coat"}, "coat", "ankle boot", "bag"),
        (("apple_pie", "bag", "apple pie"), {}, "apple pie", "apple_pie", "apple pie"),
        (("n02690373", "airliner"), {}, "airliner", "n02690373", "airliner"),
        (("1.dog", "2.dog"), {}, "dog", "1.dog", "2.dog"),
        (("bag", "bag"), {}, "bag", "bag", "bag"),
    ],
)
def test_two_classes_of_equal_words_are_refused(
    names: tuple[str, ...], overrides: dict[str, str], said: str, first: str, second: str
) -> None:
    """They would be the same images."""
    with pytest.raises(ParameterError) as caught:
        words.for_classes(names, overrides)
    what = f"prompts would call two classes {said!r}: {first!r} and {second!r}"
    assert str(caught.value) == f"{what}: {WHERE}: give one of them other words"


@given(st.lists(st.from_regex(r"[ab _.-]{1,4}|n0269037[3-5]", fullmatch=True), min_size=1, max_size=6, unique=True))
def test_distinct_names_stay_distinct_or_are_refused(names: list[str]) -> None:
    try:
        made = words.for_classes(names, {})
    except ParameterError:
        assert len({words.spoken(name) for name in names}) < len(names)
    else:
        assert len(set(made)) == len(names)


def test_a_number_is_refused_where_images_of_it_are_asked_for() -> None:
    names = ("0", "7", "bag", "label_3")
    words.check_named(names, {}, [False, False, True, False])
    words.check_named(names, {"7": "the digit 7"}, [False, True, True, False])
    with pytest.raises(ParameterError) as caught:
        words.check_named(names, {}, [False, True, True, True])
    assert str(caught.value) == (
        "a model cannot know what to draw for '7', 'label_3': params.yaml, data.class_names: "
        "say in data.class_names what the classes show, or in generate.class_overrides, e.g. {'7': cat}"
    )


def test_of_many_numbers_ten_are_named() -> None:
    names = [str(i) for i in range(100)]
    with pytest.raises(ParameterError, match="'8', '9' and 90 more: "):
        words.check_named(names, {}, [True] * 100)


def test_the_line_that_shows_words() -> None:
    assert list(words.lines(NAMES, NAMES)) == []
    names = ("apple_pie", "bag", "n02690373")
    assert list(words.lines(names, words.for_classes(names, {}))) == [
        "prompts say 'apple pie' for 'apple_pie', 'airliner' for 'n02690373'"
    ]


OVERRIDES = {"bag": "hand, bag", "7": "the digit 7"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("own.yaml", "bag: hand, bag\n7: the digit 7\n"),
        ("own.json", json.dumps(OVERRIDES)),
        ("own.csv", 'bag,"hand, bag"\n\n7,the digit 7\n'),
        ("own.csv", '\ufeffclass name,words\r\nbag,"hand, bag"\r\n7,the digit 7\r\n'),
    ],
)
def test_overrides_come_from_a_file_too(workspace: Workspace, document: dict[str, Any], name: str, text: str) -> None:
    Path(name).write_text(text, encoding="utf-8", newline="")
    for either in (name, OVERRIDES):
        read = params.GenerateParams.model_validate(document["generate"] | {"class_overrides": either})
        assert words.read(workspace, read) == OVERRIDES


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("own.yaml", "- bag\n", "not a mapping of class names to words (write {class name: words}, or the path of"),
        ("own.yaml", "bag handbag\n", "not a mapping of class names to words: own.yaml: write one line for each"),
        ("own.yaml", "bag: 7\n", "the words for class 'bag' are 7: write a text, in quotes if it is a number"),
        ("own.yaml", "bag: ' '\n", "the words for class 'bag' are ' '"),
        ("own.yaml", "no: nay\n", "YAML reads the class name False as another value: write it in quotes"),
        ("own.yaml", "bag: a\nbag: b\n", "two keys 'bag'"),
        ("own.yaml", "a: [\n", "not readable as YAML"),
        ("own.json", "[" * 100_000, "not a mapping of class names to words (maximum recursion depth"),
        ("own.json", '{"bag": "a", "bag": "b"}', "two lines for class 'bag'"),
        ("own.json", "{", "not a mapping of class names to words (Expecting property name"),
        ("own.csv", "bag,a\nbag,b\n", "two lines for class 'bag'"),
        ("own.csv", "bag,hand,bag\n", "a line of 3 columns: bag,hand,bag; write: class name,words"),
        ("own.csv", 'bag,"hand', "not a mapping of class names to words (unexpected end of data)"),
    ],
)
def test_a_file_of_another_kind_is_one_line(
    workspace: Workspace, document: dict[str, Any], name: str, text: str, message: str
) -> None:
    Path(name).write_text(text, encoding="utf-8")
    read = params.GenerateParams.model_validate(document["generate"] | {"class_overrides": name})
    with pytest.raises(ParameterError) as caught:
        words.read(workspace, read)
    assert message in str(caught.value)
    assert caught.value.where.startswith(name)
    assert "\n" not in str(caught.value)


@given(st.text(min_size=1), st.text(min_size=1).filter(str.strip))
@example("=a\n\u2028b", '"x",\r\n')
def test_the_columns_of_the_deficits_table_are_such_a_file(name: str, said: str) -> None:
    """Also where a name has line ends, or would be a formula."""
    assume(name != "class name")
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["class name", "words"], [printable.csv_cell(name), printable.csv_cell(said)]])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.csv")
        path.write_text(buffer.getvalue(), encoding="utf-8", newline="")
        read = params.GenerateParams(model="m", class_overrides=str(path))
        assert words.read(Workspace(), read) == {name: said}


def test_a_file_that_is_not_there(workspace: Workspace, document: dict[str, Any]) -> None:
    read = params.GenerateParams.model_validate(document["generate"] | {"class_overrides": "nowhere.csv"})
    with pytest.raises(ParameterError, match=r"^no such file: params.yaml, .*overrides = 'nowhere.csv': "):
        words.read(workspace, read)
