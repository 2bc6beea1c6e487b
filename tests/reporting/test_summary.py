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
from pipeline.reporting.interval import Interval
from pipeline.reporting.skew import FillSkew
from pipeline.reporting.summary import Arm, ClassAccuracy, Comparison, Reference, Spread, Summary, Table


def arm(fill: str, budget: str, mean: float, half: float | None = 0.01, algorithm: str = "fedavg") -> Arm:
    return Arm(
        algorithm=algorithm,
        budget=budget,
        fill=fill,
        final=Interval(mean, half),
        best=Interval(mean, half),
        final_by_seed={1: mean, 2: mean},
        steps_per_round=70.0,
        seeds_at_target=2,
        rounds_to_target=5.5,
        megabytes_to_target=24.8,
        clients=Spread(0.1, 0.5, 0.9),
        worst_class=ClassAccuracy("ankle boot", 0.25),
    )


def example() -> Summary:
    bare = replace(
        arm("iid", "steps", 0.9, None),
        seeds_at_target=0,
        rounds_to_target=None,
        megabytes_to_target=None,
        clients=None,
        worst_class=None,
    )
    return Summary(
        target_accuracy=0.65,
        manifest="0123",
        fill="mine",
        arms=(arm("none", "epochs", 0.25), arm("mine", "epochs", 0.75), arm("mine", "steps", 0.5), bare),
        comparisons=(
            Comparison("fedavg", "epochs", "mine", "none", Interval(0.5, 0.02), {1: 0.48, 2: 0.52}),
            Comparison("fedavg", "steps", "mine", "iid", Interval(-0.4, None), {2: -0.4}),
        ),
        references=(Reference("central-real", Interval(0.818, 0.02), {1: 0.8, 2: 0.836}),),
        remarks=("one seed only ± nothing",),
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
        "target_accuracy", "manifest", "fill", "arms", "comparisons", "references", "remarks", "skew",
    ]  # fmt: skip
    assert document["arms"]["fedavg"]["epochs"]["none"] == {
        "final": {"mean": 0.25, "half_width": 0.01},
        "best": {"mean": 0.25, "half_width": 0.01},
        "final_by_seed": {"1": 0.25, "2": 0.25},
        "steps_per_round": 70.0,
        "seeds_at_target": 2,
        "rounds_to_target": 5.5,
        "megabytes_to_target": 24.8,
        "clients": {"least": 0.1, "median": 0.5, "greatest": 0.9},
        "worst_class": {"name": "ankle boot", "accuracy": 0.25},
    }
    assert document["comparisons"]["fedavg"]["steps"]["mine"]["iid"] == {
        "difference": {"mean": -0.4, "half_width": None},
        "by_seed": {"2": -0.4},
    }
    assert document["references"] == {
        "central-real": {"final": {"mean": 0.818, "half_width": 0.02}, "final_by_seed": {"1": 0.8, "2": 0.836}}
    }
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
    assert shown["comparisons"]["fedavg"]["epochs"]["mine"]["none"]["difference"] == {"mean": 0.5, "half_width": 0.02}
    assert shown["references"]["central-real"]["final"]["mean"] == 0.818
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
        ([*NONE, "final"], 0.5, "arms.0.final"),
        ([*NONE, "final", "mean"], "0.5", "arms.0.final.mean: Input should be a valid number"),
        ([*NONE, "final", "mean"], float("nan"), "arms.0.final.mean: Input should be a finite number"),
        ([*NONE, "final_by_seed"], {"one": 0.5}, "arms.0.final_by_seed.one"),
        ([*NONE, "seeds_at_target"], 1.5, "arms.0.seeds_at_target"),
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
    with pytest.raises(ArtifactError, match=r"damaged \(KeyError\('arms'\)\)"):
        summary.load(path)


def test_a_number_that_is_not_finite_is_never_written(tmp_path: Path) -> None:
    """Readers of JSON disagree about it, and no mean of accuracies is infinite."""
    path = tmp_path / "report.json"
    with pytest.raises(ValueError, match="JSON compliant"):
        summary.save(path, replace(example(), target_accuracy=float("inf")))
    assert not path.exists()


def test_result_tables_have_fills_then_differences_and_a_dash_for_a_missing_arm() -> None:
    assert summary.result_tables(example()) == [
        Table(
            "fedavg",
            ("fill", "equal epochs", "equal steps"),
            (
                ("none", "25.0 ± 1.0", "-"),
                ("mine", "75.0 ± 1.0", "50.0 ± 1.0"),
                ("iid", "-", "90.0"),
                ("mine - none", "+50.0 ± 2.0", "-"),
                ("mine - iid", "-", "-40.0"),
            ),
            differences=2,
        ),
        Table("central runs, for reference", ("fill", "accuracy"), (("central-real", "81.8 ± 2.0"),)),
    ]


def test_each_algorithm_has_a_table_of_its_own() -> None:
    both = replace(example(), arms=(*example().arms, arm("none", "steps", 0.1, algorithm="moon")), references=())
    first, second = summary.result_tables(both)
    assert (first.title, second.title) == ("fedavg", "moon")
    assert second.rows == (("none", "-", "10.0 ± 1.0"),)
    assert second.differences == 0


numbers = st.floats(0, 1).map(lambda value: round(value, 4))
skews = st.builds(Skew, *[st.floats(allow_nan=False, allow_infinity=False)] * 6)
intervals = st.builds(Interval, numbers, st.none() | numbers)
by_seed = st.dictionaries(st.integers(0, 2**62), numbers, min_size=1, max_size=3)
names = st.text(min_size=1, max_size=5)
arms = st.builds(
    Arm,
    st.just(""),
    st.just(""),
    st.just(""),
    intervals,
    intervals,
    by_seed,
    numbers,
    st.integers(0, 9),
    st.none() | numbers,
    st.none() | numbers,
    st.none() | st.builds(Spread, numbers, numbers, numbers),
    st.none() | st.builds(ClassAccuracy, names, numbers),
)


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
        target_accuracy=0.5,
        manifest="m",
        fill="x",
        arms=tuple(
            replace(data.draw(arms), algorithm=algorithm, budget=budget, fill=fill) for algorithm, budget, fill in keys
        ),
        comparisons=tuple(Comparison(*key, "c", data.draw(intervals), data.draw(by_seed)) for key in keys),
        references=tuple(Reference(fill, data.draw(intervals), data.draw(by_seed)) for fill in fills),
        remarks=tuple(data.draw(st.lists(st.text(), max_size=2))),
        skew=tuple(FillSkew(fill, *data.draw(st.tuples(skews, skews))) for fill in fills),
    )
    path = tmp_path_factory.mktemp("report") / "report.json"
    summary.save(path, made)
    assert summary.load(path) == made
