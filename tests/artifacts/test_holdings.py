import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.artifacts import holdings, parquet
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.errors import ArtifactError

PLACE = "fills/synthetic.parquet"


def rows(*lists: list[int]) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
    return tuple(np.array(each, np.int64) for each in lists)


FEW = np.array([[2, 0], [0, 0], [0, 1]])
NOTHING = rows([], [], [])


def example() -> Holdings:
    """Three clients: the first has two real and three synthetic images, the second none, the third two real ones."""
    return Holdings(
        fill="synthetic",
        sources={"real": Source("a", 5), "synthetic": Source("b", 3)},
        rows={"real": rows([0, 1], [], [4, 3]), "synthetic": rows([0, 1, 2], [], [])},
        samples={"epochs": np.array([5, 0, 2]), "steps": np.array([7, 0, 9])},
        own=np.array([2, 0, 2]),
        mean=(100.5, 0.1, 1 / 3),
        std=(1.0, 2.0, 2 / 3),
        rounds=None,
        class_names=("bag", "coat"),
        image_size=16,
        counts=np.array([[4, 1], [0, 0], [0, 2]]),
    )


def described(held: Holdings) -> Any:
    """Return the content as lists, so that it can be compared."""
    return (
        replace(held, rows={}, samples={}, own=FEW, counts=FEW),
        held.own.tolist(),
        held.counts.tolist(),
        {name: [each.tolist() for each in of_all] for name, of_all in held.rows.items()},
        {budget: drawn.tolist() for budget, drawn in held.samples.items()},
    )


@pytest.mark.parametrize("rounds", [None, 4])
def test_round_trip_and_equal_bytes(tmp_path: Path, rounds: int | None) -> None:
    made = replace(example(), rounds=rounds)
    made.save(tmp_path / PLACE)
    first = (tmp_path / PLACE).read_bytes()
    assert described(holdings.load(tmp_path / PLACE)) == described(made)
    made.save(tmp_path / PLACE)
    assert (tmp_path / PLACE).read_bytes() == first


def test_sizes_by_hand() -> None:
    assert example().sizes().tolist() == [5, 0, 2]
    assert example().clients == 3


def test_a_row_of_the_file_is_a_client(tmp_path: Path) -> None:
    example().save(tmp_path / PLACE)
    table = pq.read_table(tmp_path / PLACE).to_pylist()
    assert table[0] == {
        "client": 0,
        "real": [0, 1],
        "synthetic": [0, 1, 2],
        "samples, equal epochs": 5,
        "samples, equal steps": 7,
        "real images of its own": 2,
        "images of each class": [4, 1],
    }


def test_a_source_of_which_nobody_has_a_row(tmp_path: Path) -> None:
    held = {"real": rows([0], [1], [2]), "synthetic": rows([], [], [])}
    made = replace(example(), rows=held, counts=np.array([[1, 0], [1, 0], [0, 1]]))
    made.save(tmp_path / PLACE)
    assert described(holdings.load(tmp_path / PLACE)) == described(made)


def test_a_missing_and_a_damaged_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / PLACE
    with pytest.raises(ArtifactError, match=r"^no such file: .*synthetic\.parquet: run: dvc repro fill$"):
        holdings.load(path)
    example().save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ArtifactError, match=r"^damaged"):
        holdings.load(path)


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """Older ones had steps in place of samples, and no version in their header."""
    path = tmp_path / PLACE
    for change in ({"version": 1}, {"version": 3}, {}):
        example().save(path)
        table = pq.read_table(path)
        header = json.loads(table.schema.metadata[b"gen-fedsd"])
        del header["version"]
        pq.write_table(table.cast(parquet.with_header(table.schema, header | change)), path)
        with pytest.raises(ArtifactError, match=r"another version of gen-fedsd: .*\.parquet: run: dvc repro fill$"):
            holdings.load(path)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        (
            {"rows": {"real": rows([0], [], [5]), "synthetic": rows([0], [], [])}, "counts": FEW},
            "a row beyond the 5 images of source 'real'",
        ),
        (
            {"rows": {"real": rows([0], [], [-1]), "synthetic": rows([0], [], [])}, "counts": FEW},
            "a row beyond the 5 images",
        ),
        ({"mean": (0.0, 256.0, 0.0)}, r"mean \(0.0, 256.0, 0.0\)"),
        ({"std": (1.0, 0.0, 1.0)}, "deviation"),
        ({"samples": {"epochs": np.array([5, 1, 2])}}, "samples of clients that hold no image"),
        ({"samples": {"epochs": np.array([5, 0, -2])}}, "samples of clients that hold no image"),
        ({"samples": {}}, "clients missing"),
        ({"counts": np.array([[4, 2], [0, 0], [0, 2]])}, "images by class are not those that clients hold"),
        ({"counts": np.array([[6, -1], [0, 0], [0, 2]])}, "images by class are not those that clients hold"),
    ],
)
def test_holdings_that_contradict_themselves_are_refused(tmp_path: Path, changes: dict[str, Any], what: str) -> None:
    replace(example(), **changes).save(tmp_path / PLACE)
    with pytest.raises(ArtifactError, match=what):
        holdings.load(tmp_path / PLACE)
