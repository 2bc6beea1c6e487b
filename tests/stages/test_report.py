import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import atomic, fills, params
from pipeline.artifacts import alone
from pipeline.artifacts.history import RunHistory
from pipeline.errors import ArtifactError
from pipeline.params import Params
from pipeline.reporting import summary
from pipeline.reporting.measures import ClientSpread
from pipeline.reporting.statistics import Difference, Estimate
from pipeline.reporting.summary import BetterOff, Comparison, Reference, Target
from pipeline.reporting.verdict import ONE_PARTITION
from pipeline.stages import report
from pipeline.workspace import Workspace
from tests.reporting import world
from tests.reporting.histories import run

BY_CLASS = (0.5, 0.25, 1.0)
SURE = Difference(0.1, 0.1, 0.1, 1, 2, None)
FILLS, REFERENCES = ("none", "synthetic"), ("central-real",)


def runs(
    fills: Sequence[str] = FILLS, seeds: Sequence[int] = (1, 2), algorithms: Sequence[str] = ("fedavg",)
) -> list[RunHistory]:
    """Return small runs; the central one ends at 0.8.

    Each fill ends 0.1 above the one before, seed 2 ends 0.02 above seed 1, and equal steps 0.05 above equal epochs.
    """
    made = [
        run(
            [None, 0.1, 0.3 + 0.1 * place + 0.02 * (seed - 1) + 0.05 * (budget == "steps")],
            fill=fill,
            algorithm=algorithm,
            budget=budget,
            seed=seed,
            by_class=BY_CLASS,
        )
        for algorithm in algorithms
        for place, fill in enumerate(fills)
        for budget in ("epochs", "steps")
        for seed in seeds
    ]
    central = [run([0.5, 0.8], fill=name, budget="steps", seed=seed) for name in REFERENCES for seed in seeds]
    return made + central


def written(workspace: Workspace, document: dict[str, Any], made: Sequence[RunHistory], **values: Any) -> Params:
    """Write params.yaml and every artifact of an experiment with these runs."""
    document["train"] |= {"fills": list(FILLS), "algorithms": ["fedavg"], "references": list(REFERENCES)}
    document["train"] |= {"seeds": [1, 2]} | {key: value for key, value in values.items() if key != "fill"}
    document["report"] = {"fill": values.get("fill", "synthetic")}
    workspace.params.parent.mkdir(parents=True, exist_ok=True)
    workspace.params.write_text(yaml.safe_dump(document))
    loaded = params.load(workspace.params)
    world.write(workspace, loaded, made)
    return loaded


