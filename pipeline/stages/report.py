"""Stage ``report``: one page for people, and the same numbers as DVC metrics and plots."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pipeline import atomic, paths, progress
from pipeline.artifacts import deficits, history, manifest, partition
from pipeline.artifacts.history import Round
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.partition import Partition
from pipeline.data import images
from pipeline.data.images import Images
from pipeline.params import Params
from pipeline.reporting import contact_sheet, figures, page, summary
from pipeline.reporting.summary import Arm

_SHARING = {"own": "each client has its own (sharing: own)", "common": "clients share them (sharing: common)"}

Histories = dict[str, dict[str, list[Round]]]


def run(params: Params) -> None:
    """Read what the other stages left, write the page, the metrics and the curves."""
    federated: Histories = {
        algorithm: {
            fill: history.load(paths.run(fill, algorithm) / "history.csv", "train") for fill in params.train.fills
        }
        for algorithm in params.train.algorithms
    }
    central = {
        name: history.load(paths.CENTRAL / name / "history.csv", "central")
        for name in ("real", "synthetic")
        if (paths.CENTRAL / name).is_dir()
    }
    made_from = atomic.sha256(paths.MANIFEST)
    numbers = summary.summarise(federated, central, params.report.target_accuracy, made_from)
    arms = {algorithm: summary.arms(histories) for algorithm, histories in federated.items()}
    _write_curves(arms)
    atomic.write_text(paths.REPORT_METRICS, json.dumps(numbers, indent=2) + "\n")
    atomic.write_text(paths.REPORT_PAGE, page.render(_values(params, numbers, arms)))
    progress.say(f"report: {paths.REPORT_PAGE}")


def _write_curves(arms: dict[str, dict[str, dict[str, Arm]]]) -> None:
    """Write mean accuracy by round, a column for each arm."""
    columns = {
        f"{algorithm} {fill} {budget}": {number: mean for number, mean, _, _ in arm.curve()}
        for algorithm, by_budget in arms.items()
        for budget, by_fill in by_budget.items()
        for fill, arm in by_fill.items()
    }
    rounds = sorted({number for column in columns.values() for number in column})
    with atomic.replacing(paths.REPORT_CURVES) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["round", *columns])
        writer.writerows([number, *(round(column[number], 4) for column in columns.values())] for number in rounds)


def _values(params: Params, numbers: dict[str, Any], arms: dict[str, dict[str, dict[str, Arm]]]) -> dict[str, Any]:
    """Return what the page's template names."""
    split, shards, lacking = partition.load(), manifest.load(), deficits.load()
    real = images.load(params.data, params.data.train)
    split.check_source(real.fingerprint, params.data.path)
    references = {name: interval["mean"] for name, interval in numbers["central"].items()}
    titles = {"epochs": "equal epochs", "steps": "equal steps"}
    weights = next(iter(next(iter(arms.values()))["epochs"].values()))
    first = next(iter(weights.runs.values()))[0]
    chosen = params.train.clients_per_round or split.client_count
    return {
        "clients": split.client_count,
        "class_names": split.class_names,
        "scheme": _scheme(params),
        "headline": _headline(numbers),
        "tables": {algorithm: summary.table(numbers, algorithm) for algorithm in arms},
        "test_images": f"{len(images.load(params.data, params.data.test).labels):,}",
        "seeds": len(params.train.seeds),
        "epochs": "once" if params.train.local_epochs == 1 else f"{params.train.local_epochs} times",
        "central_steps": f"{params.train.central_steps:,}",
        "central": {name: summary.percent(interval) for name, interval in numbers["central"].items()},
        "curves": [
            [figures.curves(by_fill, f"{algorithm}, {titles[budget]}", references) for budget, by_fill in both.items()]
            for algorithm, both in arms.items()
        ],
        "target": f"{100 * params.report.target_accuracy:.0f} %",
        "costs": _costs(numbers, list(arms), len(params.train.seeds)),
        "weight_bytes": f"{first.bytes_down // chosen:,}",
        "shard_megabytes": f"{sum(shard.bytes for shard in shards.shards) / 1e6:.1f}",
        "maps": figures.heat_maps(lacking.have, lacking.have + lacking.missing, split.class_names),
        "sheet": figures.png(_sheet(params, split, shards, real)),
        "settings": _settings(params, split, shards),
        "times": _times(),
    }


