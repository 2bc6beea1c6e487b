"""Whole pages as text, made without a folder of artifacts: crowded ones, and ones of next to nothing."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from pipeline.artifacts.history import RunHistory
from pipeline.artifacts.manifest import Manifest
from pipeline.artifacts.quality import Report
from pipeline.ledger import COUNTS
from pipeline.reporting import content, ledger_page, page, sweep_page
from pipeline.reporting.arms import ArmRuns
from pipeline.reporting.charts import cells
from pipeline.reporting.page import Charts, Page, Section, Settings, Sheets
from pipeline.reporting.sections import clients, cost, images, ledger, network, quality, results, skew
from pipeline.reporting.spending import Gain, Line, Price, Spending, Stored
from pipeline.reporting.statistics import Difference
from pipeline.reporting.summary import Summary
from tests.reporting import crowd


@dataclass(frozen=True)
class Shown:
    """What a report's page is made of."""

    names: Sequence[str]
    arms: Sequence[ArmRuns]
    numbers: Summary
    judged: Report | None
    groups: dict[str, dict[str, list[Image.Image]]]


def crowded() -> Shown:
    """Return nine fills, two algorithms, three seeds and 100 classes, evaluated and gated."""
    names = crowd.names(100)
    arms = crowd.arms(list(crowd.FILLS), ("fedavg", "fedadam"), (1, 2, 3), len(names))
    some = crowd.pictures(12)
    kinds = {"real": 8, "synthetic": 8, "refused": 3}
    groups = {kind: dict.fromkeys(names, some[:most]) for kind, most in kinds.items()}
    groups["refused"][names[0]] = []
    return Shown(names, arms, crowd.summary(arms, names), crowd.quality(names), groups)


def bare() -> Shown:
    """Return two fills with one seed; nobody measured classes, evaluated or gated anything."""
    names = crowd.names(2)
    arms = [
        ArmRuns(arm.algorithm, arm.budget, arm.fill, {1: _without_classes(arm)})
        for arm in crowd.arms(("none", "synthetic"), ("fedavg",), (1,), len(names))
    ]
    numbers = replace(crowd.summary(arms, names), alone=(), skew=())
    return Shown(names, arms, numbers, None, {"real": {names[0]: crowd.pictures(1, 200)}, "synthetic": {}})


def _without_classes(arm: ArmRuns) -> RunHistory:
    return replace(arm.runs[1], rounds=tuple(replace(done, by_class=None) for done in arm.runs[1].rounds))


def report(shown: Shown) -> str:
    """Return the page of a report."""
    numbers, names = shown.numbers, shown.names
    places = {fill: place for place, fill in enumerate(dict.fromkeys(arm.fill for arm in shown.arms))}
    studied = crowd.study(shown.arms)
    numbers = studied.added_to(numbers)
    held = crowd.counts(len(names), np.random.default_rng(6))
    clients_ = [f"client {name}" for name in crowd.names(len(held))]
    maps = [cells.draw(held, names, clients_, title, 20) for title in ("Before", "After")]
    order = images.worst_first(names, shown.judged)[: images.MOST_CLASSES]
    return page.render(Page(
        title="gen-fedsd report",
        heading="Does filling the missing classes help?",
        verdict=content.verdict(numbers),
        remarks=numbers.remarks,
        sections=[
            results.make(numbers, places, dict.fromkeys(places, "What it is."), "passes once over what it has", 2000),
            results.curves(numbers, shown.arms, places),
            quality.make(shown.judged, crowd.NOWHERE),
            Section("Images", [Sheets(images.sheets(shown.groups, order, shown.judged))]),
            clients.make(numbers, shown.arms, places, names),
            cost.make(numbers, places, "248,024"),
            network.make(numbers, studied, places),
            Section("Skew", [*skew.before_and_after(numbers, places), Charts(maps, wide=True)]),
            ledger.make(numbers, shown.arms, MANIFEST),
            Section("What was run", [Settings(dict.fromkeys(names, "x" * 300))]),
        ],
    ))  # fmt: skip


MANIFEST = Manifest("r" * 16, {}, "own", crowd.names(2), ())


def ledger_of(names: Sequence[str]) -> str:
    """Return the ledger's page with a stage for each name, and gains of every kind."""
    counts = dict.fromkeys(COUNTS, 123_456_789)
    lines = [Line(f"train {name} fedavg", "cuda", 1e6, 1e7, 1e9, ("NVML + RAPL",), counts) for name in names]
    changes = (Difference(0.1, 0.05, 0.2, 6, 12, 0.03), Difference(0.1, None, None, 1, 1, None))
    gains = [
        Gain("fedavg", "epochs", name, one) for name in names for one in (*changes, Difference(0, 0, 0, 1, 2, None))
    ]
    stored = (Stored("pool of images", 10**12, True), Stored("shards", 0, False))
    return ledger_page.render(Spending(tuple(lines), 3, stored, Price(10**6, 10**7, 1e8, 1e10), tuple(gains)))


def sweep() -> str:
    """Return the page of a sweep over two axes, one whose values have long names, and one of numbers."""
    axes = {
        "heterogeneity": (
            "iid",
            "2 labels",
            "</script><script>alert(1)</script>",
            "a partition with a very long name " * 2,
        ),
        "deficits.ratio": ("0.1", "1"),
    }
    results_, curves = crowd.sweep(axes, list(crowd.FILLS)[2:7], 6)
    return page.render(sweep_page.make(
        name="heterogeneity", about="how the gain depends on skew", axes=axes, results=results_, curves=curves,
        fill="synthetic", settings={"digest": "ab" * 32},
    ))  # fmt: skip


def bare_sweep() -> str:
    """Return the page of a sweep with one setting, one partition and no column beyond the keys and the measures."""
    axes = {"partition.alpha": ("0.1",)}
    results_, curves = crowd.sweep(axes, ("none", "synthetic"), 1)
    kept = [
        name
        for name in results_.column_names
        if not name.startswith(("target", "real_", "skew_", "floor_", "image", "alone", "quality"))
    ]
    return page.render(sweep_page.make(
        name="one", about="one setting", axes=axes, results=results_.select(kept), curves=curves.slice(0, 0),
        fill="synthetic", settings={},
    ))  # fmt: skip
