"""Numbers and names of labels: one order, and pairs that no reader breaks."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import images, labels
from pipeline.data.columns import Column
from pipeline.errors import DataError
from tests.data import reading

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
MIXED = ["10", "2", "0", "11", "1", "3", "4", "5", "6", "7", "8", "9"]


def read(values: Any, names: tuple[str, ...] = ()) -> labels.Labels:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    column = Column(array.type, "ClassLabel" if names else "", names)
    return labels.read(pa.chunked_array([array[:1], array[1:]]), column, "column 'label'")


def named(values: Any, given: Any, names: tuple[str, ...] = ()) -> list[str]:
    """Return the name of each row."""
    found = read(values, names)
    classes = labels.numbering(found, given)
    return [classes.names[label] for label in classes.apply(found, "here")]


@given(st.lists(st.text("ab019 ", min_size=1).filter(str.strip), min_size=1))
def test_texts_are_in_natural_order_and_each_row_keeps_its_text(texts: list[str]) -> None:
    found = read(texts)
    assert [found.texts[code] for code in found.codes] == texts
    assert list(found.texts) == sorted(set(texts), key=labels.natural)


@given(st.integers(0, 10**20), st.integers(0, 10**20), st.text("ab", max_size=2))
def test_digits_are_compared_as_numbers(one: int, other: int, text: str) -> None:
    assert (labels.natural(f"{text}{one}x") < labels.natural(f"{text}{other}x")) == (one < other)


def test_very_long_digits_are_ordered_too() -> None:
    """Python refuses to read 5,000 digits as a number."""
    assert sorted(["9" * 5000, "1" + "0" * 5000], key=labels.natural) == ["9" * 5000, "1" + "0" * 5000]


@pytest.mark.parametrize(
    "values",
    [
        [10, 2, 0, 11, 1, 3, 4, 5, 6, 7, 8, 9],
        [10.0, 2.0, 0.0, 11.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0],
        pa.array([10, 2, 0, 11, 1, 3, 4, 5, 6, 7, 8, 9], pa.uint8()),
        MIXED,
        pa.array(MIXED).dictionary_encode(),
        pa.array(MIXED, pa.large_string()),
    ],
)
def test_a_list_of_names_is_paired_by_number(values: Any) -> None:
    assert named(values, WORDS) == [WORDS[i] for i in (10, 2, 0, 11, 1, 3, 4, 5, 6, 7, 8, 9)]
    assert named(values[:3], WORDS) == ["ten", "two", "zero"]  # a class that has no image keeps its number


@given(st.lists(st.integers(1, 4), min_size=1).filter(lambda found: max(found) == 4))
def test_numbers_from_1_are_paired_in_order_if_every_one_occurs(numbers: list[int]) -> None:
    if len(set(numbers)) == 4:
        assert named(numbers, WORDS[1:5]) == [WORDS[number] for number in numbers]
        remark = labels.numbering(read(numbers), WORDS[1:5]).remarks
        assert remark == (
            "data.class_names are paired with the labels in this order: 1 = one, 2 = two, 3 = three, 4 = four",
        )
    else:
        with pytest.raises(DataError, match=rf"4 class names for {len(set(numbers))} classes: .*\{{label: name\}}"):
            named(numbers, WORDS[1:5])
    assert named(numbers, {str(number): WORDS[number] for number in set(numbers)}) == [WORDS[n] for n in numbers]


def test_a_list_in_another_order_than_texts_renames_nothing() -> None:
    assert named(["dog", "cat", "dog"], ["dog", "cat"]) == ["dog", "cat", "dog"]
    with pytest.raises(DataError, match="the name 'dog' for the label 'cat' is the text of another label"):
        named(["dog", "cat", "cow"], ["dog", "kitten", "cow"])
    assert named(["dog", "cat"], ["kitten", "puppy"]) == ["puppy", "kitten"]


def test_a_mapping_names_some_labels_and_knows_all() -> None:
    assert named(["a", "b"], {"a": "apple"}) == ["apple", "b"]
    assert named([1, 0], {"0": "cat", "1": "dog"}, ("N", "Y")[:0]) == ["dog", "cat"]
    assert named([1, 0], {"N": "no"}, ("N", "Y")) == ["Y", "no"]
    with pytest.raises(DataError, match=r"no label 'c': params.yaml, data.class_names: the labels are a, b"):
        named(["a", "b"], {"a": "x", "c": "y"})
    for given_names in ({"a": "same", "b": "same"}, ["same", "same"], {"a": "b"}):
        with pytest.raises(DataError, match="two classes have the name"):
            named(["a", "b"], given_names)


def test_a_data_set_that_names_its_numbers_keeps_them() -> None:
    """A class without any image stays."""
    classes = labels.numbering(read([2, 0], ("zebra", "N/A", "ant")), None)
    assert classes.names == ("zebra", "N/A", "ant")
    assert named([2, 0], ["Z", "N", "A"], ("zebra", "N/A", "ant")) == ["A", "Z"]
    with pytest.raises(DataError, match="2 class names for 3 classes"):
        named([2, 0], ["a", "b"], ("zebra", "N/A", "ant"))
    with pytest.raises(DataError, match="label 3, and the data set has 3 class names"):
        read([3], ("zebra", "N/A", "ant"))


@pytest.mark.parametrize(
    "values",
    [
        [float("nan"), 1.0, None, 0.0],
        [None, 1, -1, 0],
        ["", "1", " \t", "0"],
        [None, "1", None, "0"],
        pa.array([None, "1", "", "0"]).dictionary_encode(),
        pa.array([None, 1, -1, 0]).dictionary_encode(),
    ],
)
def test_rows_without_a_label_keep_their_place(values: Any) -> None:
    """They are neither a class nor a stranger in another split."""
    found = read(values)
    assert (found.codes.tolist(), found.texts) == ([-1, 1, -1, 0], ("0", "1"))
    assert labels.numbering(found, None).apply(found, "").tolist() == [-1, 1, -1, 0]
    with pytest.raises(DataError, match="label '1' is not in the training split"):
        labels.Numbering(("0",), ("0",)).apply(found, "")


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([[0], [1, 2]], "several labels"),
        ([0.5, 1.0], r"label \[0.5\] is no whole number"),
        ([float("inf"), 1.0], r"label \[inf\] is no whole number"),
        ([float("nan"), None], "rows without a label"),
        ([None, -1], "rows without a label"),
        (["", " "], "rows without a label"),
        ([None, None], "rows without a label"),
        (pa.array([], pa.string()), "rows without a label"),
        ([b"x", b"y"], "labels of type binary"),
        ([{"a": 1}, {"a": 2}], "labels of type struct"),
        (pa.array([1, 2], pa.timestamp("s")), "labels of type timestamp"),
    ],
)
def test_what_is_no_label_is_one_line(values: Any, what: str) -> None:
    with pytest.raises(DataError, match=what):
        read(values)


def test_true_and_false_are_two_classes() -> None:
    assert named([True, False, True], ["no", "yes"]) == ["yes", "no", "yes"]


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), min_size=2, max_size=12))
def test_another_split_has_the_numbers_of_the_training_split(rows: list[tuple[int, int]]) -> None:
    """Whatever it lacks, and in whatever order its rows are."""
    train, test = read([str(one) for one, _ in rows]), read([float(other) for _, other in rows])
    classes = labels.numbering(train, None)
    strange = {other for _, other in rows} - {one for one, _ in rows}
    if strange:
        with pytest.raises(DataError, match=r"label '\d+' is not in the training split: here: remove those images"):
            classes.apply(test, "here")
    else:
        assert [classes.texts[label] for label in classes.apply(test, "here")] == [str(other) for _, other in rows]


@pytest.mark.parametrize("kind", ["folders", "texts", "numbers", "floats", "hub", "saved"])
def test_the_pairing_survives_every_reader(tmp_path: Path, kind: str) -> None:
    """Picture i has the red level 20 i, and label i; its class is named by word i."""
    numbers = [10, 2, 0, 11, 1, 3, 4, 5, 6, 7, 8, 9]
    stored = [{"bytes": reading.png((20 * number, 0, 0)), "path": None} for number in numbers]
    given_names: Any = WORDS
    if kind == "folders":
        for number in numbers:
            reading.save(tmp_path / "train" / str(number) / "1.png", (20 * number, 0, 0))
    elif kind in ("hub", "saved"):
        given_names = None
        from datasets import ClassLabel, Dataset, DatasetDict, Features, Image

        features = Features({"image": Image(), "label": ClassLabel(names=list(WORDS))})
        made = Dataset.from_dict({"image": stored, "label": numbers}, features=features)
        if kind == "saved":
            DatasetDict(train=made).save_to_disk(str(tmp_path))
        else:
            made.to_parquet(str(tmp_path / "train.parquet"))
    else:
        label = [
            str(number) if kind == "texts" else float(number) if kind == "floats" else number for number in numbers
        ]
        reading.table(tmp_path / "train.parquet", stored, label)
    split = images.load(reading.params(tmp_path, class_names=given_names), "train")
    shown = (split.pixels(range(12))[:, 0, 0, 0] // 20).tolist()
    assert sorted(shown) == list(range(12))
    assert [split.class_names[label] for label in split.labels] == [WORDS[number] for number in shown]


def test_order_of_names_is_said_as_far_as_it_is_short() -> None:
    remark = labels.numbering(read([str(i) for i in range(1, 31)]), [f"name {i}" for i in range(30)]).remarks[0]
    assert re.search("1 = name 0, 2 = name 1, .*20 = name 19, and 10 more$", remark)
    assert np.array_equal(read([3, 1, 3]).codes, [1, 0, 1])
