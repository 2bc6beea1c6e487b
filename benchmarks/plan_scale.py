"""How the plan and the shards scale, away from any model.

    python benchmarks/plan_scale.py            # all parts, some minutes
    python benchmarks/plan_scale.py plan
    python benchmarks/plan_scale.py shards --rows 100000

plan    1,000,000 real images of 1,000 classes, partitioned over 10,000 clients by Dirichlet(0.1), deficits for
        1,000,000 synthetic images, saved and loaded, and every image spec and digest of the plan made once
shards  a pool of 1,000,000 small images written as the shards of 100 clients, beside ``Dataset.to_parquet`` of the same
        rows from memory-mapped Arrow files, in turns
clients 2 small images for each of 10,000 clients written as their shards; the last thousand takes as long as the first

Prints one line of JSON: seconds, rows per second, and peak memory in MB, each part measured in a process of its own.
"""

import argparse
import io
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
CLASSES, CLIENTS, IMAGES = 1_000, 10_000, 1_000_000
SHARDS, IMAGE_BYTES, TURNS = 100, 700, 3
SHARDS_FOLDER = Path("data/shards")
EACH = 2  # images of each of very many clients


def recipe() -> Any:
    """Return a recipe; no model is loaded."""
    from pipeline.generation.prompts import load
    from pipeline.generation.recipe import Recipe

    prompts = load(ROOT / "data/prompts/diverse.yaml")
    return Recipe(1, "none", None, None, {}, 8, (1.0, 2.0), prompts, "", None, 32, "png", None, "float32", 64, False)


