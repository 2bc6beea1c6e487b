from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.clients import owners
from pipeline.clients.assignment import Assignment
from pipeline.clients.owners import Split
from pipeline.data.labels import natural
from pipeline.errors import ParameterError
from pipeline.params import PartitionParams

SOME = settings(max_examples=40)


def column(*values: Any) -> np.ndarray[Any, Any]:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def split(rows: Sequence[int], count: int, files: Sequence[str] | None = None, **columns: Sequence[Any]) -> Split:
    return Split(np.array(rows), count, lambda name: column(*columns[name]), lambda: files)


def listed(clients: Sequence[str], keys: Sequence[Any], kind: Literal["row", "file"] = "row") -> Assignment:
    return Assignment(kind, [str(key) for key in keys], clients, "owners.csv", range(2, 2 + len(keys)))


def test_each_value_of_a_column_is_a_client_in_natural_order() -> None:
    found = owners.by_column(column("writer 10", "writer 2", "ann", "writer 10"), "writer")
    assert found.clients.tolist() == [2, 1, 0, 2]
    assert (found.count, found.names) == (3, ("ann", "writer 2", "writer 10"))


def test_numbers_in_a_column_are_ordered_as_numbers() -> None:
    found = owners.by_column(column(10, -3, 9, 10), "hospital")
    assert found.clients.tolist() == [2, 0, 1, 2]
    assert found.names == ("-3", "9", "10")


def test_a_column_of_client_numbers_needs_no_names() -> None:
    found = owners.by_column(column(2, 0, 1, 0), "client")
    assert (found.clients.tolist(), found.names) == ([2, 0, 1, 0], None)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (("a", None, float("nan"), " "), "3 of 4 images have no value: column 'w': fill them in"),
        (("a", {"x": 1}), "a value of type dict names no client: column 'w'"),
        ((b"a", "b"), "a value of type bytes names no client"),
    ],
)
def test_a_column_that_does_not_name_a_client_for_every_image_is_refused(values: tuple[Any, ...], match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        owners.by_column(column(*values), "w")


def test_another_number_of_clients_than_expected_is_refused() -> None:
    assert owners.by_column(column("a", "b"), "w", 2).count == 2
    with pytest.raises(
        ParameterError, match=r"3 clients, but column 'w' has 2: params.yaml, partition.clients: write 2"
    ):
        owners.by_column(column("a", "b"), "w", 3)
    with pytest.raises(ParameterError, match=r"3 clients, but owners.csv has 2"):
        owners.by_assignment(listed(["a", "b"], [0, 1]), split(range(4), 4), 3)


def test_only_rows_that_a_client_can_hold_count() -> None:
    """Row 1 is bad or held out: its writer is no client."""
    params = PartitionParams.model_validate({"scheme": "column", "column": "writer"})
    found = owners.given(params, split([0, 2, 3], 4, writer=["b", "x", "a", "b"]), Path())
    assert found is not None
    assert (found.clients.tolist(), found.names) == ([1, 0, 1], ("a", "b"))


def test_schemes_that_draw_have_no_owners() -> None:
    params = PartitionParams.model_validate({"scheme": "iid", "clients": 3})
    assert owners.given(params, split([0], 1), Path()) is None


def test_rows_get_the_client_that_the_file_says_and_the_others_nobody() -> None:
    """Of six rows four can be held: 0, 1, 2 and 5. The file lists 5, 0 and 4, which is bad or held out."""
    found = owners.by_assignment(listed(["b", "a", "b"], [5, 0, 4]), split([0, 1, 2, 5], 6))
    assert found.clients.tolist() == [0, -1, -1, 1]
    assert found.names == ("a", "b")
    assert found.remarks == (
        "2 images that owners.csv does not list are left out",
        "1 images that owners.csv lists are left out: they are held out for testing, or cannot be read",
    )


def test_files_get_their_client() -> None:
    files = ["cat/1.png", "cat/2.png", "dog/1.png"]
    entries = listed(["1", "0"], ["dog/1.png", "cat/1.png"], "file")
    assert owners.by_assignment(entries, split([0, 1, 2], 3, files)).clients.tolist() == [0, -1, 1]


def test_whole_numbers_are_clients_and_gaps_are_clients_without_images_if_there_are_to_be_so_many() -> None:
    """Clients 3, 0 and 1 of four; without a number of clients they are three, named 0, 1 and 3."""
    entries, rows = listed(["3", "0", "1"], [0, 1, 2]), split(range(3), 3)
    four, three = owners.by_assignment(entries, rows, 4), owners.by_assignment(entries, rows)
    assert (four.clients.tolist(), four.count, four.names) == ([3, 0, 1], 4, None)
    assert (three.clients.tolist(), three.count, three.names) == ([2, 0, 1], 3, ("0", "1", "3"))


@pytest.mark.parametrize(
    ("entries", "match"),
    [
        (listed(["0", "1"], [7, 7]), "row '7' is listed twice: owners.csv, line 2 and owners.csv, line 3: list each"),
        (
            listed(["0", "1", "1"], [7, 10, -1]),
            "2 rows are not in the training split, the first: '10': owners.csv, line 3: rows are 0 to 9",
        ),
        (listed(["0"], ["1.5"]), "1 rows are not in the training split, the first: '1.5'"),
        (listed(["0"], ["9" * 30]), "1 rows are not in the training split"),
        (
            listed(["0"], ["x.png"], "file"),
            "1 files are not in the training split, the first: 'x.png': owners.csv, line 2",
        ),
        (listed(["0"], [1]), "lists no image that can be used: owners.csv"),
    ],
)
def test_entries_that_name_no_image_or_one_twice_are_refused(entries: Assignment, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        owners.by_assignment(entries, split([7], 10, [f"{i}.png" for i in range(10)]))


def test_a_file_column_needs_images_that_are_files() -> None:
    with pytest.raises(ParameterError, match=r"the images of the data set are no files: owners.csv, column file"):
        owners.by_assignment(listed(["0"], ["a"], "file"), split([0], 1))


@SOME
@given(st.lists(st.text("ab1290", min_size=1, max_size=4), min_size=1, max_size=30))
def test_every_row_has_the_client_of_its_name(names: list[str]) -> None:
    """By column and by assignment alike; clients are numbered in natural order without a gap."""
    by_column = owners.by_column(column(*names), "w")
    by_file = owners.by_assignment(listed(names, range(len(names))), split(range(len(names)), len(names)))
    for found in (by_column, by_file):
        shown = found.names or tuple(str(i) for i in range(found.count))
        assert [shown[client] for client in found.clients] == names
        assert list(shown) == sorted(set(names), key=natural)
