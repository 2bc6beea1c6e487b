"""The columns of a sweep's two tables, and how values look in them."""

import json

import pyarrow as pa

from pipeline.reporting.measures import ClientSpread, RunMeasures

SKEW = ("hellinger", "jensen_shannon", "total_variation", "effective_classes", "missing_cells", "gini")
QUALITY = "quality_"
"""What names of columns begin with that come from the evaluation of images."""
QUALITY_TEXTS = tuple(f"{QUALITY}{name}" for name in ("verdict", "judge", "extractor"))
"""Those that hold texts: the verdict, and the name and the digest of who judged and of whose features were compared."""

RUN = {
    "train_seed": pa.int64(),
    "fill": pa.string(),
    "kind": pa.string(),
    "algorithm": pa.string(),
    "budget": pa.string(),
    "central": pa.bool_(),
}
"""What a run of a cell is known by; ``central``: one model is trained in one place, not in rounds."""
PARTITION = {"partition_seed": pa.int64(), "partition_digest": pa.string()}
"""The seed is the cell's; the digest stands for who holds which image, so equal ones are one partition."""
_INTEGERS = ("primary_rounds", "rounds", "bytes_down", "bytes_up")
MEASURES = {
    name: pa.int64() if name in _INTEGERS else pa.float64()
    for name in (
        *(name for name in RunMeasures.__dataclass_fields__ if name != "clients"),
        *(f"clients_{name}" for name in ClientSpread.__dataclass_fields__),
    )
}
TARGET = {"target": pa.float64(), "target_round": pa.int64(), "target_bytes": pa.int64()}
"""The accuracy whose cost is measured; round and bytes are missing if the run never reached it."""
ALONE = {
    name: pa.float64()
    for name in (
        *("alone_own", "alone_whole", "alone_better", "alone_better_whole"),
        *(f"alone_clients_{name}" for name in ClientSpread.__dataclass_fields__),
    )
}
"""Clients that each train alone, missing if they did not: means over clients, on their own labels and on all test
images; shares of clients that the run makes better off, by either accuracy; the distribution on their own labels.
"""
IMAGES = {name: pa.int64() for name in ("images_real", "images_added", "images_dropped", "image_bytes")}
"""``image_bytes``: size of all clients' synthetic images, 0 for a fill that has none."""
SKEWS = {f"{when}_{name}": pa.float64() for when in ("real", "skew", "floor") for name in SKEW}
"""``real_``: of the clients' real images; ``skew_``: of what they hold with the fill; ``floor_``: expected of IID
clients that hold as many images as with the fill.
"""
RESULTS = {"partition_digest": PARTITION["partition_digest"]} | RUN | MEASURES | TARGET | ALONE | IMAGES | SKEWS
CURVES = {name: kind for name, kind in RUN.items() if name not in ("kind", "central")} | {
    "round": pa.int64(),
    "accuracy": pa.float64(),
    "bytes": pa.int64(),
}
CELL = {"sweep": pa.string(), "cell": pa.int64(), "digest": pa.string()}
NAMES = frozenset({*CELL, *PARTITION, *RESULTS, *CURVES})
"""No axis may have one of these names."""


def text(value: object) -> str:
    """Return a value of a sweep file as a table has it: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
