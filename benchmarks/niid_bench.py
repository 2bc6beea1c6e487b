"""The CIFAR-10 rows of NIID-Bench's table (Li et al., ICDE 2022) with 10 parties, run again with this simulator.

    python benchmarks/niid_bench.py --data FOLDER            # all eight cells, hours on a CPU; goes on where it stopped
    python benchmarks/niid_bench.py --data FOLDER --cells labels-fedavg dirichlet-fedavg
    python benchmarks/niid_bench.py --table [FILE]           # only print the table of results, docs/niid-bench.json's

FOLDER holds CIFAR-10 as train*.parquet and test*.parquet. The protocol is NIID-Bench's (data/presets/niid-bench.yaml),
what differs stands in docs/niid-bench.md. Nothing is tuned. Results go to --results, a cell as soon as it is done, with
a digest of all that decides it: checkpoint._VERSION, parameters, images. A cell whose digest is there is not run again.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline import atomic, params, paths, seeds
from pipeline.artifacts.partition import Partition
from pipeline.data import images
from pipeline.federated import arrays, experiment, workers
from pipeline.federated.checkpoint import Checkpoints
from pipeline.federated.local import Normalisation
from pipeline.federated.simulation import Run, begin, simulate
from pipeline.federated.workers import Data
from pipeline.params import DataParams
from pipeline.stages.partition import partition

SHIPPED = Path(__file__).parents[1] / "docs/niid-bench.json"
LAST = 10  # rounds that the mean is over
PRESET = params.load(Path(__file__).parents[1] / "data/presets/niid-bench.yaml")
PUBLISHED = {
    "labels": {"fedavg": (49.8, 51.2), "fedprox": (50.7, 50.4), "scaffold": (49.1, 49.4), "fednova": (46.5, 46.9)},
    "dirichlet": {"fedavg": (68.2, 62.5), "fedprox": (67.9, 65.6), "scaffold": (69.8, 68.1), "fednova": (66.8, 63.9)},
}
"""Percent: NIID-Bench's leaderboard, and the best round of Flower's baseline niid_bench, which trains without crops."""
CELLS = [f"{split}-{algorithm}" for split in PUBLISHED for algorithm in PUBLISHED[split]]


class Cell(NamedTuple):
    """One cell's run, its images, its checkpoint and its clients' numbers of images."""

    run: Run
    data: Data
    kept: Checkpoints
    sizes: list[int]

    @property
    def digest(self) -> str:
        """Of everything that decides the cell, ``checkpoint._VERSION`` among it."""
        return self.kept.path.stem


def prepare(cell: str, folder: Path) -> Cell:
    """Split the images as the cell has it; nothing is trained yet."""
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
    return Cell(made, data, Checkpoints(cell, made, data, every=1), sizes.tolist())


def run(name: str, cell: Cell, count: int) -> dict[str, Any]:
    """Carry out a cell, from its checkpoint if there is one; return its accuracies in percent, by round."""
    at = cell.kept.load() or begin(cell.run)
    start, begun = time.perf_counter(), len(at.rounds)

    def report(_: str) -> None:
        seconds = (time.perf_counter() - start) / max(1, len(at.rounds) - begun)
        shown = [f"{100 * done.accuracy:.1f}" for done in at.rounds if done.accuracy is not None][-1:]
        print(f"{name}: round {len(at.rounds)}, {' '.join(shown)} %, {seconds:.1f} s a round", flush=True)

    execution = simulate(cell.run, at, cell.kept.keep)
    ended = workers.execute({name: execution}, cell.run, cell.data, count, report)[name]
    accuracies = [round(100 * (done.accuracy or 0.0), 2) for done in ended.rounds]
    return {"digest": cell.digest, "accuracy_by_round": accuracies, "client_sizes": cell.sizes}


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
    parser.add_argument("--results", type=Path, help="where they go; default: niid-bench.json in the cache folder")
    parser.add_argument("--table", type=Path, nargs="?", const=SHIPPED, metavar="FILE", help="only print a table")
    options = parser.parse_args()
    if options.table is None and options.data is None:
        parser.error("--data is needed")
    results = options.table or options.results or paths.cache() / "niid-bench.json"
    found: dict[str, Any] = json.loads(results.read_text()) if options.table or results.is_file() else {}
    for name in [] if options.table else options.cells:
        cell = prepare(name, options.data.resolve())
        if found.get(name, {}).get("digest") != cell.digest:
            found[name] = run(name, cell, options.workers)
            atomic.write_text(results, json.dumps(found, indent=1) + "\n")
            cell.kept.forget()
    print(table(found))


if __name__ == "__main__":
    main()
