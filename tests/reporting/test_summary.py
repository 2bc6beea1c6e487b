import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.clients.skew import Skew
from pipeline.errors import ArtifactError
from pipeline.reporting import summary
from pipeline.reporting.kinds import Fill
from pipeline.reporting.measures import ClientSpread
from pipeline.reporting.skew import FillSkew
from pipeline.reporting.statistics import Difference, Estimate
from pipeline.reporting.summary import (
    Alone,
    Arm,
    BetterOff,
    ClassAccuracy,
    Comparison,
    Reference,
    Rival,
    Summary,
    Target,
    Verdict,
)

SPREAD = ClientSpread(0.5, 0.2, 0.1, 0.9, 0.1)


def example() -> Summary:
    full = Arm(
        algorithm="fedavg",
        budget="epochs",
        fill="none",
        primary=Estimate(0.25, 0.24, 0.26, 1, 2),
        last=Estimate(0.3, 0.2, 0.4, 1, 2),
        averaged=Estimate(0.35, 0.34, 0.36, 1, 2),
        by_seed={1: 0.24, 2: 0.26},
        samples_per_round=2_240.0,
        steps_per_round=70.0,
        target=Target(0.65, 1, 5.5, 24.8, 30),
        clients=SPREAD,
        worst_class=ClassAccuracy("ankle boot", 0.25),
    )
    bare = replace(full, budget="steps", fill="iid", averaged=None, target=None, clients=None, worst_class=None)
    down = Difference(-0.4, None, None, 1, 1, None)
    up = Difference(0.5, 0.48, 0.52, 1, 2, None)
    return Summary(
        manifest="0123",
        fill="mine",
        last_rounds=10,
        fills=(Fill("none", "control", 0.0), Fill("mine", "synthetic", 1.25)),
        arms=(full, replace(full, fill="mine"), replace(full, fill="mine", budget="steps"), bare),
        comparisons=(
            Comparison("fedavg", "epochs", "mine", "none", up, {1: 0.48, 2: 0.52}),
            Comparison("fedavg", "steps", "mine", "iid", down, {2: -0.4}),
        ),
        verdicts=(
            Verdict(
                "fedavg",
                "epochs",
                "mine",
                Rival("moon", "steps", "none", 0.3, down),
                Rival("fedavg", "epochs", "none", 0.25, up),
            ),
        ),
        references=(Reference("central-real", Estimate(0.818, 0.8, 0.836, 1, 2), {1: 0.8, 2: 0.836}, 5.0),),
        remarks=("one seed only ± nothing",),
        alone=(Alone("epochs", "none", 2, None, SPREAD, {"fedavg": BetterOff(None, 0.75)}),),
        skew=(FillSkew("none", Skew(0.7, 0.8, 0.75, 2.2, 0.6, 0.4), Skew(0.05, 0.06, 0.05, 9.7, 0.0, 0.4)),),
    )


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "data" / "report.json"
    summary.save(path, example())
    assert summary.load(path) == example()