def plan() -> dict[str, float]:
    """Time partition, deficits and plan with their files."""
    from pipeline.artifacts import deficits as artifact
    from pipeline.artifacts.deficits import Deficits
    from pipeline.artifacts.partition import Partition, Source
    from pipeline.clients.deficits import deficits
    from pipeline.clients.partition import partition
    from pipeline.generation.plan import Plan
    from pipeline.generation.pool import Pool
    from pipeline.params import DeficitsParams, PartitionParams

    times: dict[str, float] = {}
    start = time.perf_counter()

    def lap(name: str) -> None:
        times[name] = round(time.perf_counter() - start - sum(times.values()), 2)

    labels, names = np.repeat(np.arange(CLASSES), IMAGES // CLASSES), tuple(f"class {i}" for i in range(CLASSES))
    rows, owners = partition(labels, CLASSES, PartitionParams(scheme="dirichlet", clients=CLIENTS, alpha=0.1), 1)
    order = np.lexsort((rows, owners))
    held = Partition(
        rows[order], owners[order].astype(np.int32), labels[rows[order]].astype(np.int32), names, CLIENTS, 32, "x",
        Source("x", IMAGES), (0.0,) * 3, (1.0,) * 3,
    )  # fmt: skip
    held.save(Path("partition.parquet"))
    lap("partition")
    chosen = DeficitsParams(rule="own-max", max_total=IMAGES)
    have = held.counts()
    want, missing = deficits(have, chosen, 1)
    Deficits(have, want, missing, missing * 0, names).save(Path("deficits.csv"))
    lap("deficits")
    del have, want, missing, rows, owners, order, held
    lacking = artifact.load(Path("deficits.csv"))
    lap("deficits read again")
    made = Plan(recipe(), lacking.missing, names, names, "own")
    with Pool(Path("pool.sqlite")) as pool:
        lacks = pool.lacks(made.recipe, made.wanted())
        specs = sum(1 for _ in pool.missing(made.recipe, made.wanted()))
    assert lacks == specs == IMAGES
    lap("plan: what the pool lacks")
    assert len({made.digest(client) for client in range(CLIENTS)}) == CLIENTS
    lap("plan: digests")
    return {**times, "seconds": round(time.perf_counter() - start, 2), "megabytes": _peak()}


def fill(rows: int) -> dict[str, float]:
    """Make a pool of small images, and the same rows as Arrow files."""
    import datasets

    from pipeline.artifacts import shards
    from pipeline.generation.pool import Pool, StoredImage

    noise, one, head = np.random.default_rng(0).bytes(IMAGE_BYTES + 10_000), recipe(), _head()
    specs = (one.spec(str(client), "bag", i) for client in range(SHARDS) for i in range(rows // SHARDS))

    def stored(spec: Any) -> StoredImage:
        return StoredImage(spec, head + noise[spec.seed % 10_000 :][: IMAGE_BYTES - len(head)])

    with Pool(Path("pool.sqlite")) as pool:
        start = time.perf_counter()
        while batch := [stored(spec) for spec in itertools.islice(specs, 640)]:
            pool.put(one, batch)
        seconds = time.perf_counter() - start

    def examples() -> Iterator[dict[str, Any]]:
        for client in range(SHARDS):
            for image, *others in _rows(client, rows):
                yield dict(zip(shards.COLUMNS, ({"bytes": image, "path": None}, *others), strict=True))

    features = datasets.Features.from_arrow_schema(shards.schema(("bag",)))
    datasets.Dataset.from_generator(examples, features=features, cache_dir="arrow").save_to_disk("dataset")
    return {"pool_rows_per_second": round(rows / seconds)}


def _head() -> bytes:
    """Return the start of a PNG of the recipe's size; the pool's images declare it, and are not decoded."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (32, 32)).save(buffer, "PNG")
    return buffer.getvalue()[:33]


def _rows(client: int, rows: int) -> Any:
    from pipeline.generation import assemble
    from pipeline.generation.plan import Plan
    from pipeline.generation.pool import Pool

    missing = np.zeros((SHARDS, 1), np.int64)
    missing[client] = rows // SHARDS
    with Pool(Path("pool.sqlite")) as pool:
        made = Plan(recipe(), missing, ["bag"], ["bag"], "own")
        yield from assemble._rows(pool, made, client, made.wanted_by(client))


def ours(rows: int) -> dict[str, float]:
    """Write the shards with their checksums from the pool."""
    from pipeline.generation import assemble
    from pipeline.generation.plan import Plan
    from pipeline.generation.pool import Pool

    made = Plan(recipe(), np.full((SHARDS, 1), rows // SHARDS), ["bag"], ["bag"], "own")
    start = time.perf_counter()
    with Pool(Path("pool.sqlite")) as pool:
        written = [assemble.write(pool, made, client, SHARDS_FOLDER, 500) for client in range(SHARDS)]
    assert sum(shard.rows for shard in written) == rows
    return {"rows_per_second": round(rows / (time.perf_counter() - start)), "megabytes": _peak()}


def clients() -> dict[str, float]:
    """Write the shards of very many clients, each a file of its own that is synced to the disk."""
    from pipeline.generation import assemble
    from pipeline.generation.plan import Plan
    from pipeline.generation.pool import Pool, StoredImage

    made = Plan(recipe(), np.full((CLIENTS, 1), EACH), ["bag"], ["bag"], "own")
    with Pool(Path("pool.sqlite")) as pool:
        specs = pool.missing(made.recipe, made.wanted())
        head = _head()
        images = [StoredImage(spec, head + spec.seed.to_bytes(IMAGE_BYTES - len(head))) for spec in specs]
        pool.put(made.recipe, images)
        at = [time.perf_counter()]
        for client in range(CLIENTS):
            assert assemble.write(pool, made, client, SHARDS_FOLDER, 500).rows == EACH
            at.append(time.perf_counter())
    thousands = {"first_thousand": at[1_000] - at[0], "last_thousand": at[-1] - at[-1_001]}
    return {
        "clients": CLIENTS,
        "seconds": round(at[-1] - at[0], 1),
        **{name: round(seconds, 2) for name, seconds in thousands.items()},
        "megabytes": _peak(),
    }


def peer(rows: int) -> dict[str, float]:
    """Write as many Parquet files with ``datasets``."""
    import datasets

    table = datasets.load_from_disk("dataset")
    datasets.disable_progress_bars()
    start = time.perf_counter()
    for shard in range(SHARDS):
        each = rows // SHARDS
        table.select(range(shard * each, (shard + 1) * each)).to_parquet(f"peer-{shard}.parquet")
    return {"rows_per_second": round(rows / (time.perf_counter() - start)), "megabytes": _peak()}


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(name: str, rows: int, folder: str) -> dict[str, float]:
    """Run one measurement in a fresh process."""
    environment = {**os.environ, "GEN_FEDSD_CACHE": folder, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--rows", str(rows), "--measure", name]
    answer = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return result


def shard_rates(rows: int, folder: str) -> dict[str, Any]:
    """Write the shards in turns with the peer, and a tenth of them for the memory's sake."""
    found: dict[str, Any] = dict(measure("fill", rows, folder))
    turns: dict[str, list[dict[str, float]]] = {"ours": [], "peer": []}
    for _ in range(TURNS):
        for side, each in turns.items():
            each.append(measure(side, rows, folder))
    for side, each in turns.items():
        found[side] = {key: [one[key] for one in each] for key in each[0]}
    found["megabytes_for_a_tenth"] = measure("ours", rows // 10, folder)["megabytes"]
    rates = [statistics.median(found[side]["rows_per_second"]) for side in ("ours", "peer")]
    return {**found, "ratio": round(rates[0] / rates[1], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["plan", "shards", "clients"])
    parser.add_argument("--rows", type=int, default=IMAGES, help="of the pool")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measures = {"fill": fill, "ours": ours, "peer": peer, "plan": lambda _: plan(), "clients": lambda _: clients()}
        print(json.dumps(measures[options.measure](options.rows)))
        return
    found: dict[str, Any] = {}
    for part in options.parts:
        with tempfile.TemporaryDirectory() as folder:
            run = {"shards": lambda _, *rest: shard_rates(*rest)}.get(part, measure)
            found[part] = run(part, options.rows, folder)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
