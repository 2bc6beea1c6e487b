"""Headers of partitions and holdings that no stage wrote: one line, whatever JSON they hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.artifacts import holdings, partition
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Partition, Source
from pipeline.errors import ArtifactError

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10)
documents = st.recursive(scalars, lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=5), some))
LOADS: dict[str, Callable[[Path], Partition | Holdings]] = {"partition": partition.load, "holdings": holdings.load}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A partition, and holdings, of two clients."""
    rows, two = np.arange(4), np.array([0, 0, 1, 1], np.int32)
    places = {name: tmp_path / name for name in LOADS}
    mean, std = (128.0,) * 3, (64.0,) * 3
    Partition(rows, two, two, ("bag", "coat"), 2, 16, "abc", Source("a", 4), mean, std).save(places["partition"])
    sources, held = {"real": Source("a", 4)}, {"real": (rows[:2], rows[2:])}
    samples, counts, own = {"epochs": np.array([2, 2])}, np.array([[2, 0], [0, 2]]), np.array([2, 2])
    made = Holdings("none", sources, held, samples, own, mean, std, None, ("bag", "coat"), 16, counts)
    made.save(places["holdings"])
    return places


def rewritten(path: Path, text: str) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"gen-fedsd": text}), path)


def header(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pq.read_schema(path).metadata[b"gen-fedsd"])
    return found


@pytest.mark.parametrize("name", LOADS)
@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "5", "null", "", "{", "{}", '"text"', '{"class_names": {}}'])
def test_a_header_that_is_none_is_one_line(files: dict[str, Path], name: str, text: str) -> None:
    rewritten(files[name], text)
    with pytest.raises(ArtifactError, match=r"damaged or not ours|another version") as raised:
        LOADS[name](files[name])
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize("name", LOADS)
@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5), documents)
@example(0, 5)
def test_a_value_of_another_type_is_one_line(files: dict[str, Path], name: str, at: int, value: object) -> None:
    """One entry is replaced; what is read then has that entry."""
    path = files[name]
    before = path.read_bytes()
    described = header(path)
    key = sorted(described)[at % len(described)]
    rewritten(path, json.dumps({**described, key: value}))
    try:
        read = LOADS[name](path)
    except ArtifactError:
        return
    finally:
        path.write_bytes(before)
    assert type(read.image_size) is int
    assert all(type(text) is str for text in read.class_names)
