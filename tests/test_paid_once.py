"""A training run is paid for once: after a change of one parameter only those runs are trained that it decides."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import history
from pipeline.commands import runs as command
from pipeline.federated.workers import ExecutionOptions
from pipeline.params import Params
from pipeline.stages import deficits, fill, generate, partition, train
from pipeline.workspace import Workspace
from tests.conftest import small_document

Document = dict[str, Any]
FEDERATED = {"none epochs", "none steps", "transforms epochs", "synthetic epochs"}
"""Of each seed; a fill that gives clients as many images as they lack is the same run under both budgets."""
CENTRAL = {"central-real steps", "central-synthetic steps"}
IMAGES = {"synthetic epochs", "central-synthetic steps"}
"""Those that see a synthetic image."""

CHANGES: dict[str, tuple[Callable[[Document], Any], set[str]]] = {
    "nothing": (lambda d: None, set()),
    "train.algorithms: fedprox as well": (
        lambda d: d["train"].update(algorithms=["fedavg", "fedprox"]),
        {f"{name} fedprox" for name in FEDERATED},
    ),
    "train.seeds: 2 as well": (
        lambda d: d["train"].update(seeds=[1, 2]),
        {f"{name} 2" for name in FEDERATED | CENTRAL},
    ),
    "train.seeds: another order": (lambda d: d["train"].update(seeds=[1]), set()),
    "train.fills: only none": (lambda d: d["train"].update(fills=["none"]), set()),
    "train.central_steps": (lambda d: d["train"].update(central_steps=24), CENTRAL),
    "train.options.fedprox.mu": (lambda d: d["train"]["options"]["fedprox"].update(mu=0.5), set()),
    "train.rounds": (lambda d: d["train"].update(rounds=3), FEDERATED),
    "train.fills: warm-up as well": (
        lambda d: d["train"].update(fills=[*d["train"]["fills"], "warm-up"]),
        {"warm-up epochs", "warm-up steps"},  # it starts from the reference that is there
    ),
    "train.alone: none": (lambda d: d["train"].update(alone=["none"]), {"none alone epochs", "none alone steps"}),
    "train.last_rounds": (lambda d: d["train"].update(last_rounds=1), FEDERATED),
    "train.decay, which a constant rate does not use": (lambda d: d["train"].update(decay=0.5), set()),
    "train.schedule: exponential": (
        lambda d: d["train"].update(schedule="exponential", decay=0.5),
        FEDERATED | CENTRAL,
    ),
    "train.eval_every": (lambda d: d["train"].update(eval_every=1), FEDERATED),
    "train.learning_rate": (lambda d: d["train"].update(learning_rate=0.01), FEDERATED | CENTRAL),
    "train.sampling": (lambda d: d["train"].update(sampling="class-balanced"), FEDERATED | CENTRAL),
    "train.weights": (lambda d: d["train"].update(weights="real"), {"transforms epochs", "synthetic epochs"}),
    "report.target_accuracy": (lambda d: d["report"].update(target_accuracy=0.4), set()),
    "generate.guidance": (lambda d: d["generate"].update(guidance=1.0), IMAGES),
    "generate.shard_megabytes": (lambda d: d["generate"].update(shard_megabytes=1), set()),
    "deficits.ratio": (
        lambda d: d["deficits"].update(ratio=0.5),
        {"none steps", "transforms epochs", *IMAGES},
    ),
    "partition.seed": (lambda d: d["partition"].update(seed=8), FEDERATED | CENTRAL),
}


def carry_out(workspace: Workspace, document: Document) -> None:
    """Run the stages that decide training, as DVC does."""
    params = Params.model_validate(document)
    partition.run(workspace, params)
    deficits.run(workspace, params)
    generate.run(workspace, params, ["cpu"])
    options = ExecutionOptions(1)
    for name in (*params.train.fills, *params.train.references):
        fill.run(workspace, params, name)
        for algorithm in params.train.algorithms if name in params.train.fills else ("fedavg",):
            train.run(workspace, params, name, algorithm, options)
    for name in params.train.alone:
        train.run_alone(workspace, params, name, options)


def stored(workspace: Workspace) -> dict[str, str]:
    """Return the names of the store's runs by digest; what is usual is left out of a name."""
    found = {}
    for entry in command.list_runs(workspace):
        title = entry.title.removeprefix("train ").replace(",", "").replace(" fedavg", "").replace(" seed 1", "")
        algorithm = " fedprox" if " fedprox" in title else ""
        found[entry.digest] = title.replace(" fedprox", "").replace(" seed", "") + algorithm
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> tuple[Workspace, Document]:
    """A workspace in which everything was trained once with seed 1, and its parameters."""
    folder = tmp_path_factory.mktemp("paid")
    workspace, document = Workspace(folder / "project", folder / "cache"), small_document(small_data, tiny_model)
    document["train"] |= {"rounds": 2, "central_steps": 16}
    carry_out(workspace, document)
    assert set(stored(workspace).values()) == FEDERATED | CENTRAL
    return workspace, document


@pytest.mark.parametrize("change", CHANGES)
def test_only_what_a_change_decides_is_trained(base: tuple[Workspace, Document], tmp_path: Path, change: str) -> None:
    before, document = base
    workspace = Workspace(tmp_path / "project", tmp_path / "cache")
    shutil.copytree(before.cache, workspace.cache, dirs_exist_ok=True)
    document, (apply, expected) = deepcopy(document), CHANGES[change]
    apply(document)
    carry_out(workspace, document)
    known = stored(before)
    trained = [name for digest, name in stored(workspace).items() if digest not in known]
    print(f"\n{change}: {', '.join(sorted(trained)) or 'none'}")
    assert sorted(trained) == sorted(expected)


def test_a_data_set_that_was_moved_trains_nothing(base: tuple[Workspace, Document], tmp_path: Path) -> None:
    """Its files are newer, and a hidden one lies beside them; nothing is decoded a second time either."""
    before, document = base
    workspace, document = Workspace(tmp_path / "project", tmp_path / "cache"), deepcopy(document)
    shutil.copytree(before.cache, workspace.cache, dirs_exist_ok=True)
    shutil.copytree(document["data"]["path"], tmp_path / "moved", copy_function=shutil.copyfile)
    (tmp_path / "moved/.DS_Store").write_bytes(b"x")
    document["data"]["path"] = str(tmp_path / "moved")
    carry_out(workspace, document)
    assert stored(workspace) == stored(before)
    assert workspace.partition.read_bytes() == before.partition.read_bytes()
    assert {path.name for path in workspace.arrays.iterdir()} == {path.name for path in before.arrays.iterdir()}


def test_two_workspaces_in_one_process_share_what_is_paid_for(
    base: tuple[Workspace, Document], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither is the working folder; equal parameters give equal files, and the second one trains nothing."""
    first, document = base
    second = Workspace(tmp_path / "second", first.cache)
    monkeypatch.chdir(tmp_path)
    known = stored(first)
    carry_out(second, document)
    assert stored(second) == known
    assert [path.name for path in tmp_path.iterdir()] == ["cache", "second"] or not (tmp_path / "data").exists()
    for place in ("partition", "deficits", "manifest"):
        assert getattr(first, place).read_bytes() == getattr(second, place).read_bytes()
    for name in ("none", "transforms", "synthetic", "central-real"):
        assert first.fill(name).read_bytes() == second.fill(name).read_bytes()
        assert history.load(first.run(name, "fedavg")) == history.load(second.run(name, "fedavg"))
