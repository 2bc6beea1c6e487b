"""The CIFAR-10 rows of NIID-Bench's table (Li et al., ICDE 2022) with 10 parties, run again with this simulator.

    python benchmarks/niid_bench.py --data FOLDER            # all eight cells, hours on a CPU; continues if stopped
    python benchmarks/niid_bench.py --data FOLDER --cells labels-fedavg dirichlet-fedavg
    python benchmarks/niid_bench.py --table [FILE]           # only print the table of results, docs/niid-bench.json's

FOLDER holds CIFAR-10 as train*.parquet and test*.parquet. The protocol is NIID-Bench's: the
preset cifar10-niid-bench, with no image generated. docs/niid-bench.md says what differs. Nothing is tuned. Results go
to --results, a cell as soon as it is done. A run in the store of finished runs is not trained again, and an interrupted
one continues.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import atomic, params
from pipeline.artifacts import history
from pipeline.artifacts import partition as partitions
from pipeline.federated.workers import ExecutionOptions
from pipeline.params import Params
from pipeline.stages import deficits, fill, partition, train
from pipeline.workspace import Workspace

SHIPPED = Path(__file__).parents[1] / "docs/niid-bench.json"
LAST = 10  # rounds that the mean is over
PRESET = params.load(Path(__file__).parents[1] / "data/presets/cifar10-niid-bench.yaml")
PUBLISHED = {
    "labels": {"fedavg": (49.8, 51.2), "fedprox": (50.7, 50.4), "scaffold": (49.1, 49.4), "fednova": (46.5, 46.9)},
    "dirichlet": {"fedavg": (68.2, 62.5), "fedprox": (67.9, 65.6), "scaffold": (69.8, 68.1), "fednova": (66.8, 63.9)},
}
"""Percent: NIID-Bench's leaderboard, and the best round of Flower's baseline niid_bench, which trains without crops."""
CELLS = [f"{split}-{algorithm}" for split in PUBLISHED for algorithm in PUBLISHED[split]]


def asked(cell: str, folder: Path) -> Params:
    """Return the parameters of a cell: the preset's, with its partition, the folder's images, and none generated."""
    scheme = cell.split("-", maxsplit=1)[0]
    return PRESET.model_copy(
        update={
            "data": PRESET.data.model_copy(update={"path": str(folder), "revision": None}),
            "deficits": PRESET.deficits.model_copy(update={"ratio": 0.0}),
            "partition": PRESET.partition.model_copy(update={"scheme": scheme}),
            "train": PRESET.train.model_copy(update={"fills": ("none",), "references": ()}),
        }
    )


def run(cell: str, workspace: Workspace, chosen: Params, count: int) -> dict[str, Any]:
    """Run the stages of a cell, which train nothing twice; return its accuracies in percent, by round."""
    algorithm = cell.split("-")[1]
    partition.run(workspace, chosen)
    deficits.run(workspace, chosen)
    fill.run(workspace, chosen, "none")
    train.run(workspace, chosen, "none", algorithm, ExecutionOptions(count, checkpoint_every=1))
    trained = history.load(workspace.run("none", algorithm))
    epochs = next(one for one in trained if one.budget == "epochs")
    accuracies = [round(100 * (done.accuracy or 0.0), 2) for done in epochs.rounds]
    sizes = partitions.load(workspace.partition).counts().sum(axis=1)
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
    parser.add_argument("--results", type=Path, help="where they go; default: niid-bench.json in the cache folder")
    parser.add_argument("--table", type=Path, nargs="?", const=SHIPPED, metavar="FILE", help="only print a table")
    options = parser.parse_args()
    if options.table is None and options.data is None:
        parser.error("--data is needed")
    cache = Workspace().cache
    results = options.table or options.results or cache / "niid-bench.json"
    found: dict[str, Any] = json.loads(results.read_text()) if options.table or results.is_file() else {}
    for name in [] if options.table else options.cells:
        workspace = Workspace(cache / "niid-bench" / name.split("-")[0])
        found[name] = run(name, workspace, asked(name, options.data.resolve()), options.workers)
        atomic.write_text(results, json.dumps(found, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
