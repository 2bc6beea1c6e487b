from dataclasses import replace

import numpy as np
import pytest

from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.partition import Partition, Source
from pipeline.reporting import kinds
from pipeline.reporting.kinds import Kind

REAL, MADE = Source("real", 9), Source("made", 4)
SPLIT = Partition(
    rows=np.array([0, 4, 2]),
    clients=np.array([0, 0, 1], np.int32),
    labels=np.array([0, 1, 1], np.int32),
    class_names=("cat", "dog"),
    client_count=2,
    image_size=8,
    fingerprint="f",
    source=REAL,
    mean=(0.0,) * 3,
    std=(1.0,) * 3,
)
"""Client 0 holds the rows 0 and 4, client 1 the row 2; nobody holds the others."""


def held(sources: dict[str, Source], **rows: list[list[int]]) -> Holdings:
    found = {name: tuple(np.array(own, np.int64) for own in each) for name, each in rows.items()}
    count = len(next(iter(found.values())))
    samples, own, counts = {"steps": np.ones(count, np.int64)}, np.ones(count, np.int64), np.zeros((count, 2), np.int64)
    return Holdings("x", sources, found, samples, own, (0.0,) * 3, (1.0,) * 3, None, ("cat", "dog"), 8, counts)


@pytest.mark.parametrize(
    ("holdings", "kind"),
    [
        (held({"real": REAL}, real=[[0, 4], [2]]), "control"),
        (held({"real": REAL}, real=[[0, 0, 4, 4], [2]]), "control"),
        (held({"real": REAL}, real=[[4], []]), "control"),
        (held({"real": REAL, "mixed": MADE}, real=[[0, 4], [2]], mixed=[[0, 1], [2, 3]]), "control"),
        (held({"real": REAL, "synthetic": MADE}, real=[[0, 4], [2]], synthetic=[[], [3]]), "synthetic"),
        (held({"real": REAL, "synthetic-gated": MADE}, **{"real": [[0, 4], [2]], "synthetic-gated": [[], [3]]}),
         "synthetic"),
        (replace(held({"real": REAL}, real=[[0, 4], [2]]), start="central-synthetic"), "synthetic"),
        (held({"real": REAL, "synthetic": MADE}, real=[[0, 4], [2]], synthetic=[[], []]), "control"),
        (held({"real": REAL, "synthetic": MADE}, real=[[2, 4], [0]], synthetic=[[1], []]), "synthetic"),
        (held({"real": REAL}, real=[[0, 2], [4]]), "bound"),
        (held({"real": REAL, "unused": REAL}, real=[[0, 4], [2]], unused=[[8], []]), "bound"),
        (held({"real": REAL}, real=[[0, 2, 4]]), "bound"),
        (held({"synthetic": MADE}, synthetic=[[0, 1, 2, 3]]), "synthetic"),
    ],
    ids=["none", "copies", "surplus dropped", "made of own images", "synthetic", "gated", "warm-up",
         "nothing lacks", "both", "iid", "real",
         "central-real", "central-synthetic"],
)  # fmt: skip
def test_what_clients_hold_decides_the_kind(holdings: Holdings, kind: Kind) -> None:
    assert kinds.of(holdings, SPLIT) == kind