def test_the_file_has_fixed_sections_of_objects_so_that_dvc_shows_every_number(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    summary.save(path, example())
    document = json.loads(path.read_text(encoding="utf-8"))
    assert list(document) == [
        "manifest", "fill", "last_rounds", "fills", "arms", "comparisons", "verdicts", "references", "remarks", "alone",
        "skew", "network", "within_bytes", "break_even",
    ]  # fmt: skip
    assert document["fills"]["mine"] == {"kind": "synthetic", "image_megabytes": 1.25}
    spread = {"mean": 0.5, "deviation": 0.2, "worst_tenth": 0.1, "best_tenth": 0.9, "worst": 0.1}
    assert document["arms"]["fedavg"]["epochs"]["none"] == {
        "primary": {"mean": 0.25, "low": 0.24, "high": 0.26, "partitions": 1, "replicates": 2},
        "last": {"mean": 0.3, "low": 0.2, "high": 0.4, "partitions": 1, "replicates": 2},
        "averaged": {"mean": 0.35, "low": 0.34, "high": 0.36, "partitions": 1, "replicates": 2},
        "by_seed": {"1": 0.24, "2": 0.26},
        "samples_per_round": 2_240.0,
        "steps_per_round": 70.0,
        "target": {"accuracy": 0.65, "seeds": 1, "rounds": 5.5, "megabytes": 24.8, "censored_at": 30},
        "clients": spread,
        "worst_class": {"name": "ankle boot", "accuracy": 0.25},
    }
    down = {"mean": -0.4, "low": None, "high": None, "partitions": 1, "replicates": 1, "p": None}
    assert document["comparisons"]["fedavg"]["steps"]["mine"]["iid"] == {
        "difference": down, "by_seed": {"2": -0.4}, "averaged": None,
    }  # fmt: skip
    assert document["verdicts"]["fedavg"]["epochs"]["mine"]["best"] == {
        "algorithm": "moon", "budget": "steps", "fill": "none", "accuracy": 0.3, "difference": down,
    }  # fmt: skip
    assert document["references"]["central-real"] == {
        "accuracy": {"mean": 0.818, "low": 0.8, "high": 0.836, "partitions": 1, "replicates": 2},
        "by_seed": {"1": 0.8, "2": 0.836},
        "megabytes": 5.0,
    }
    assert document["alone"]["epochs"]["none"] == {
        "seeds": 2, "own": None, "whole": spread, "better_off": {"fedavg": {"own": None, "whole": 0.75}},
    }  # fmt: skip
    assert document["remarks"] == ["one seed only ± nothing"]
    assert document["skew"]["none"]["clients"] == {
        "hellinger": 0.7, "jensen_shannon": 0.8, "total_variation": 0.75,
        "effective_classes": 2.2, "missing_cells": 0.6, "gini": 0.4,
    }  # fmt: skip


def test_dvc_reads_the_numbers_of_the_file(tmp_path: Path) -> None:
    """``dvc metrics show`` keeps numbers and text inside objects and drops lists and missing values."""
    from dvc.repo import Repo  # type: ignore[import-untyped]  # DVC ships no types

    summary.save(tmp_path / "report.json", example())
    found = Repo(str(tmp_path), uninitialized=True).metrics.show(targets=[str(tmp_path / "report.json")])
    (shown,) = (file["data"] for file in found[""]["data"].values())
    difference = shown["comparisons"]["fedavg"]["epochs"]["mine"]["none"]["difference"]
    assert difference == {"mean": 0.5, "low": 0.48, "high": 0.52, "partitions": 1, "replicates": 2}
    assert shown["verdicts"]["fedavg"]["epochs"]["mine"]["best"]["difference"]["mean"] == -0.4
    assert shown["references"]["central-real"]["accuracy"]["mean"] == 0.818
    assert shown["skew"]["none"]["iid"]["hellinger"] == 0.05
    assert "remarks" not in shown
    assert "clients" not in shown["arms"]["fedavg"]["steps"]["iid"]


def test_without_a_report_the_error_says_what_to_run(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(ArtifactError, match=f"^no report yet: {path}: run: dvc repro$"):
        summary.load(path)


def changed(document: Any, keys: list[str], value: object) -> Any:
    """Return the document with one value replaced, or removed if ``value`` is Ellipsis."""
    place = document
    for key in keys[:-1]:
        place = place[key]
    if value is ...:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    return document


NONE = ["arms", "fedavg", "epochs", "none"]


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (["arms"], ..., "'arms'"),
        (["manifest"], ..., "manifest: Field required"),
        (["manifest"], 5, "manifest: Input should be a valid string"),
        (["stray"], 1, "stray: Unexpected"),
        (["arms"], [], r"\[\] is not an object"),
        (["arms", "fedavg", "epochs"], 0.5, "0.5 is not an object"),
        (["arms", "fedavg", "epochs", "none"], None, "None is not an object"),
        ([*NONE, "primary"], 0.5, "arms.0.primary"),
        ([*NONE, "primary", "mean"], "0.5", "arms.0.primary.mean: Input should be a valid number"),
        ([*NONE, "primary", "mean"], float("nan"), "arms.0.primary.mean: Input should be a finite number"),
        ([*NONE, "by_seed"], {"one": 0.5}, "arms.0.by_seed.one"),
        ([*NONE, "target", "seeds"], 1.5, "arms.0.target.seeds"),
        (["fills", "none", "kind"], "oracle", "fills.0.kind"),
        (["alone", "epochs", "none", "own"], 0.5, "alone.0.own"),
        ([*NONE, "fill"], "other", "'fill' is a key already"),
        ([*NONE, "stray"], 1, "arms.0.stray: Unexpected"),
        (["remarks"], "text", "remarks"),
        (["skew"], ..., "'skew'"),
        (["skew", "none", "iid", "gini"], "0.4", "skew.0.iid.gini: Input should be a valid number"),
        (["skew", "none", "clients", "stray"], 1, "skew.0.clients.stray: Unexpected"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(tmp_path: Path, keys: list[str], value: object, said: str) -> None:
    path = tmp_path / "report.json"
    summary.save(path, example())
    path.write_text(json.dumps(changed(json.loads(path.read_text()), keys, value)))
    with pytest.raises(ArtifactError, match=rf"damaged \(.*{said}.*\): {path}: run: dvc repro -f report$"):
        summary.load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", '"text"', "null"])
def test_a_file_that_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ArtifactError, match=rf"damaged .*: {path}: run: dvc repro -f report$"):
        summary.load(path)


def test_the_numbers_of_an_earlier_layout_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"target_accuracy": 0.65, "manifest": "m", "fedavg": {}, "central": {}}))
    with pytest.raises(ArtifactError, match=r"damaged \(KeyError\('fills'\)\)"):
        summary.load(path)


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    """Readers of JSON disagree about it, and no mean of accuracies is infinite."""
    path = tmp_path / "report.json"
    with pytest.raises(ValueError, match="JSON compliant"):
        summary.save(
            path, replace(example(), alone=(replace(example().alone[0], whole=replace(SPREAD, mean=float("inf"))),))
        )
    assert not path.exists()


