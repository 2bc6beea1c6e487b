"""What the stages write into the ledger when they really draw and train."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import ledger, params
from pipeline.artifacts import deficits as deficits_artifact
from pipeline.artifacts import history
from pipeline.federated.workers import ExecutionOptions
from pipeline.ledger import Entry
from pipeline.params import Params
from pipeline.stages import deficits, fill, generate, partition, train
from pipeline.workspace import Workspace
from tests.conftest import small_document


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> tuple[Workspace, Params]:
    """A workspace whose images were drawn, asked for again, and trained on by one process and by two."""
    folder = tmp_path_factory.mktemp("spent")
    workspace = Workspace(folder, folder / "cache")
    document = small_document(small_data, tiny_model)
    chosen = Params.model_validate(document)
    partition.run(workspace, chosen)
    deficits.run(workspace, chosen)
    for devices in (["cpu"], ["cpu", "cpu"]):
        generate.run(workspace, chosen, devices)
    for name in ("none", "synthetic", "central-real"):
        fill.run(workspace, chosen, name)
    train.run(workspace, chosen, "none", "fedavg", ExecutionOptions(1))
    train.run(workspace, chosen, "synthetic", "fedavg", ExecutionOptions(2))
    train.run(workspace, chosen, "synthetic", "fedavg", ExecutionOptions(1))
    train.run(workspace, chosen, "central-real", "fedavg", ExecutionOptions(1))
    return workspace, chosen


def of(workspace: Workspace, stage: str) -> list[Entry]:
    return [one for one in ledger.read(workspace.ledger).entries if one.stage == stage]


def counted(entries: list[Entry]) -> dict[str, int]:
    total = Counter[str]()
    for one in entries:
        total.update(one.counts)
    return dict(total)


def test_images_are_counted_once_as_rendered_and_again_as_reused(made: tuple[Workspace, Params]) -> None:
    workspace, _ = made
    images = int(deficits_artifact.load(workspace.deficits).missing.sum())
    drawn = of(workspace, "generate")
    assert counted(drawn) == {"images_rendered": images, "images_reused": images}
    alone = [one for one in drawn if one.workers == 1]
    assert 0 < sum(one.device_seconds for one in alone) <= sum(one.seconds for one in alone)
    assert sum(one.device_seconds for one in drawn if one.workers == 2) == 0


def test_bytes_of_a_federation_are_those_of_its_history(made: tuple[Workspace, Params]) -> None:
    """Runs that come from the store cost no bytes again; a central run sends nothing."""
    workspace, chosen = made
    for name, reused in (("none", 0), ("synthetic", 1)):
        runs = history.load(workspace.run(name, "fedavg"))
        trained = {one.rounds: one for one in runs}.values()  # equal budgets are one run
        down, up = (
            sum(getattr(done, key) for one in trained for done in one.rounds) for key in ("bytes_down", "bytes_up")
        )
        expected = {"runs_trained": len(trained), "bytes_down": down, "bytes_up": up}
        found = counted(of(workspace, f"train {name} fedavg"))
        assert found == expected | ({"runs_reused": len(trained)} if reused else {})
    assert counted(of(workspace, "train central-real fedavg")) == {"runs_trained": len(chosen.train.seeds)}


@pytest.mark.parametrize("workers", [1, 2])
def test_seconds_of_workers_are_those_in_which_they_trained(made: tuple[Workspace, Params], workers: int) -> None:
    workspace, _ = made
    name = "none" if workers == 1 else "synthetic"
    entries = [one for one in of(workspace, f"train {name} fedavg") if one.workers == workers]
    busy, passed = sum(one.device_seconds for one in entries), sum(one.seconds for one in entries)
    assert 0 < busy <= workers * passed


def test_every_stage_has_its_lines(made: tuple[Workspace, Params]) -> None:
    stages = dict.fromkeys(one.stage for one in ledger.read(made[0].ledger).entries)
    assert list(stages) == [
        *("partition", "deficits", "generate", "fill none", "fill synthetic", "fill central-real"),
        *("train none fedavg", "train synthetic fedavg", "train central-real fedavg"),
    ]


def test_a_stage_that_fails_says_what_it_spent_until_then(workspace: Workspace, document: dict[str, Any]) -> None:
    loaded = params.load(workspace.params)
    partition.run(workspace, loaded)
    deficits.run(workspace, loaded)
    workspace.shards.mkdir(parents=True)
    (workspace.shards / "notes.txt").touch()
    with pytest.raises(Exception, match="not a shard"):
        generate.run(workspace, loaded, ["cpu"])
    assert [one.stage for one in ledger.read(workspace.ledger).entries] == ["partition", "deficits", "generate"]