def test_page_numbers_and_curves_of_a_small_experiment(workspace: Workspace, document: dict[str, Any]) -> None:
    """Synthetic ends 0.1 above none for either seed, budget and algorithm; the central run ends at 0.8.

    Each round has 64 samples. The target is what none reaches, 0.31 and at equal steps 0.36; no fill is above it in two
    tests.

    Clients hold the classes 15; 5, 10; 10, 5; 15: they see 1/2; (5/2 + 10/4) / 15 = 1/3; (10/4 + 5) / 15 = 1/2; and 1.
    Mean 7/12, variance (1 + 9 + 1 + 25) / 144 / 4, so the deviation is 1/4. There are 20 of each class, so the total
    variation of clients is 2/3, 1/3, 1/3, 2/3, and 6 of 12 cells are empty; the fill repeats an image of each client,
    so it fills none of them. Of 3 rounds, one is untested: 8 arms have 2 points each. A second report of the same
    artifacts is the same to the byte, and the numbers name no place of this machine.
    """
    algorithms = ["fedavg", "moon"]
    loaded = written(workspace, document, runs(algorithms=algorithms), algorithms=algorithms)
    report.run(workspace, loaded)
    found = summary.load(workspace.report_metrics)
    assert found.manifest == atomic.sha256(workspace.manifest)
    assert [(one.algorithm, one.budget, one.fill) for one in found.arms] == [
        (algorithm, budget, fill) for algorithm in algorithms for budget in ("epochs", "steps") for fill in FILLS
    ]
    assert found.arms[0].by_seed == {1: 0.3, 2: 0.32}
    assert found.arms[0].primary.mean == 0.31
    assert found.arms[0].samples_per_round == 64
    assert [one.target for one in found.arms[1:3]] == [Target(0.31, 0, None, None, 3), Target(0.36, 0, None, None, 3)]
    assert found.arms[0].clients == ClientSpread(0.5833, 0.25, 0.3333, 1.0, 0.3333)
    assert found.arms[0].worst_class == summary.ClassAccuracy("bag", 0.25)
    assert found.comparisons == tuple(
        Comparison(algorithm, budget, "synthetic", "none", SURE, {1: 0.1, 2: 0.1})
        for algorithm in algorithms
        for budget in ("epochs", "steps")
    )
    assert {one.best.difference.mean for one in found.verdicts} == {0.1}
    assert found.references == (Reference("central-real", Estimate(0.8, 0.8, 0.8, 1, 2), {1: 0.8, 2: 0.8}, 0.0),)
    assert found.remarks == (ONE_PARTITION,)
    before, after = found.skew
    assert (before.fill, before.clients.total_variation, before.clients.missing_cells) == ("none", 0.5, 0.5)
    assert (after.fill, after.clients.missing_cells, before.iid.missing_cells < 0.05) == ("synthetic", 0.5, True)
    rows = list(csv.DictReader(workspace.report_curves.read_text().splitlines()))
    assert len(rows) == 8 * 2
    assert rows[1] == {
        "algorithm": "fedavg", "budget": "epochs", "fill": "none", "round": "3",
        "accuracy": "0.31", "lowest": "0.3", "highest": "0.32", "seeds": "2", "megabytes": "0.0045",
    }  # fmt: skip
    text = workspace.report_page.read_text(encoding="utf-8")
    assert "synthetic - none" in text
    assert "With fedavg at equal steps, the difference of synthetic from the best control" in text
    assert text.count('class="chart lines"') == 2 * 2
    assert text.count('class="chart cells"') == 2
    assert ">50 % (" in text
    outputs = (workspace.report_page, workspace.report_metrics, workspace.report_curves)
    first = [path.read_bytes() for path in outputs]
    report.run(workspace, loaded)
    assert [path.read_bytes() for path in outputs] == first
    assert str(workspace.root.resolve()).encode() not in first[1] + first[2]


