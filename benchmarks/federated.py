"""How fast federated rounds are simulated on two cores, against Flower, pfl, FedLab and a loop in plain PyTorch.

    make peers                               # once: installs the peers into .peers
    python benchmarks/federated.py           # all four cases, about an hour; --out FILE keeps the line of JSON
    python benchmarks/federated.py --repeats 1 --models simple-cnn --epochs 1 --only ours plain pfl   # a quick look
    python benchmarks/federated.py --table FILE   # only print the Markdown table of a line of JSON

10,000 of the shipped images, 100 clients by Dirichlet(0.1), 10 of them a round, batch 32, SGD with momentum, weighted
averaging, and a test on 2,000 images after every round; simple-cnn and ResNet-20 with group normalisation, 1 and 5
local epochs. All start from the same weights, take the same clients in each round and the same batches in the same
order, so that weights may differ only by what rounding grows to: ``weights_apart`` is the largest distance of a side's
last weights from the first side's, as a share of the way from the initial ones. Every measurement runs in a process of
its own, in turns; the first rounds and all start-up are left out. A peer's fastest setting counts.

Prints one line of JSON: seconds a round, ratios of medians to ours with two workers, accuracies (mean of the last three
timed rounds) and whether all lie within a point, peak memory of the whole process tree (proportional set size), and the
share of one worker's time inside forward, backward and optimiser. Peers' programs are in benchmarks/peers.
"""

import argparse
import contextlib
import itertools
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).parent / "peers"
IMAGES, TESTS, CORES, TOLERANCE = 10_000, 2_000, 2, 0.01
ROUNDS = {"simple-cnn": {1: (42, 2), 5: (22, 2)}, "resnet20": {1: (5, 1), 5: (3, 1)}}
"""By model and local epochs: all rounds, and those of them that come before the clock starts."""
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
SIDES: dict[str, tuple[list[str], int]] = {
    "ours, 2 workers": ([str(PEERS / "ours.py"), "2"], 1),
    "ours, 1 worker": ([str(PEERS / "ours.py"), "1"], 1),
    "plain, 1 thread": ([str(PEERS / "plain_loop.py")], 1),
    "plain, 2 threads": ([str(PEERS / "plain_loop.py")], 2),
    "pfl, 1 thread": ([str(PEERS / "with_pfl.py")], 1),
    "pfl, 2 threads": ([str(PEERS / "with_pfl.py")], 2),
    "pfl, 2 processes": ([*TORCHRUN, str(PEERS / "with_pfl.py")], 1),
    "fedlab, 1 thread": ([str(PEERS / "with_fedlab.py")], 1),
    "fedlab, 2 threads": ([str(PEERS / "with_fedlab.py")], 2),
    "flower, 2 actors": ([str(PEERS / "with_flower.py")], 2),
}
"""What Python runs, and its threads."""
OURS, KERNELS = "ours, 2 workers", "ours, kernels"
PACKAGES = {"flower": "flwr", "pfl": "pfl", "fedlab": "fedlab"}


def prepare(folder: Path) -> None:
    """Write what all sides work on: images in order of client, choices, orders of batches, initial weights."""
    import torch
    from peers.ours import CLASSES, SEED, SIZE, resolved

    from pipeline import seeds
    from pipeline.clients.partition import partition
    from pipeline.data import images
    from pipeline.federated.local import Normalisation
    from pipeline.federated.models import FlatModel
    from pipeline.federated.simulation import choose
    from pipeline.params import DataParams, PartitionParams

    source = DataParams(path=str(ROOT / "data/demo/images"))
    train, test = images.load(source, "train"), images.load(source, "test")
    params = PartitionParams(scheme="dirichlet", clients=100, alpha=0.1, min_size=1)
    rows, owners = partition(train.labels[:IMAGES], CLASSES, params, SEED)
    rows = rows[np.lexsort((rows, owners))]
    pixels = train.pixels(rows)
    norm = Normalisation.of(pixels)
    np.savez(
        folder / "work.npz",
        images=pixels,
        labels=train.labels[rows],
        test_images=test.pixels(range(TESTS)),
        test_labels=test.labels[:TESTS],
        sizes=np.bincount(owners, minlength=params.clients),
        mean=norm.mean,
        std=norm.std,
    )
    run, _ = resolved(folder, "simple-cnn", 1, 1)
    chosen = [choose(run, number) for number in range(1, 1001)]
    orders = [[seeds.derive(run.seed, "batches", n, i) for i in each] for n, each in enumerate(chosen, 1)]
    np.savez(folder / "rounds.npz", chosen=chosen, seeds=orders)
    for model in ROUNDS:
        weights = FlatModel(model, "group", CLASSES, SIZE, seeds.derive(run.seed, "weights")).state()
        torch.save(weights, folder / f"{model}.pt")


