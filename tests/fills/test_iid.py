import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.artifacts.partition import Partition, Source
from pipeline.fills import iid


def split(rows: NDArray[np.int64], clients: NDArray[np.int64], labels: NDArray[np.int64], count: int) -> Partition:
    """Return a partition; what does not decide who holds what is made up."""
    return Partition(
        rows=rows,
        clients=np.sort(clients).astype(np.int32),
        labels=labels.astype(np.int32),
        class_names=tuple(map(str, range(10))),
        client_count=count,
        image_size=8,
        fingerprint="f",
        source=Source("real", 2000),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )


@settings(max_examples=40)
@given(st.integers(1, 6), st.integers(0, 40), st.integers(0, 10**6))
def test_every_image_is_dealt_once_and_no_size_changes(count: int, images: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    made = split(rng.permutation(100)[:images], rng.integers(0, count, images), np.zeros(images, np.int64), count)
    dealt = iid.dealt(made)
    assert [len(own) for own in dealt] == [len(own) for own in made.by_client()]
    assert sorted(np.concatenate(dealt).tolist()) == sorted(made.rows.tolist())
    assert all((np.diff(own) > 0).all() for own in dealt)


def test_the_skew_is_gone_and_another_partition_is_dealt_anew() -> None:
    """10 clients of 100 images of one class each hold 10 of each class afterwards, 4 deviations: 10 +- 12."""
    rows, clients = np.arange(1000), np.repeat(np.arange(10), 100)
    dealt = iid.dealt(split(rows, clients, clients, 10))
    counts = np.array([np.bincount(clients[own], minlength=10) for own in dealt])
    assert counts.max() <= 22
    again = iid.dealt(split(rows, clients, clients, 10))
    assert [own.tolist() for own in again] == [own.tolist() for own in dealt]
    other = iid.dealt(split(rows[::-1].copy(), clients, clients, 10))
    assert [own.tolist() for own in other] != [own.tolist() for own in dealt]