def test_the_verdict_leaves_out_fills_that_no_federation_can_have(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    """Iid ends 0.1 above none, but its clients hold each other's images; synthetic ends 0.2 above none."""
    trained = ["none", "iid", "synthetic"]
    loaded = written(workspace, document, runs(trained), fills=trained)
    mixed = world.hold(world.partition(loaded), "iid")
    replace(mixed, rows={"real": mixed.rows["real"][::-1]}, counts=mixed.counts[::-1]).save(workspace.fill("iid"))
    report.run(workspace, loaded)
    found = summary.load(workspace.report_metrics)
    assert {one.fill: one.kind for one in found.fills if one.fill in trained} == {
        "none": "control", "iid": "bound", "synthetic": "control",
    }  # fmt: skip
    assert [(one.budget, one.best.fill, one.best.difference.mean) for one in found.verdicts] == [
        ("epochs", "none", 0.2),
        ("steps", "none", 0.2),
    ]


def test_clients_that_train_alone_are_compared_with_the_federation_of_the_same_fill(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    """In the federation the four clients see 1/2, 1/3, 1/2 and 1 on their labels, and the model has 0.3 and 0.32."""
    loaded = written(workspace, document, runs(), alone=["none"])
    models = [
        alone.Alone("none", "epochs", seed, client, own, 0.31)
        for seed in (1, 2)
        for client, own in enumerate((0.4, 0.4, None, 1.0))
    ]
    alone.save(workspace.alone("none"), models)
    report.run(workspace, loaded)
    (found,) = summary.load(workspace.report_metrics).alone
    assert (found.budget, found.fill, found.seeds) == ("epochs", "none", 2)
    assert found.own == ClientSpread(0.6, 0.2828, 0.4, 1.0, 0.4)
    assert found.whole == ClientSpread(0.31, 0.0, 0.31, 0.31, 0.31)
    assert found.better_off == {"fedavg": BetterOff(0.3333, 0.5)}


def test_two_workspaces_in_one_process_do_not_mix(
    workspace: Workspace, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is the current directory; the second has one seed and one more fill."""
    here, there = Workspace(tmp_path / "here"), Workspace(tmp_path / "there")
    fills = ["none", "transforms", "synthetic"]
    first = written(here, document, runs())
    second = written(there, document, runs(fills, seeds=[2]), fills=fills, seeds=[2])
    monkeypatch.chdir(tmp_path)
    report.run(here, first)
    report.run(there, second)
    assert len(summary.load(here.report_metrics).arms) == 4
    assert {one.fill for one in summary.load(there.report_metrics).arms} == set(fills)
    assert not (tmp_path / "data").exists()


def test_fills_that_the_code_has_never_heard_of(
    workspace: Workspace, document: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight, of which seven are new files: nothing but these files knows their names."""
    names = [f"unheard-{i}" for i in range(7)]
    for name in names:
        path = tmp_path / "more" / f"{name.replace('-', '_')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'"""Sentence about {name}.\n\nMore about it."""\n')
    monkeypatch.setattr(fills, "__path__", [*fills.__path__, str(tmp_path / "more")])
    chosen = [*names, "synthetic"]
    report.run(workspace, written(workspace, document, runs(chosen), fills=chosen))
    found = summary.load(workspace.report_metrics)
    assert len(found.arms) == 8 * 2
    assert len(found.comparisons) == 7 * 2
    text = workspace.report_page.read_text(encoding="utf-8")
    assert all(f"<b>{name}</b>: Sentence about {name}.</li>" in text for name in names)


def test_remarks_are_printed_a_line_each_and_on_the_page(
    workspace: Workspace, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A compared fill that was not trained, one seed, and a run that diverged, whose accuracy counts all the same."""
    made = runs(seeds=[1])
    made[0] = run([0.1, 0.1], losses={1: float("inf"), 2: float("nan")}, by_class=BY_CLASS)
    report.run(workspace, written(workspace, document, made, fill="absent"))
    remarks = [
        "no differences are reported: report.fill is 'absent', which is not among the trained fills (none, synthetic)",
        "fedavg, none, equal epochs: the test loss of seed 1 is not finite (first in round 1)",
        "one seed only: no number has an interval",
    ]
    said = capsys.readouterr().err.splitlines()
    assert said[-4:] == [f"report: {text}" for text in (*remarks, workspace.report_page)]
    found = summary.load(workspace.report_metrics)
    assert found.remarks == tuple(remarks)
    assert found.arms[0].by_seed == {1: 0.1}
    assert "one seed only: no number has an interval" in workspace.report_page.read_text()


def test_a_missing_run_is_an_error_that_names_it_and_writes_nothing(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    loaded = written(workspace, document, runs(), algorithms=["fedavg", "moon"])
    with pytest.raises(ArtifactError, match=r"no such file: .*none-moon/.*: run: dvc repro train"):
        report.run(workspace, loaded)
    outputs = (workspace.report_page, workspace.report_metrics, workspace.report_curves)
    assert not any(path.exists() for path in outputs)


def test_a_missing_manifest_is_an_error_before_anything_is_written(
    workspace: Workspace, document: dict[str, Any]
) -> None:
    loaded = written(workspace, document, runs())
    workspace.manifest.unlink()
    with pytest.raises(ArtifactError, match=r"no such file: .*manifest.json: run: dvc repro generate"):
        report.run(workspace, loaded)
    assert not workspace.report_metrics.exists()
