"""The figures of one fill and algorithm that DVC shows."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline import atomic
from pipeline.artifacts.history import RunHistory, for_clients

_KINDS = ("primary", "final", "averaged")


def save(path: Path, runs: Sequence[RunHistory], counts: NDArray[np.int64], domains: Sequence[str] = ()) -> None:
    """Write the figures; ``counts`` are the clients' real images, (clients, classes), ``domains`` the tests'."""
    found = _metrics(runs, counts)
    for budget, shares in _by_domain(runs, domains).items():
        found[budget]["domain_accuracy"] = shares
    atomic.write_text(path, json.dumps(found, indent=2) + "\n")


def _by_domain(runs: Sequence[RunHistory], domains: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return by budget the accuracy on each domain's test images, mean over the last rounds and over seeds."""
    found: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        each = [done.by_domain for done in run.last if done.by_domain is not None]
        for name, shares in zip(domains, zip(*each, strict=True), strict=False):
            known = [share for share in shares if share is not None]
            if known:
                found.setdefault(run.budget, {}).setdefault(name, []).append(sum(known) / len(known))
    return {
        budget: {name: round(sum(values) / len(values), 4) for name, values in of.items()}
        for budget, of in found.items()
    }


def _metrics(runs: Sequence[RunHistory], counts: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
    """Return by budget: each run's three accuracies (see ``RunHistory``), their means, and the spread over clients.

    The spread is the least, median and greatest accuracy over clients (see ``for_clients``), mean over the last rounds
    and over seeds. What is not known has no entry.
    """
    metrics: dict[str, dict[str, Any]] = {}
    spreads: dict[str, list[NDArray[np.float64]]] = {}
    for run in runs:
        section = metrics.setdefault(run.budget, {f"{kind}_accuracy": {} for kind in _KINDS})
        for kind in _KINDS:
            accuracy = getattr(run, kind)
            if accuracy is not None:
                section[f"{kind}_accuracy"][f"seed {run.seed}"] = round(accuracy, 4)
        seen = [for_clients(done.by_class, counts) for done in run.last if done.by_class is not None]
        accuracies = np.mean(seen, axis=0) if seen else np.array(np.nan)
        if not np.isnan(accuracies).all():
            spreads.setdefault(run.budget, []).append(np.nanquantile(accuracies, [0, 0.5, 1]))
    for budget, section in metrics.items():
        section.update(_means(section))
        if budget in spreads:
            values = np.mean(spreads[budget], axis=0).round(4).tolist()
            section["client_accuracy"] = dict(zip(("least", "median", "greatest"), values, strict=True))
    return metrics


def _means(section: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over seeds of each accuracy that is known."""
    return {
        f"mean_{name}": round(sum(by_seed.values()) / len(by_seed), 4) for name, by_seed in section.items() if by_seed
    }