numbers = st.floats(0, 1).map(lambda value: round(value, 4))
skews = st.builds(Skew, *[st.floats(allow_nan=False, allow_infinity=False)] * 6)
counts = st.integers(1, 99)
estimates = st.builds(Estimate, numbers, st.none() | numbers, st.none() | numbers, counts, counts)
differences = st.builds(
    Difference, numbers, st.none() | numbers, st.none() | numbers, counts, counts, st.none() | numbers
)
by_seed = st.dictionaries(st.integers(0, 2**62), numbers, min_size=1, max_size=3)
names = st.text(min_size=1, max_size=5)
spreads = st.builds(ClientSpread, *[numbers] * 5)
arms = st.builds(
    Arm,
    *[st.just("")] * 3,
    estimates,
    estimates,
    st.none() | estimates,
    by_seed,
    numbers,
    numbers,
    st.none() | st.builds(Target, numbers, counts, st.none() | numbers, st.none() | numbers, st.none() | counts),
    st.none() | spreads,
    st.none() | st.builds(ClassAccuracy, names, numbers),
)
rivals = st.builds(Rival, names, names, names, numbers, differences)
better = st.dictionaries(names, st.builds(BetterOff, st.none() | numbers, numbers), max_size=2)


@given(
    st.lists(names, unique=True, max_size=2),
    st.lists(names, unique=True, max_size=2),
    st.lists(names, unique=True, max_size=3),
    st.data(),
)
def test_any_summary_comes_back_whatever_its_names(
    tmp_path_factory: pytest.TempPathFactory, algorithms: list[str], budgets: list[str], fills: list[str], data: Any
) -> None:
    """Names are any text, also those of the file's own sections and fields."""
    keys = [(a, b, f) for a in algorithms for b in budgets for f in fills]
    made = Summary(
        manifest="m",
        fill="x",
        last_rounds=10,
        fills=tuple(Fill(fill, "bound", data.draw(numbers)) for fill in fills),
        arms=tuple(
            replace(data.draw(arms), algorithm=algorithm, budget=budget, fill=fill) for algorithm, budget, fill in keys
        ),
        comparisons=tuple(Comparison(*key, "c", data.draw(differences), data.draw(by_seed)) for key in keys),
        verdicts=tuple(Verdict(*key, data.draw(rivals), data.draw(rivals)) for key in keys),
        references=tuple(Reference(f, data.draw(estimates), data.draw(by_seed), data.draw(numbers)) for f in fills),
        remarks=tuple(data.draw(st.lists(st.text(), max_size=2))),
        alone=tuple(
            Alone(b, f, 2, data.draw(st.none() | spreads), data.draw(spreads), data.draw(better))
            for b in budgets
            for f in fills
        ),
        skew=tuple(FillSkew(fill, *data.draw(st.tuples(skews, skews))) for fill in fills),
    )
    path = tmp_path_factory.mktemp("report") / "report.json"
    summary.save(path, made)
    assert summary.load(path) == made
