from pathlib import Path

import numpy as np

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Source
from pipeline.data.arrays import Stored
from pipeline.fills.common.held import label_counts


def test_labels_of_all_sources_are_counted_at_each_client() -> None:
    """Client 0 holds rows 0, 2 and 2 of the first source (labels 0, 2, 2) and row 1 of the other (label 1).

    Client 1 holds nothing of the first and rows 0 and 1 of the other (labels 2, 1); client 2 holds nothing.
    """
    none = np.empty(0, np.int64)
    sources = {
        "real": Stored(Path("a"), np.array([0, 1, 2]), ""),
        "more": Stored(Path("b"), np.array([2, 1]), ""),
    }
    held = Holdings(
        fill="mine",
        sources={name: Source(name, len(stored)) for name, stored in sources.items()},
        rows={"real": (np.array([0, 2, 2]), none, none), "more": (np.array([1]), np.array([0, 1]), none)},
        steps={"epochs": np.array([1, 1, 1])},
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        rounds=None,
        class_names=("cat", "dog", "owl"),
        image_size=8,
    )
    assert label_counts(held, sources).tolist() == [[1, 1, 2], [0, 1, 1], [0, 0, 0]]
