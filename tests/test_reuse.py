"""Over a sweep of partitions each image is rendered once, whichever partition comes first."""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pipeline import seeds
from pipeline.artifacts.deficits import load
from pipeline.artifacts.partition import Partition, Source
from pipeline.clients import partition as scheme
from pipeline.params import Params
from pipeline.stages import deficits, generate
from pipeline.workspace import Workspace

NAMES = ("airplane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LABELS = seeds.generator(0, "labels").permutation(np.repeat(np.arange(10), 400))
PARTITIONS: dict[str, dict[str, Any]] = {
    f"{name} over {clients}": {"clients": clients, "min_size": 1, "max_images": None, "seed": None, **scheme}
    for clients in (20, 50)
    for name, scheme in {
        "dirichlet 0.1": {"scheme": "dirichlet", "alpha": 0.1},
        "dirichlet 0.5": {"scheme": "dirichlet", "alpha": 0.5},
        "2 labels": {"scheme": "labels", "labels_per_client": 2},
    }.items()
}
PARTITIONS["dirichlet 0.1 over 20, seed 8"] = PARTITIONS["dirichlet 0.1 over 20"] | {"seed": 8}

Identity = tuple[str, str, int]


@dataclass
class Sweep:
    """What rendering for one partition after the other came to."""

    consumed: int
    """Rows of all shards."""
    needed: set[Identity]
    """Lane, class name and index of every image that some partition asks for."""
    rendered: int
    """Images ever put into the pool."""
    pool: dict[Identity, bytes]
    files: dict[str, dict[str, bytes]]
    """Of each partition, its shards and manifest."""


def run(workspace: Workspace, document: dict[str, Any], sharing: str, names: Iterable[str]) -> Sweep:
    """Render for these partitions in this order, from an empty pool."""
    shutil.rmtree(workspace.cache, ignore_errors=True)
    done = Sweep(0, set(), 0, {}, {})
    for name in names:
        document["partition"] |= PARTITIONS[name]
        document["deficits"] |= {"rule": "own-max", "max_per_client": 8}
        document["generate"] |= {"sharing": sharing, "batch_size": 16}
        params = Params.model_validate(document)
        divide(workspace, params)
        deficits.run(workspace, params)
        missing = load(workspace.deficits).missing
        for client, label in np.argwhere(missing).tolist():
            lane = str(client) if sharing == "own" else "common"
            done.needed |= {(lane, NAMES[label], i) for i in range(missing[client, label])}
        done.consumed += int(missing.sum())
        generate.run(workspace, params, ["cpu"])
        made = [*workspace.shards.iterdir(), workspace.manifest]
        done.files[name] = {str(path): path.read_bytes() for path in made}
    with closing(sqlite3.connect(workspace.pool)) as database:
        # Every image that is put gets the next row number, also one that replaces another.
        done.rendered = database.execute("select max(rowid) from images").fetchone()[0]
        rows = database.execute('select lane, class_name, "index", image from images')
        done.pool = {(lane, name, index): image for lane, name, index, image in rows}
    return done


def divide(workspace: Workspace, params: Params) -> None:
    """Write the partition of the labels, as the stage does from images."""
    rows, clients = scheme.partition(LABELS, len(NAMES), params.partition, params.seed)
    order = np.lexsort((rows, clients))
    Partition(
        rows=rows[order],
        clients=clients[order].astype(np.int32),
        labels=LABELS[rows[order]].astype(np.int32),
        class_names=NAMES,
        client_count=params.partition.drawn_clients,
        image_size=16,
        fingerprint="",
        source=Source("", len(LABELS)),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    ).save(workspace.partition)


@pytest.mark.parametrize("sharing", ["own", "common"])
def test_a_sweep_renders_the_union_of_what_its_partitions_need(
    workspace: Workspace, document: dict[str, Any], sharing: str
) -> None:
    forth = run(workspace, document, sharing, PARTITIONS)
    print(
        f"\n{sharing}: {forth.rendered} images rendered, {forth.consumed} consumed by {len(PARTITIONS)} partitions, "
        f"{forth.consumed / forth.rendered:.2f} for each rendered"
    )
    assert set(forth.pool) == forth.needed
    assert forth.rendered == len(forth.needed)
    assert forth.rendered < forth.consumed
    assert forth.files["dirichlet 0.1 over 20"] != forth.files["dirichlet 0.1 over 20, seed 8"]
    back = run(workspace, document, sharing, reversed(PARTITIONS))
    assert (back.rendered, back.consumed) == (forth.rendered, forth.consumed)
    assert back.pool == forth.pool
    assert back.files == forth.files
