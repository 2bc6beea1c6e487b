"""What a page has to bear: many fills, 100 classes with names of strangers, or next to nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from pipeline.artifacts.alone import Alone
from pipeline.artifacts.history import Participation, Round, RunHistory, for_clients
from pipeline.artifacts.holdings import Holdings
from pipeline.artifacts.manifest import File, Manifest, Shard
from pipeline.artifacts.quality import Copies, Distance, Flags, Model, Quality, Report, Spread, Usefulness
from pipeline.evaluation.network.replay import networks
from pipeline.network_params import NetworkParams
from pipeline.reporting import skew
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.kinds import Fill
from pipeline.reporting.measures import ClientSpread, measure
from pipeline.reporting.network.study import Study
from pipeline.reporting.network.study import study as study_of
from pipeline.reporting.summarise import summarise
from pipeline.reporting.summary import Summary

FILLS: Mapping[str, Any] = {
    "none": "control",
    "oversample": "control",
    "transforms": "control",
    "a-fill-with-a-very-long-name-that-somebody-wrote": "control",
    "real": "bound",
    "iid": "bound",
    "synthetic": "synthetic",
    "synthetic-gated": "synthetic",
    "synthetic-only": "synthetic",
}
CENTRAL = "central-synthetic"
STRANGE = (
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202eright to left",
    "שלום עולם",
    "衣服",
    "a class name of many words " * 5,
    "x" * 300,
    "{{ 7 * 7 }}",
    "$x_$",
    "",
)
CLIENTS = 20
NOWHERE = Path("/nowhere")


def names(count: int) -> tuple[str, ...]:
    """Return class names, the strange ones first."""
    return tuple([*STRANGE, *(f"class {i}" for i in range(count))][:count])


def run(fill: str, algorithm: str, budget: str, seed: int, classes: int, rng: np.random.Generator) -> RunHistory:
    """Return 30 rounds, tested every fifth and in the last ten."""
    end = 0.4 + 0.05 * [*FILLS, CENTRAL].index(fill) + 0.03 * (budget == "steps") + 0.02 * (algorithm == "fedadam")
    rounds = []
    for number in range(1, 31):
        taking = tuple(Participation(client, 200, 7, 248_024, 248_024) for client in range(CLIENTS))
        if number % 5 and number <= 20:
            rounds.append(Round(number, taking))
            continue
        accuracy = float(np.clip(end * (1 - np.exp(-number / 6)) + rng.normal(0, 0.02), 0, 1))
        by_class = tuple(np.clip(accuracy + rng.normal(0, 0.1, classes), 0, 1).round(4).tolist())
        rounds.append(Round(number, taking, accuracy, 1.0, by_class, accuracy + 0.02 if number == 30 else None))
    return RunHistory(fill, algorithm, budget, seed, tuple(rounds))


def counts(classes: int, rng: np.random.Generator) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the clients' images, most cells empty."""
    held = rng.multinomial(200, np.full(classes, 1 / classes), CLIENTS) * (rng.random((CLIENTS, classes)) < 0.3)
    held[:, 0] += 1
    return held.astype(np.int64)


def arms(fills: Sequence[str], algorithms: Sequence[str], seeds: Sequence[int], classes: int) -> list[ArmRuns]:
    """Return the runs of every arm, with accuracy by class and client."""
    rng = np.random.default_rng(1)
    held, made = counts(classes, rng), []
    for algorithm in algorithms:
        for budget in ("epochs", "steps"):
            for fill in fills:
                runs = {seed: run(fill, algorithm, budget, seed, classes, rng) for seed in seeds}
                seen = {
                    seed: {
                        done.number: tuple(for_clients(done.by_class, held).tolist())
                        for done in one.tested
                        if done.by_class
                    }
                    for seed, one in runs.items()
                }
                made.append(ArmRuns(algorithm, budget, fill, runs, seen))
    return made


def summary(found: Sequence[ArmRuns], class_names: Sequence[str]) -> Summary:
    """Return the numbers of arms, with clients that train alone and with skew."""
    rng = np.random.default_rng(2)
    held = counts(len(class_names), rng)
    fills = list(dict.fromkeys(arm.fill for arm in found))
    alone = [
        Alone("none", "steps", seed, client, float(rng.random()), float(rng.random()))
        for seed in (1, 2, 3)
        for client in range(CLIENTS)
    ]
    filled = {fill: held + place for place, fill in enumerate(fills)}
    central = [
        ArmRuns("fedavg", "steps", CENTRAL, {seed: run(CENTRAL, "fedavg", "steps", seed, 2, rng) for seed in (1, 2)})
    ]
    return summarise(
        found,
        central,
        target=None,
        fill="synthetic",
        fills=[
            *(Fill(fill, FILLS[fill], 11.5 if FILLS[fill] == "synthetic" else 0.0) for fill in fills),
            Fill(CENTRAL, "synthetic", 11.5),
        ],
        clients=CLIENTS,
        class_names=class_names,
        manifest="0" * 64,
        alone=alone,
        skew=skew.of_fills(held, filled, 1),
    )


