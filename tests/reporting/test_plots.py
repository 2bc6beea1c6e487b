"""The plot that ``dvc plots`` draws from the curves: the entry in dvc.yaml and its template."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import params
from pipeline.reporting import curves
from pipeline.reporting.charts import palette
from pipeline.workspace import Workspace
from tests.reporting.histories import arm

ROOT = Path(params.__file__).parent.parent
DVC = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
ALGORITHMS, FILLS = ("fedavg", "moon"), tuple(f"fill-{i}" for i in range(8))


def entry() -> dict[str, Any]:
    (plot,) = DVC["plots"]
    (made,) = plot.values()
    return dict(made)


def template() -> Path:
    return ROOT / ".dvc/plots" / f"{entry()['template']}.json"


def fields(part: Any) -> Iterator[str]:
    """Yield every field that a Vega-Lite specification names."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "field":
                yield value
            else:
                yield from fields(value)
    elif isinstance(part, list):
        for value in part:
            yield from fields(value)


def test_the_entry_names_the_table_of_the_report_and_columns_that_it_has() -> None:
    """No column is named after an arm, so the entry needs no edit when fills or algorithms change."""
    (path, column) = next(iter(entry()["y"].items()))
    assert Workspace().at(path) == Workspace().report_curves
    assert {entry()["x"], column} <= set(curves.COLUMNS)
    assert path in DVC["stages"]["report"]["outs"]


def test_the_template_names_no_arm_and_only_columns_of_the_table() -> None:
    """Besides the columns: what DVC adds to each row, and the anchors that it replaces."""
    named = set(fields(json.loads(template().read_text(encoding="utf-8"))))
    assert {"fill", "algorithm", "budget"} <= named
    assert named <= {*curves.COLUMNS, "rev", "<DVC_METRIC_X>", "<DVC_METRIC_Y>"}


def test_git_keeps_the_template() -> None:
    """DVC and git both ignore parts of .dvc; templates are not among them."""
    ignored = (ROOT / ".gitignore").read_text().split() + (ROOT / ".dvc/.gitignore").read_text().split()
    assert not any(line.strip("/").startswith((".dvc", "plots")) for line in ignored)
    assert template().is_file()


def test_the_plots_colours_are_the_pages() -> None:
    (colours,) = [
        part["scale"]["range"]
        for part in (json.loads(template().read_text(encoding="utf-8"))["spec"]["encoding"]["color"],)
    ]
    assert tuple(colours) == palette.COLOURS


def test_dvc_draws_a_line_for_each_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``dvc plots show`` does, in a new repository with this plots entry and template.

    2 algorithms, 2 budgets, 8 fills and 2 rounds: the specification holds all 64 points, and groups them by exactly the
    three columns that make an arm.
    """
    from dvc.render.convert import to_json  # type: ignore[import-untyped]  # DVC ships no types
    from dvc.render.match import match_defs_renderers  # type: ignore[import-untyped]
    from dvc.repo import Repo  # type: ignore[import-untyped]

    arms = [
        arm({1: [0.1, 0.2]}, algorithm=algorithm, budget=budget, fill=fill)
        for algorithm in ALGORITHMS
        for budget in ("epochs", "steps")
        for fill in FILLS
    ]
    monkeypatch.chdir(tmp_path)
    repo = Repo.init(str(tmp_path), no_scm=True)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"plots": DVC["plots"]}))
    (tmp_path / ".dvc/plots").mkdir()
    (tmp_path / ".dvc/plots" / template().name).write_bytes(template().read_bytes())
    curves.save(Workspace(tmp_path).report_curves, arms)
    repo = Repo(str(tmp_path))
    (drawn,) = match_defs_renderers(repo.plots.show(), templates_dir=repo.plots.templates_dir)
    (made,) = to_json(drawn.renderer, None)
    content = made["content"] if isinstance(made["content"], dict) else json.loads(made["content"])
    points = content["data"]["values"]
    assert "<DVC_METRIC" not in json.dumps(content)
    assert {(p["algorithm"], p["budget"], p["fill"]) for p in points} == {
        (one.algorithm, one.budget, one.fill) for one in arms
    }
    assert len(points) == 64
    shown = content["spec"]
    assert content["facet"]["column"]["field"] == "budget"
    assert shown["encoding"]["color"]["field"] == "fill"
    assert shown["encoding"]["detail"]["field"] == "algorithm"
    assert (shown["encoding"]["x"]["field"], shown["encoding"]["y"]["field"]) == ("round", "accuracy")
    with Workspace(tmp_path).report_curves.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(points)