def tree(root: int) -> list[int]:
    """Return a process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def proportional(pid: int) -> int:
    """Return a process's proportional set size in kilobytes."""
    try:
        found = re.search(r"^Pss: +(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def end(pids: set[int], mark: str) -> None:
    """Kill those of these processes that carry the mark in their environment: others may have got their numbers."""
    for pid in pids:
        with contextlib.suppress(OSError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)


def measure(python: str, command: list[str], arguments: list[str], folder: Path) -> dict[str, Any]:
    """Run one measurement in a fresh process; add the peak memory of all its processes."""
    result, errors, mark = folder / "result.json", folder / "errors.txt", f"FEDERATED_BENCHMARK={folder}"
    result.unlink(missing_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": arguments[-1], "PYTHONPATH": f"{ROOT}{os.pathsep}{PEERS}"}
    environment |= {"FLWR_HOME": str(folder), "RAY_TMPDIR": str(folder), **dict([mark.split("=")])}
    with errors.open("w") as file:
        process = subprocess.Popen(
            [python, *command, *arguments, str(result)], env=environment, cwd=folder, stdout=file, stderr=file
        )
        peak, seen = 0, {process.pid}
        try:
            while process.poll() is None:
                processes = tree(process.pid)
                seen.update(processes)
                peak = max(peak, sum(map(proportional, processes)))
                time.sleep(0.5)
        finally:
            end(seen, mark)
    if not result.is_file():
        raise RuntimeError(f"{' '.join(command)} failed:\n" + errors.read_text()[-3000:])
    weights = np.load(result.with_suffix(".npy"))
    return {**json.loads(result.read_text()), "megabytes": round(peak / 1024), "weights": weights}


def compare(sides: list[str], python: dict[str, str], model: str, epochs: int, options: Any) -> dict[str, Any]:
    """Measure all sides in turns on one case."""
    import torch

    rounds, warm = ROUNDS[model][epochs]
    rounds = options.rounds or rounds
    found: dict[str, list[dict[str, Any]]] = {}
    failed: dict[str, str] = {}

    def once(command: list[str], threads: int, side: str) -> None:
        arguments = [str(options.folder), model, *map(str, (epochs, rounds, warm, threads))]
        try:
            result = measure(python[side.partition(",")[0]], command, arguments, options.folder)
        except RuntimeError as error:
            failed[side] = str(error)
            print(error, file=sys.stderr, flush=True)
            return
        found.setdefault(side, []).append(result)
        print(f"{model}, {epochs} epochs, {side}: {result['seconds']:.3f} s a round", file=sys.stderr, flush=True)

    for side in itertools.chain.from_iterable(itertools.repeat(sides, options.repeats)):
        once(*SIDES[side], side)
    if OURS in sides:
        once([str(PEERS / "ours.py"), "kernels"], 1, KERNELS)
    kernels = found.pop(KERNELS, [{"shares": {}}])[0]["shares"]
    seconds = {side: [round(each["seconds"], 4) for each in results] for side, results in found.items()}
    best: dict[str, float] = {}
    for side, values in seconds.items():
        name = side.partition(",")[0]
        best[name] = min(best.get(name, math.inf), statistics.median(values))
    reference = statistics.median(seconds[OURS]) if OURS in seconds else None
    weights = [results[-1]["weights"] for results in found.values()]
    initial = torch.load(options.folder / f"{model}.pt").values()
    start = torch.cat([tensor.reshape(-1) for tensor in initial]).numpy()
    last = {side: statistics.mean(results[-1]["accuracies"][warm:][-3:]) for side, results in found.items()}
    difference = max(last.values(), default=0.0) - min(last.values(), default=0.0)
    way = np.linalg.norm(weights[0] - start) if weights else 1.0
    return {
        "rounds": rounds - warm,
        "seconds_per_round": seconds,
        "ratio": {name: round(value / reference, 2) for name, value in best.items() if reference and name != "ours"},
        "accuracy": {side: round(value, 4) for side, value in last.items()},
        "largest_difference": round(difference, 4),
        "agree": difference <= TOLERANCE,
        "weights_apart": max((float(np.linalg.norm(each - weights[0]) / way) for each in weights), default=0.0),
        "megabytes": {side: max(each["megabytes"] for each in results) for side, results in found.items()},
        "kernel_share": round(sum(kernels.values()), 3),
        "kernel_shares": {name: round(share, 3) for name, share in kernels.items()},
        "failed": failed,
    }


def installed(python: Path) -> dict[str, str]:
    """Return the version of each peer, or why it is not there."""
    code = "import json; from importlib.metadata import distributions as d; "
    code += "print(json.dumps({each.name.lower(): each.version for each in d()}))"
    there: dict[str, str] = {}
    if python.is_file():
        there = json.loads(subprocess.run([python, "-c", code], check=True, capture_output=True).stdout)
    found = {peer: there.get(name, "not installed: run make peers") for peer, name in PACKAGES.items()}
    return {**found, "torch": there.get("torch", "none"), "blazefl": "not installed: needs Python 3.12"}


def table(result: dict[str, Any]) -> str:
    """Return a result as a Markdown table: seconds a round and, in brackets, peak megabytes."""
    cases = result["cases"]
    sides = list(dict.fromkeys(side for case in cases.values() for side in case["seconds_per_round"]))
    lines = [f"| s a round (MB) | {' | '.join(cases)} |", "| --- |" + " --- |" * len(cases)]
    for side in sides:
        found = [(case["seconds_per_round"].get(side), case["megabytes"].get(side)) for case in cases.values()]
        cells = [f"{statistics.median(seconds):.3g} ({most:,})" if seconds else "failed" for seconds, most in found]
        lines.append(f"| {side} | {' | '.join(cells)} |")
    shares = [f"{case['kernel_share']:.2f}" for case in cases.values()]
    return "\n".join([*lines, f"| ours: share in forward, backward, optimiser | {' | '.join(shares)} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    parser.add_argument("--epochs", nargs="+", type=int, choices=(1, 5), default=[1, 5])
    parser.add_argument("--only", nargs="+", help="sides whose names begin so, such as ours or 'pfl, 2 processes'")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rounds", type=int, help="in place of each case's own")
    parser.add_argument("--peers", type=Path, default=ROOT / ".peers", help="the peers' environment")
    parser.add_argument("--out", type=Path, help="write the line of JSON to this file, too")
    parser.add_argument("--table", type=Path, help="print the Markdown table of such a file and end")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text())))
        return
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, cores)
    versions = installed(options.peers / "bin/python")
    python = {"ours": sys.executable, "plain": sys.executable}
    python |= {peer: str(options.peers / "bin/python") for peer in PACKAGES if not versions[peer].startswith("not ")}
    wanted = tuple(options.only or [""])
    sides = [side for side in SIDES if side.partition(",")[0] in python and side.startswith(wanted)]
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        prepare(options.folder)
        case = partial(compare, sides, python, options=options)
        found = {f"{name}, {n} epochs": case(name, n) for name in options.models for n in options.epochs}
    line = json.dumps({"peers": versions, "cores": len(cores), "cases": found})
    print(line)
    if options.out:
        options.out.write_text(line + "\n")


if __name__ == "__main__":
    main()
