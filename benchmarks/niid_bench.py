"""The CIFAR-10 rows of NIID-Bench's table (Li et al., ICDE 2022) with 10 parties, run again with this simulator.

    python benchmarks/niid_bench.py --data FOLDER            # all eight cells, hours on a CPU; goes on where it stopped
    python benchmarks/niid_bench.py --data FOLDER --cells labels-fedavg dirichlet-fedavg
    python benchmarks/niid_bench.py --table                  # only print the table of what is there

FOLDER holds CIFAR-10 as train*.parquet and test*.parquet. The protocol is NIID-Bench's (data/presets/niid-bench.yaml),
what differs stands in docs/niid-bench.md. Nothing is tuned. Results go to docs/niid-bench.json, a cell as soon as it is
done.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import atomic, params, seeds
from pipeline.artifacts.partition import Partition
from pipeline.data import images
from pipeline.federated import arrays, experiment, workers
from pipeline.federated.checkpoint import Checkpoints
from pipeline.federated.local import Normalisation
from pipeline.federated.simulation import begin, simulate
from pipeline.federated.workers import Data
from pipeline.params import DataParams
from pipeline.stages.partition import partition

DOCS = Path(__file__).parents[1] / "docs"
LAST = 10  # rounds that the mean is over
PRESET = params.load(Path(__file__).parents[1] / "data/presets/niid-bench.yaml")
PUBLISHED = {
    "labels": {"fedavg": (49.8, 51.2), "fedprox": (50.7, 50.4), "scaffold": (49.1, 49.4), "fednova": (46.5, 46.9)},
    "dirichlet": {"fedavg": (68.2, 62.5), "fedprox": (67.9, 65.6), "scaffold": (69.8, 68.1), "fednova": (66.8, 63.9)},
}
"""Percent: NIID-Bench's leaderboard, and the best round of Flower's baseline niid_bench, which trains without crops."""
CELLS = [f"{split}-{algorithm}" for split in PUBLISHED for algorithm in PUBLISHED[split]]


def run(cell: str, folder: Path, count: int) -> dict[str, Any]:
    """Carry out one cell, from its checkpoint if there is one; return its accuracies in percent, by round."""
    scheme, algorithm = cell.split("-")
    source = DataParams(path=str(folder), watch=str(folder))
    train, test = images.load(source, "train"), images.load(source, "test")
    classes = len(train.class_names)
    asked = PRESET.partition.model_copy(update={"scheme": scheme})
    rows, owners = partition(train.labels, classes, asked, PRESET.seed)
    order = np.lexsort((rows, owners))
    rows, owners = rows[order], owners[order].astype(np.int32)
    labels = train.labels[rows].astype(np.int32)
    split = Partition(rows, owners, labels, train.class_names, asked.clients, train.image_size, train.fingerprint)
    real = arrays.real(train, split)
    data = Data(real, None, arrays.test(test), Normalisation.of(real.pixels))
    sizes = split.counts().sum(axis=1)
    clients = experiment.clients(sizes, np.zeros_like(sizes), experiment.steps_of(sizes, PRESET.train))
    seed = seeds.derive(PRESET.seed, "train", PRESET.train.seeds[0])
    made = experiment.run_of(clients, algorithm, data, classes, PRESET.train, seed)
    kept = Checkpoints(cell, made, data, every=1)
    at = kept.load() or begin(made)
    start, begun = time.perf_counter(), len(at.rounds)

    def report(_: str) -> None:
        seconds = (time.perf_counter() - start) / max(1, len(at.rounds) - begun)
        shown = [f"{100 * done.accuracy:.1f}" for done in at.rounds if done.accuracy is not None][-1:]
        print(f"{cell}: round {len(at.rounds)}, {' '.join(shown)} %, {seconds:.1f} s a round", flush=True)

    ended = workers.execute({cell: simulate(made, at, kept.keep)}, made, data, count, report)[cell]
    accuracies = [round(100 * (done.accuracy or 0.0), 2) for done in ended.rounds]
    kept.forget()
    return {"accuracy_by_round": accuracies, "client_sizes": sizes.tolist()}


def table(found: dict[str, Any]) -> str:
    """Return the results as a Markdown table beside both published columns."""
    lines = [
        f"| partition | algorithm | mean of the last {LAST} rounds | best round | NIID-Bench | Flower's re-run |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for cell in CELLS:
        scheme, algorithm = cell.split("-")
        name = {"labels": "2 labels a client", "dirichlet": "Dirichlet(0.5)"}[scheme]
        ours = "not run | not run"
        if cell in found:
            curve = found[cell]["accuracy_by_round"]
            ours = f"{np.mean(curve[-LAST:]):.1f} ± {np.std(curve[-LAST:], ddof=1):.1f} | {max(curve):.1f}"
        lines.append(f"| {name} | {algorithm} | {ours} | {' | '.join(map(str, PUBLISHED[scheme][algorithm]))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with CIFAR-10 as Parquet")
    parser.add_argument("--cells", nargs="+", default=CELLS, choices=CELLS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--table", action="store_true", help="print the table of the results that are there")
    options = parser.parse_args()
    results = DOCS / "niid-bench.json"
    found: dict[str, Any] = json.loads(results.read_text()) if results.is_file() else {}
    if not options.table:
        if options.data is None:
            parser.error("--data is needed")
        for cell in options.cells:
            if cell not in found:
                found[cell] = run(cell, options.data.resolve(), options.workers)
                atomic.write_text(results, json.dumps(found, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
