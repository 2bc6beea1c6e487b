"""Sweep files: every mistake is one line with the file and the key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import ParameterError
from pipeline.sweeps import definition, grid
from tests.sweeps.conftest import planned, write_sweep


def change(sweep: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """Return a sweep file with one entry changed; ``axes.x`` is an entry of a section."""
    section, dot, name = key.partition(".")
    changed = {**sweep, section: {**sweep[section], name: value} if dot else value}
    return {key: value for key, value in changed.items() if value != "nothing"}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("abuot", "x", "unknown key: {file}, abuot: did you mean 'about'?"),
        ("about", "nothing", "no about: {file}, about: write in one sentence"),
        ("about", 3, "bad value: {file}, about: write in one sentence"),
        ("axes", "nothing", "no axes: {file}, axes: write"),
        ("axes", {}, "no axes: {file}, axes: write"),
        ("keep", "some", "bad value: {file}, keep: write one of results, all"),
        ("evaluate", 1, "bad value: {file}, evaluate: write true or false"),
        ("set", ["partition.alpha"], "bad value: {file}, set: write {{key: value}}"),
        ("set.train", {"rounds": 3}, "train is a whole section: {file}, set, train: set its keys"),
        ("axes.partition.seed", [], "bad value: {file}, axes.partition.seed: write [values]"),
        ("axes.partition.seed", 3, "bad value: {file}, axes.partition.seed: write [values]"),
        ("axes.partition.seed", [1, 2, 1], "twice the value 1: {file}, axes.partition.seed"),
        ("axes.fill", {"a": {}, "b": {}}, "the table of results has a column of this name: {file}, axes.fill"),
        ("axes.a b", [1], "not a name of an axis: {file}, axes.a b"),
        ("axes.train.seeds", [[1], [2]], "train.seeds makes no cells: {file}, axes.train.seeds: put the whole list"),
        ("axes.x", {"a": {"train.fills": ["none"]}}, "train.fills makes no cells: {file}, axes.x.a"),
        ("axes.report.fill", ["none"], "report.fill changes no result of a cell: {file}, axes.report.fill"),
        ("axes.train.rounds", [1, 2], "train.rounds is set by set too: {file}, axes.train.rounds"),
        ("axes.x", {"a": {"partition.seed": 3}}, "partition.seed is set by axes.partition.seed too: {file}, axes.x"),
        ("axes.x", {"a": 3}, "bad value: {file}, axes.x.a: write {{key: value}}"),
        ("axes.partition.alhpa", [1], "unknown parameter: {file}, partition.alhpa (cell: "),
        (
            "axes.partition.alpha",
            [0.1, -1],
            "bad value: {file}, partition.alpha = -1 (cell: partition.labels_per_client",
        ),
        ("axes.partition.alpha.x", [1], "partition.alpha is 0.5 and has no keys: {file}, axes.partition.alpha.x"),
        ("axes.partition.alpha", [1, 1.0], "two cells have the same parameters: {file}, axes: "),
        ("set.train.fills", ["nnone"], "unknown fill 'nnone': {file}, train.fills (cell: "),
        ("set.train.algorithms", ["fedavgg"], "bad value: {file}, train"),
        ("axes.partition.seed", list(range(5001)), "10,002 cells, at most 10,000: {file}, axes"),
    ],
)
def test_a_mistake_is_one_line_with_the_file_and_the_key(
    project: Path, sweep: dict[str, Any], key: str, value: object, said: str
) -> None:
    write_sweep(project, change(sweep, key, value))
    with pytest.raises(ParameterError) as raised:
        planned(project)
    assert str(raised.value).startswith(said.format(file=project / "sweeps/labels.yaml"))
    assert "\n" not in str(raised.value)


def test_an_unknown_key_names_the_nearest_one(project: Path, sweep: dict[str, Any]) -> None:
    write_sweep(project, change(sweep, "axes.partition.alhpa", [1]))
    with pytest.raises(ParameterError, match="did you mean 'alpha'"):
        planned(project)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [("lables", "did you mean 'labels'"), ("x", "sweeps/ has labels"), ("sweeps/x.yaml", "sweeps/ has labels")],
)
def test_a_sweep_that_is_not_there_names_those_that_are(
    project: Path, sweep: dict[str, Any], chosen: str, said: str
) -> None:
    write_sweep(project, sweep)
    with pytest.raises(ParameterError, match=said):
        definition.find(project, chosen)
    assert definition.find(project, "labels") == definition.find(project, "sweeps/labels.yaml")


def test_cells_are_all_combinations_in_order_of_the_file(project: Path, sweep: dict[str, Any]) -> None:
    """Two values of one axis times two of the other: four, the last axis changing fastest."""
    write_sweep(project, sweep)
    plan = planned(project)
    assert [cell.title for cell in plan.cells] == [
        "partition.labels_per_client 1, partition.seed 1",
        "partition.labels_per_client 1, partition.seed 2",
        "partition.labels_per_client 2, partition.seed 1",
        "partition.labels_per_client 2, partition.seed 2",
    ]
    assert [cell.params.partition.seed for cell in plan.cells] == [1, 2, 1, 2]
    assert [cell.params.partition.labels_per_client for cell in plan.cells] == [1, 1, 2, 2]
    assert {cell.params.train.rounds for cell in plan.cells} == {1}


def test_a_parameter_that_older_files_lack_changes_no_identity(project: Path, sweep: dict[str, Any]) -> None:
    """At its default; with another value it is another cell."""
    write_sweep(project, sweep)
    before = [cell.digest for cell in planned(project).cells]
    path = project / "params.yaml"
    document = yaml.safe_load(path.read_text())
    del document["deficits"]["max_total"]
    path.write_text(yaml.safe_dump(document))
    assert [cell.digest for cell in planned(project).cells] == before
    path.write_text(yaml.safe_dump({**document, "deficits": {**document["deficits"], "max_total": 5}}))
    assert not set(before) & {cell.digest for cell in planned(project).cells}


def test_replicates_are_no_axis_under_study(project: Path, sweep: dict[str, Any]) -> None:
    """An axis of partition seeds is one of replicates, and so is one of root seeds that decide partitions.

    Root seeds beside a fixed partition seed vary the images of one partition: that is studied.
    """
    labels = {"partition.labels_per_client": ["1", "2"]}
    for replicates in ({"partition.seed": [1, 2]}, {"seed": [1, 2]}, {"r": {"a": {"seed": 1}, "b": {"seed": 2}}}):
        write_sweep(project, {**sweep, "axes": {"partition.labels_per_client": [1, 2], **replicates}})
        plan = planned(project)
        assert grid.shown_axes(plan.sweep, list(plan.cells)) == labels
    write_sweep(project, {**sweep, "axes": {"seed": [1, 2], "partition.seed": [1, 2]}})
    plan = planned(project)
    assert grid.shown_axes(plan.sweep, list(plan.cells)) == {"seed": ["1", "2"]}


def test_partitions_come_one_after_the_other_and_within_them_cells_of_equal_images(
    project: Path, sweep: dict[str, Any]
) -> None:
    """By the file: rate .1 with 1 and 2 labels, rate .2 with 1 and 2 labels. The rate decides no image."""
    axes = {"train.learning_rate": [0.1, 0.2], "partition.labels_per_client": [1, 2], "partition.seed": [1, 2]}
    write_sweep(project, {**sweep, "axes": axes})
    ordered = [tuple(cell.labels.values()) for cell in planned(project).chosen(None)]
    assert ordered == [
        *[("0.1", "1", "1"), ("0.2", "1", "1"), ("0.1", "2", "1"), ("0.2", "2", "1")],
        *[("0.1", "1", "2"), ("0.2", "1", "2"), ("0.1", "2", "2"), ("0.2", "2", "2")],
    ]


def test_the_shipped_sweeps_can_be_carried_out() -> None:
    """All keys exist, and each has at least six partitions: with fewer no sign-flip test can go below 0.05."""
    root = Path(__file__).parents[2]
    files = sorted((root / "sweeps").glob("*.yaml"))
    assert {path.stem for path in files} >= {"heterogeneity", "ratio", "guidance", "prompts", "algorithms", "clients"}
    for path in files:
        made = grid.cells(definition.load(path), root / "params.yaml")
        assert len({cell.partition_seed for cell in made}) >= 6
        settings = {tuple(text for name, text in cell.labels.items() if name != "partition.seed") for cell in made}
        assert len(made) == len(settings) * len({cell.partition_seed for cell in made})


def test_replicates_of_a_partition_that_nothing_draws_are_refused(project: Path, sweep: dict[str, Any]) -> None:
    """A column says who holds which image, so partition.seed could only choose ``max_images`` of them."""
    settings = {"partition.scheme": "column", "partition.column": "writer", "partition.clients": None}
    axes = {"train.learning_rate": [0.1, 0.2], "partition.seed": [1, 2]}
    given = {**sweep, "set": {**sweep["set"], **settings}, "axes": axes}
    write_sweep(project, given)
    with pytest.raises(ParameterError) as raised:
        planned(project)
    assert str(raised.value) == (
        "partition.seed changes no partition: scheme column draws nothing: "
        f"{project / 'sweeps/labels.yaml'}, axes (cell: train.learning_rate 0.1, partition.seed 2): "
        "leave partition.seed out and list train.seeds under set, or set partition.max_images"
    )
    write_sweep(project, {**given, "axes": {**axes, "partition.seed": [1]}})
    assert len(planned(project).cells) == 2
    write_sweep(project, {**given, "set": {**given["set"], "partition.max_images": 5}})
    assert len(planned(project).cells) == 4