def study(found: Sequence[ArmRuns], fill: str = "synthetic", **options: Any) -> Study:
    """Return what arms do on a few draws of two profiles, with shards of a megabyte a client.

    Whether ``fill`` pays is the part that takes time.
    """
    rows = tuple(np.arange(9) for _ in range(CLIENTS))
    held = {
        fill: Holdings(
            fill, {}, {"synthetic": rows} if kind == "synthetic" else {}, {}, np.zeros(CLIENTS, np.int64), (), (), None,
            (), 8, np.zeros((CLIENTS, 1), np.int64),
        )
        for fill, kind in FILLS.items()
    }  # fmt: skip
    shards = tuple(Shard(client, "p", (9,), (File("f", 9, 10**6, "0" * 64),)) for client in range(CLIENTS))
    given = NetworkParams(**{"profiles": ("world", "LAN"), "draws": 7, **options})
    controls = [fill for fill, kind in FILLS.items() if kind == "control"]
    return study_of(
        found, held, Manifest("r" * 16, {}, "own", ("a",), shards), networks(given, 1), fill=fill,
        controls=controls, target=None,
    )  # fmt: skip


def quality(class_names: Sequence[str]) -> Report:
    """Return an evaluation with every verdict."""
    rng = np.random.default_rng(3)

    def one(name: str, verdict: Any, *failures: Any) -> Quality:
        useful = Usefulness(Spread(0.712, 0.013), Spread(0.801, None), None)
        distances = (
            Distance("clipped density", float(rng.random()), float(rng.random()), 0.02, 100, "higher"),
            Distance("clipped coverage", float(rng.random()), None, None, 100, "higher"),
        )
        why = "a classifier trained on synthetic images reaches 71.2 of 80.1"
        agreed = float(rng.random())
        copies, flags = Copies(900, 0, 9, 450, 0.004, 0.002, 1, 0.013), Flags(900, 0, 0, 2, 1, 44)
        return Quality(name, 900, 500, 200, 200, useful, agreed, 0.93, distances, copies, flags, verdict, failures, why)

    verdicts: list[tuple[Any, ...]] = [
        ("good",),
        ("doubtful", "low diversity"),
        ("bad", "poor generation"),
        ("unknown",),
    ]
    classes = tuple(one(name, *verdicts[place % 4]) for place, name in enumerate(class_names))
    models = Model("trained", "ab" * 12), Model("trained", "cd" * 12)
    whole, told = one("all", "doubtful", "copies"), ("KID by class was not measured.",)
    sentence, real = "Doubtful in all: 71.2 of 80.1.", "real images that no client holds"
    return Report(sentence, whole, classes, *models, "simple-cnn", "r" * 16, real, 3, 500, {"usefulness": 0.9}, told)


def pictures(count: int, side: int = 28) -> list[Image.Image]:
    """Return grey images."""
    rng = np.random.default_rng(4)
    return [Image.fromarray(rng.integers(0, 255, (side, side), np.uint8)).convert("RGB") for _ in range(count)]


def sweep(
    axes: Mapping[str, Sequence[str]], fills: Sequence[str], partitions: int, classes: int = 3
) -> tuple[pa.Table, pa.Table]:
    """Return the tables of a sweep over one or two axes."""
    rng = np.random.default_rng(5)
    results, curves, cell = list[dict[str, Any]](), list[dict[str, Any]](), 0
    (first, values), *others = axes.items()
    for place, value in enumerate(values):
        for other in others[0][1] if others else [None]:
            setting = {first: value} | ({others[0][0]: other} if others else {})
            for partition in range(partitions):
                shift = float(rng.normal(0, 0.01))
                for algorithm in ("fedavg", "fedadam"):
                    for fill in fills:
                        one = run(fill, algorithm, "steps", 1, classes, rng)
                        key = {"train_seed": 1, "fill": fill, "algorithm": algorithm, "budget": "steps"}
                        keys = {
                            "sweep": "s",
                            "cell": cell,
                            "digest": f"{cell:08}",
                            **setting,
                            "partition_seed": partition,
                        }
                        found = measure(one, {done.number: (0.4, 0.6) for done in one.tested}).columns()
                        gain = shift + 0.02 * place * (FILLS[fill] == "synthetic")
                        found["primary"] = (found["primary"] or 0.0) + gain
                        target = {"target": 0.6, "target_round": 12 if gain > 0.03 else None}
                        more = {"target_bytes": 10**8 if target["target_round"] else None, "kind": FILLS[fill]}
                        skews = {f"{when}_{name}": 0.5 for when in ("real", "skew", "floor") for name in SKEW}
                        images = {"images_real": 2000, "images_added": 9000, "images_dropped": 0}
                        images |= {"image_bytes": 5 * 10**7 * (FILLS[fill] == "synthetic")}
                        lone = {f"alone_clients_{name}": 0.4 for name in ClientSpread.__dataclass_fields__}
                        judged = {"quality_agreement": 0.9, "quality_verdict": "good", "quality_judge": f"x {cell:064}"}
                        results.append(keys | key | more | found | target | images | lone | skews | judged)
                        curves += [
                            {**keys, **key, "round": done.number, "accuracy": (done.accuracy or 0) + gain, "bytes": 1}
                            for done in one.tested
                        ]
                cell += 1
    return pa.Table.from_pylist(results), pa.Table.from_pylist(curves)


SKEW = ("hellinger", "jensen_shannon", "total_variation", "effective_classes", "missing_cells", "gini")
