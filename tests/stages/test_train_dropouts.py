"""Drop-outs from the replay of recorded rounds to runs that are trained with them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import dropouts, history
from pipeline.commands import network
from pipeline.errors import ArtifactError, ParameterError
from pipeline.evaluation.network.replay import networks, replay
from pipeline.federated.runs import RunStore
from pipeline.federated.workers import ExecutionOptions
from pipeline.params import Params
from pipeline.stages import deficits, fill, fingerprint, train
from pipeline.stages import partition as partition_stage
from pipeline.workspace import Workspace
from tests.conftest import small_document

ONE = ExecutionOptions(1)


def changed(document: dict[str, Any], lost: str | None = None, **options: Any) -> Params:
    """Return parameters with ``train.dropouts`` and the section ``network`` changed."""
    train = {**document["train"], "dropouts": lost, "fills": ["none"], "references": ["central-real"], "seeds": [1, 2]}
    return Params.model_validate({**document, "train": train, "network": {**document["network"], **options}})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Workspace:
    """Four clients that were trained for two rounds, with two seeds."""
    folder = tmp_path_factory.mktemp("trained")
    workspace, chosen = Workspace(folder, folder / "cache"), changed(small_document(small_data, tiny_model))
    partition_stage.run(workspace, chosen)
    deficits.run(workspace, chosen)
    for name in ("none", "central-real"):
        fill.run(workspace, chosen, name)
        train.run(workspace, chosen, name, "fedavg", ONE)
    return workspace


@pytest.fixture
def trained(made: Workspace, tmp_path: Path) -> Workspace:
    """The same, to be changed."""
    shutil.copytree(made.root, tmp_path / "trained")
    return Workspace(tmp_path / "trained", tmp_path / "trained/cache")


def test_what_is_recorded_is_what_does_not_arrive(
    trained: Workspace, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Three of four clients end a round on links of the world: one drops out in each of two rounds.

    Replayed on the same links, the rounds take as long as those that they were recorded in, and no run of before is
    lost or found in place of those with drop-outs.
    """
    options: dict[str, Any] = {"first": 3, "profiles": ["world"]}
    before = history.load(trained.run("none", "fedavg"))
    assert len(before) == 4
    written = network.record(trained, changed(document, **options), None, trained.root / "lost.csv")
    assert (written.runs, written.dropouts, written.participations, written.ended_early) == (4, 8, 32, 0)
    file = dropouts.load(trained.root / "lost.csv")
    assert {(one.fill, one.algorithm) for one in file} == {("none", "fedavg")}
    stored = len(RunStore(trained.runs).entries())
    capsys.readouterr()

    chosen = changed(document, "lost.csv", **options)
    train.run(trained, chosen, "none", "fedavg", ONE)
    assert "train none fedavg: 8 updates do not arrive in 4 of 4 runs (" in capsys.readouterr().err
    after = history.load(trained.run("none", "fedavg"))
    found = [
        (run.seed, done.number, one.client, "none", "fedavg", run.budget)
        for run in after for done in run.rounds for one in done.participants if one.dropped
    ]  # fmt: skip
    assert sorted(found) == sorted((a.seed, a.round, a.client, a.fill, a.algorithm, a.budget) for a in file)
    assert len(RunStore(trained.runs).entries()) == stored + 4
    (world,) = networks(chosen.network, chosen.training_seed)
    for first, second in zip(before, after, strict=True):
        assert [done.loss for done in first.rounds] != [done.loss for done in second.rounds]
        assert [done.samples for done in first.rounds] == [done.samples for done in second.rounds]
        assert [done.bytes_up * 3 // 4 for done in first.rounds] == [done.bytes_up for done in second.rounds]
        recorded, replayed = (replay(run, world, [run.seed]).seconds for run in (first, second))
        np.testing.assert_array_equal(recorded, replayed)

    with pytest.raises(ParameterError, match=r"the recorded runs have drop-outs already: .*lost\.csv: set it to null"):
        network.record(trained, chosen, None, trained.root / "again.csv")
    assert not (trained.root / "again.csv").exists()
    assert all(one.dropped == pytest.approx(0.25) for one in network.times(trained, chosen))
    train.run(trained, changed(document), "none", "fedavg", ONE)
    assert history.load(trained.run("none", "fedavg")) == before
    assert "train none fedavg: 4 of 4 runs were trained before" in capsys.readouterr().err


def test_clients_alone_and_central_runs_have_none(trained: Workspace, document: dict[str, Any]) -> None:
    (trained.root / "lost.csv").write_text("seed,round,client\n1,1,0\n")
    stored = len(RunStore(trained.runs).entries())
    train.run(trained, changed(document, "lost.csv"), "central-real", "fedavg", ONE)
    assert len(RunStore(trained.runs).entries()) == stored


def test_times_of_arms(trained: Workspace, document: dict[str, Any]) -> None:
    """On one link for all, every round takes what the client with most images needs.

    Of 8 Mbit/s down and 4 up, without a round-trip time: 12 s for each million bytes both ways, and nothing else.
    """
    (trained.root / "link.csv").write_text("quantile,down_mbit_s,up_mbit_s,rtt_ms\n0.5,8,4,0\n")
    chosen = changed(document, profiles=["link.csv", "LAN"], sample_seconds=0, draws=2)
    found = network.times(trained, chosen)
    assert [(one.profile, one.budget) for one in found] == [
        ("link.csv", "epochs"), ("link.csv", "steps"), ("LAN", "epochs"), ("LAN", "steps"),
    ]  # fmt: skip
    (sent,) = {
        one.bytes_down for run in history.load(trained.run("none", "fedavg")) for one in run.rounds[0].participants
    }
    assert found[0].seconds == pytest.approx((3e-6 * sent,) * 3)
    assert found[0].hours == pytest.approx(2 * 3e-6 * sent / 3600)
    assert found[0].dropped == 0


def test_nothing_is_recorded_if_every_round_waits(trained: Workspace, document: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="every round waits for all of its clients: "):
        network.record(trained, changed(document), "world", trained.root / "lost.csv")
    with pytest.raises(ParameterError, match="no network profile 'moon'"):
        network.record(trained, changed(document, first=1), "moon", trained.root / "lost.csv")


def test_the_fingerprint_is_of_the_drop_outs_and_not_of_their_file(
    trained: Workspace, document: dict[str, Any]
) -> None:
    def printed(text: str | None) -> Any:
        place = None
        if text is not None:
            place = f"{len(list(trained.root.glob('*.csv')))}.csv"
            (trained.root / place).write_text(text)
        fingerprint.run(trained, changed(document, place), fingerprint.DROPOUTS)
        return json.loads(trained.fingerprint("dropouts").read_text())

    first = printed("seed,round,client\n1,1,0\n1,2,0\n")
    assert printed("client,round,seed,fill\n0,2,1,\n0,1,1,\n0,1,1,\n") == first
    assert printed(None) == {"dropouts": None}
    assert printed("seed,round,client\n1,1,0\n1,2,1\n") != first
    with pytest.raises(ArtifactError, match=r"cannot be read .*: .*none.csv: .*; or keep the results of what is not"):
        fingerprint.run(trained, changed(document, "none.csv"), fingerprint.DROPOUTS)
