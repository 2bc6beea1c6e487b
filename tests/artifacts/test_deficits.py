from pathlib import Path

import numpy as np
import pytest

from pipeline.artifacts import deficits
from pipeline.artifacts.deficits import Deficits
from pipeline.errors import ArtifactError

PLACE = Path("data/deficits.csv")

NAMES = ("boot, high", 'the "bag"', "null")


def example() -> Deficits:
    have = np.array([[3, 0, 1], [0, 2, 2]])
    want = np.array([[3, 3, 3], [2, 2, 2]])
    return Deficits(have, want, want - have, have * 0, NAMES)


def test_round_trip(project: Path) -> None:
    """Class names with commas, quotes, and one that could pass for no value."""
    example().save(PLACE)
    loaded = deficits.load(PLACE)
    assert loaded.have.tolist() == [[3, 0, 1], [0, 2, 2]]
    assert loaded.want.tolist() == [[3, 3, 3], [2, 2, 2]]
    assert loaded.missing.tolist() == [[0, 3, 2], [2, 0, 0]]
    assert loaded.missing.dtype == np.int64
    assert loaded.class_names == NAMES


def test_class_names_that_look_like_numbers_stay_text(project: Path) -> None:
    one = np.ones((2, 2), np.int64)
    Deficits(one, one, one, one * 0, ("007", "7")).save(PLACE)
    assert deficits.load(PLACE).class_names == ("007", "7")


def test_the_file_is_one_line_for_each_client_and_label(project: Path) -> None:
    one = np.array([[1, 2]])
    Deficits(one, one + 1, one * 0 + 1, one * 0, ("bag", "coat"), ("handbag", "coat")).save(PLACE)
    lines = PLACE.read_text().replace('"', "").splitlines()
    assert lines == [
        "client,label,class name,words,have,want,missing,surplus",
        "0,0,bag,handbag,1,2,1,0",
        "0,1,coat,coat,2,3,1,0",
    ]
    assert deficits.load(PLACE).words == ("handbag", "coat")


def test_words_are_the_class_names_unless_given(project: Path) -> None:
    assert example().words == NAMES
    example().save(PLACE)
    assert deficits.load(PLACE).words == NAMES


def test_many_clients_are_written_and_read_in_pieces(project: Path) -> None:
    """600 clients are written in three pieces; the file has more than the megabyte that is read at a time."""
    have = np.arange(600 * 60).reshape(600, 60)
    names = tuple(f"class number {i}, of sixty" for i in range(60))
    Deficits(have, have + 2, have % 3, have * 0, names).save(PLACE)
    assert PLACE.stat().st_size > 1_500_000
    loaded = deficits.load(PLACE)
    assert np.array_equal(loaded.have, have)
    assert np.array_equal(loaded.want, have + 2)
    assert np.array_equal(loaded.missing, have % 3)
    assert loaded.class_names == names
    lines = PLACE.read_text().splitlines(keepends=True)
    for damaged in (
        [*lines[:20_000], *lines[20_001:]],
        [*lines[:20_000], lines[20_001], lines[20_000], *lines[20_002:]],
    ):
        PLACE.write_text("".join(damaged))
        with pytest.raises(ArtifactError, match=r"data/deficits.csv"):
            deficits.load(PLACE)


def test_a_client_that_lies_across_two_pieces_of_the_file_keeps_all_class_names(project: Path) -> None:
    names = tuple(f"class {i} " + "x" * 1_000 for i in range(1_500))
    counts = np.ones((2, 1_500), np.int64)
    Deficits(counts, counts, counts * 0, counts * 0, names).save(PLACE)
    assert deficits.load(PLACE).class_names == names


def test_a_missing_file_names_the_stage(project: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: data/deficits.csv: run: dvc repro deficits"):
        deficits.load(PLACE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], "not one row for each client and label"),
        (lambda lines: lines[:1], "not one row for each client and label"),
        (lambda lines: [], "not a deficits table"),
        (lambda lines: [lines[0], *lines[:0:-1]], "out of order"),
        (lambda lines: [lines[0].replace("missing", "gap"), *lines[1:]], "not a deficits table"),
        (lambda lines: [*lines[:-1], lines[-1] + ",1"], "not a deficits table"),
        (lambda lines: [*lines[:-1], lines[-1][:-1] + "-1"], "a negative count"),
    ],
)
def test_damage_is_an_artifact_error(project: Path, change: object, message: str) -> None:
    assert callable(change)
    example().save(PLACE)
    PLACE.write_text("".join(f"{line}\n" for line in change(PLACE.read_text().splitlines())))
    with pytest.raises(ArtifactError, match=f"{message}.*data/deficits.csv"):
        deficits.load(PLACE)


@pytest.mark.parametrize("text", ["x", ""])
def test_a_count_that_is_no_number_is_an_artifact_error(project: Path, text: str) -> None:
    example().save(PLACE)
    lines = PLACE.read_text().splitlines()
    PLACE.write_text("\n".join([*lines[:-1], lines[-1][:-1] + text]) + "\n")
    with pytest.raises(ArtifactError, match=r"data/deficits.csv"):
        deficits.load(PLACE)


def test_an_empty_cell_is_an_artifact_error(project: Path) -> None:
    example().save(PLACE)
    lines = PLACE.read_text().splitlines()
    PLACE.write_text("\n".join([*lines[:-1], lines[-1].removeprefix("1")]) + "\n")
    with pytest.raises(ArtifactError, match=r"not a deficits table .*data/deficits.csv"):
        deficits.load(PLACE)