def _scheme(params: Params) -> str:
    choice = params.partition
    return {
        "dirichlet": f"Dirichlet({choice.alpha:g}) label shares",
        "labels": f"{choice.labels_per_client} classes a client",
        "quantity": f"Dirichlet({choice.alpha:g}) sizes",
        "iid": "IID",
    }[choice.scheme]


def _headline(numbers: dict[str, Any]) -> str:
    """Say in one sentence what the first algorithm's paired differences are."""
    algorithm = summary.algorithms(numbers)[0]
    parts = [
        f"{summary.percent(gain['none'], signed=True)} points at equal {budget}"
        for budget in summary.BUDGETS
        if "none" in (gain := numbers[algorithm][budget].get("synthetic_minus", {}))
    ]
    return f"Against no fill, the synthetic fill changes {algorithm} by {' and '.join(parts)}." if parts else ""


def _costs(numbers: dict[str, Any], algorithms: list[str], seeds: int) -> list[list[str]]:
    rows = []
    for algorithm in algorithms:
        for budget in summary.BUDGETS:
            for fill, arm in numbers[algorithm][budget].items():
                if fill != "synthetic_minus":
                    reached = arm["seeds_at_target"]
                    means = (
                        [f"{arm['rounds_to_target']:.1f}", f"{arm['megabytes_to_target']:.1f}"]
                        if reached
                        else ["-", "-"]
                    )
                    rows.append([algorithm, fill, f"equal {budget}", f"{reached} of {seeds}", *means])
    return rows


def _sheet(params: Params, split: Partition, shards: Manifest, real: Images) -> Image.Image:
    """Draw real images of each class beside synthetic ones, the latter from as many clients as possible."""
    most = params.report.images_per_class
    rows: dict[str, list[list[Image.Image]]] = {}
    chosen = [shard for shard in shards.shards[: 2 * most] if shard.rows]
    by_client = [contact_sheet.by_class(shard.paths, split.class_names, most) for shard in chosen]
    for label, name in enumerate(split.class_names):
        held = split.rows[split.labels == label]
        shown = held[np.linspace(0, len(held) - 1, min(most, len(held))).astype(int)] if len(held) else []
        turns = [images[name][turn] for turn in range(most) for images in by_client if len(images[name]) > turn]
        rows[name] = [[real.picture(row) for row in shown], turns[:most]]
    return contact_sheet.draw(rows, ["real", "synthetic"])


def _settings(params: Params, split: Partition, shards: Manifest) -> dict[str, str]:
    recipe, train = shards.recipe_text, params.train
    seed = params.partition.seed_under(params.seed)
    chosen = "all" if train.clients_per_round is None else str(train.clients_per_round)
    return {
        "real images": f"{len(split.rows):,} of {params.data.path}, fingerprint {split.fingerprint}",
        "partition": f"{_scheme(params)}, {split.client_count} clients, seed {seed}",
        "deficits": f"{params.deficits.rule}, ratio {params.deficits.ratio:g}",
        "synthetic images": f"{shards.rows:,}, {_SHARING[shards.sharing]}",
        "model": f"{params.generate.model} ({recipe['model'][:24]}...)",
        "sampling": f"{recipe['steps']} steps, guidance {_scales(recipe['guidance'])}, {recipe['dtype']}",
        "prompts": _prompts(recipe["prompts"]),
        "recipe": shards.recipe,
        "training": f"{train.model}, {train.rounds} rounds, clients a round: {chosen}",
        "local training": f"{train.local_epochs} epochs, batch {train.batch_size}, SGD {train.learning_rate:g}, "
        f"momentum {train.momentum:g}, weight decay {train.weight_decay:g}",
        "seeds": ", ".join(str(seed) for seed in train.seeds),
    }


def _scales(values: Sequence[float]) -> str:
    return f"{values[0]:g}" if len(values) == 1 else f"one of {len(values)} scales from {values[0]:g} to {values[-1]:g}"


def _prompts(described: Mapping[str, Sequence[str]]) -> str:
    """Return the one sentence, or the first template and how many sentences there are."""
    first, count = described["templates"][0], math.prod(len(values) for values in described.values())
    return first if count == 1 else f"one of {count} sentences, such as: {first}"


def _times() -> dict[str, str]:
    found = sorted(paths.TIMINGS.glob("*.json"))
    return {file.stem: f"{json.loads(file.read_text(encoding='utf-8'))['seconds']:.0f} s" for file in found}
