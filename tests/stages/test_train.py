import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pipeline import fills, params
from pipeline.artifacts import alone, history, holdings, manifest, partition
from pipeline.artifacts.partition import Source
from pipeline.data import arrays
from pipeline.errors import ArtifactError
from pipeline.federated import inputs, workers
from pipeline.federated.inputs import Inputs
from pipeline.federated.models import FlatModel, make
from pipeline.federated.runs import RunStore
from pipeline.federated.simulation import RunState, begin, simulate
from pipeline.federated.workers import ExecutionOptions
from pipeline.fills.common.given import Given
from pipeline.params import Params
from pipeline.stages import deficits, fill, generate, train
from pipeline.stages import partition as partition_stage
from pipeline.workspace import Workspace
from tests.conftest import small_document

ONE = ExecutionOptions(1)
NAMES = (
    *("none", "oversample", "transforms", "synthetic", "synthetic-only", "iid", "warm-up"),
    *("central-real", "central-synthetic"),
)
"""Fills that need no image beyond those of the clients, and no gate."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> tuple[Workspace, Params]:
    """A workspace of four clients with these fills, and its parameters."""
    folder = tmp_path_factory.mktemp("filled")
    workspace = Workspace(folder, folder / "cache")
    chosen = Params.model_validate(small_document(small_data, tiny_model))
    partition_stage.run(workspace, chosen)
    deficits.run(workspace, chosen)
    generate.run(workspace, chosen, ["cpu"])
    for name in NAMES:
        fill.run(workspace, chosen, name)
    return workspace, chosen


def test_fills_by_hand(made: tuple[Workspace, Params]) -> None:
    """Each client has 20 or so images of two of three classes; the third is filled up to the larger of the two."""
    workspace, _ = made
    split, shards = partition.load(workspace.partition), manifest.load(workspace.manifest)
    real, synthetic = split.counts().sum(axis=1), np.array([shard.rows for shard in shards.shards])
    missing = split.counts().max(axis=1, keepdims=True) - split.counts()
    assert synthetic.tolist() == missing.sum(axis=1).tolist()
    held = {name: holdings.load(workspace.fill(name)) for name in NAMES}
    assert {name: one.fill for name, one in held.items()} == {name: name for name in held}
    assert held["none"].sizes().tolist() == real.tolist()
    assert held["synthetic"].sizes().tolist() == (real + synthetic).tolist()
    assert held["transforms"].sizes().tolist() == (real + synthetic).tolist()
    assert held["central-real"].sizes().tolist() == [60]
    assert held["central-synthetic"].sizes().tolist() == [int(synthetic.sum())]
    assert held["oversample"].sizes().tolist() == (real + synthetic).tolist()
    assert held["synthetic-only"].sizes().tolist() == synthetic.tolist()
    assert held["iid"].sizes().tolist() == real.tolist()
    for client, repeated in enumerate(held["oversample"].rows["real"]):
        assert repeated[: real[client]].tolist() == split.rows[split.clients == client].tolist()
        assert set(repeated.tolist()) == set(repeated[: real[client]].tolist())
    for name in ("none", "synthetic", "transforms"):
        rows = [own.tolist() for own in held[name].rows["real"]]
        assert rows == [split.rows[split.clients == client].tolist() for client in range(4)]
        assert held[name].samples["steps"].tolist() == (real + synthetic).tolist()
        assert held[name].samples["epochs"].tolist() == held[name].sizes().tolist()
        assert held[name].own.tolist() == real.tolist()
        assert held[name].rounds is None
    for name in ("central-real", "central-synthetic"):
        assert {budget: samples.tolist() for budget, samples in held[name].samples.items()} == {
            "steps": [5 * 8]
        }  # 20 steps in 4 rounds, in batches of 8
        assert held[name].own.tolist() == [60]
        assert held[name].rounds == 4
        assert sorted(np.concatenate(held["central-real"].rows["real"])) == list(range(60))
    pixels = Given(workspace, made[1]).decoded.train.pixels
    for one in held.values():
        np.testing.assert_allclose(one.mean, pixels.mean(axis=(0, 1, 2)))
        np.testing.assert_allclose(one.std, pixels.std(axis=(0, 1, 2)))


def test_fills_share_their_arrays(made: tuple[Workspace, Params]) -> None:
    """All fills hold rows of three arrays: real images, synthetic ones, transformed ones; and no fill copies any."""
    workspace, chosen = made
    given = Given(workspace, chosen)
    opened = {name: fills.open_sources(holdings.load(workspace.fill(name)), given) for name in NAMES}
    used = {stored.path for of_fill in opened.values() for stored in of_fill.values()}
    assert len(used) == 3
    assert set(workspace.arrays.glob("*[0-9a-f].npy")) == used | {given.decoded.test.path}


def test_the_stage_leaves_histories_weights_and_metrics(made: tuple[Workspace, Params]) -> None:
    workspace, chosen = made
    train.run(workspace, chosen, "synthetic", "fedavg", ONE)
    folder = workspace.run("synthetic", "fedavg")
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "history.csv",
        "participants.parquet",
        "classes.csv",
        "clients.csv",
        "weights/epochs-1.safetensors",
        "weights/steps-1.safetensors",
    }
    assert set(json.loads(workspace.metrics("synthetic", "fedavg").read_text())) == {"epochs", "steps"}
    epochs, steps = history.load(folder)
    assert (epochs.budget, steps.budget) == ("epochs", "steps")
    assert epochs.rounds == steps.rounds
    held = holdings.load(workspace.fill("synthetic"))
    assert [[one.client for one in done.participants] for done in epochs.rounds] == [[0, 1, 2, 3]] * 2
    for done in epochs.rounds:
        assert [one.samples for one in done.participants] == held.samples["epochs"].tolist()
        assert [one.steps for one in done.participants] == (-(-held.samples["epochs"] // 8)).tolist()


def test_a_lost_cache_costs_time_only(made: tuple[Workspace, Params], tmp_path: Path) -> None:
    """Arrays are decoded again, transformed images computed again, and the runs end in the same bytes."""
    workspace, chosen = made
    elsewhere = Workspace(workspace.root, tmp_path / "another cache")
    for name in ("transforms", "central-synthetic"):
        train.run(workspace, chosen, name, "fedavg", ONE)
        first = {path.name: path.read_bytes() for path in workspace.run(name, "fedavg").rglob("*.*")}
        train.run(elsewhere, chosen, name, "fedavg", ONE)
        assert {path.name: path.read_bytes() for path in workspace.run(name, "fedavg").rglob("*.*")} == first
    assert len(list(elsewhere.arrays.glob("*[0-9a-f].npy"))) == 4  # with the test images


def test_holdings_of_other_images_are_refused(made: tuple[Workspace, Params]) -> None:
    """As after a shard was rendered again without the stage that follows."""
    workspace, chosen = made
    held = holdings.load(workspace.fill("synthetic"))
    place = workspace.fill("synthetic")
    before = place.read_bytes()
    try:
        stale = {**held.sources, "synthetic": replace(held.sources["synthetic"], array="other")}
        replace(held, sources=stale).save(place)
        with pytest.raises(ArtifactError, match=r"source 'synthetic' has other images now: .*: run: dvc repro fill"):
            train.run(workspace, chosen, "synthetic", "fedavg", ONE)
    finally:
        place.write_bytes(before)


def test_repeated_rows_are_trained_on_as_often_as_they_are_held(made: tuple[Workspace, Params], tmp_path: Path) -> None:
    """Rows that are held twice train as do rows of two arrays of the same images, each held once: to the same bits."""
    workspace, chosen = made
    held, given = holdings.load(workspace.fill("oversample")), Given(workspace, chosen)
    real, sizes, rows = given.decoded.train, given.counts.sum(axis=1), held.rows["real"]
    assert all(len(np.unique(own)) == size < len(own) for own, size in zip(rows, sizes, strict=True))
    twin = arrays.store(tmp_path, "twin", real.labels, real.image_size, lambda: [real.pixels])
    apart = {
        "real": tuple(own[:size] for own, size in zip(rows, sizes, strict=True)),
        "twin": tuple(own[size:] for own, size in zip(rows, sizes, strict=True)),
    }
    split = replace(held, sources={**held.sources, "twin": Source("twin", len(twin))}, rows=apart)
    ends = []
    for holding in (held, split):
        data = Inputs.of(holding, {"real": real, "twin": twin}, given.decoded.test)
        _, _, run = next(inputs.runs(holding, data, "fedavg", chosen.train, chosen.seed))
        ends.append(workers.execute({"a": simulate(run, begin(run))}, run, data, 1, tmp_path)["a"])
    assert np.array_equal(ends[0].weights, ends[1].weights)
    assert [one.samples for one in ends[0].rounds[0].participants] == held.sizes().tolist()


def test_warm_up_starts_from_what_the_synthetic_reference_reached(
    made: tuple[Workspace, Params], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its stage writes the holdings of both, its training trains both, and the reference is paid for by then.

    It is a federated run from those weights over what ``none`` holds, and moves the same bytes as that.
    """
    workspace, chosen = Workspace(tmp_path, tmp_path / "cache"), made[1]
    shutil.copytree(made[0].data, workspace.data)
    workspace.fill("central-synthetic").unlink()
    with pytest.raises(ArtifactError, match=r"^no such file: .*central-synthetic.parquet: run: dvc repro fill$"):
        train.run(workspace, chosen, "warm-up", "fedavg", ONE)
    fill.run(workspace, chosen, "warm-up")
    train.run(workspace, chosen, "warm-up", "fedavg", ONE)
    capsys.readouterr()
    train.run(workspace, chosen, "central-synthetic", "fedavg", ONE)
    said = capsys.readouterr().err
    assert "train central-synthetic fedavg: 1 of 1 runs were trained before and come from the store" in said

    central = load_file(workspace.run("central-synthetic", "fedavg") / "weights" / "steps-1.safetensors")
    flat, held, given = FlatModel("simple-cnn", "group", 3, 16), holdings.load(made[0].fill("none")), Given(*made)
    flat.module.load_state_dict(central)
    data = Inputs.of(held, {"real": given.decoded.train}, given.decoded.test)
    _, _, run = next(inputs.runs(held, data, "fedavg", chosen.train, chosen.seed, {1: "the run of the reference"}))
    start = flat.vector.numpy().copy()
    expected = workers.execute({"a": simulate(run, begin(run, start))}, run, data, 1, tmp_path)["a"]
    found = load_file(workspace.run("warm-up", "fedavg") / "weights" / "epochs-1.safetensors")
    flat.vector.copy_(torch.from_numpy(expected.weights))
    assert all(torch.equal(found[name], tensor) for name, tensor in flat.state().items())

    train.run(workspace, chosen, "none", "fedavg", ONE)
    for warm, cold in zip(*(history.load(workspace.run(name, "fedavg")) for name in ("warm-up", "none")), strict=True):
        assert [done.bytes_down for done in warm.rounds] == [done.bytes_down for done in cold.rounds]
        assert [done.participants for done in warm.rounds] == [done.participants for done in cold.rounds]
        assert warm.final != cold.final or warm.rounds[-1].loss != cold.rounds[-1].loss


def test_each_client_is_trained_alone_under_each_budget(
    made: tuple[Workspace, Params], capsys: pytest.CaptureFixture[str]
) -> None:
    """Both budgets of ``synthetic`` are equal, so its four clients train once; those of ``none`` are not.

    A client that holds labels 0 and 1 sees the accuracies of these classes, weighted by how many images it has of each.
    """
    workspace, chosen = made
    counts, ends = Given(workspace, chosen).counts, {}
    for name, trained in (("synthetic", "4/4 clients"), ("none", "8/8 clients")):
        capsys.readouterr()
        train.run_alone(workspace, chosen, name, ONE)
        assert f"train {name} alone: {trained}" in capsys.readouterr().err
        found = ends[name] = alone.load(workspace.alone(name))
        keys = [(one.fill, one.budget, one.seed, one.client) for one in found]
        assert keys == [(name, budget, 1, client) for budget in ("epochs", "steps") for client in range(4)]
    assert [(a.own, a.whole) for a in ends["synthetic"][:4]] == [(a.own, a.whole) for a in ends["synthetic"][4:]]
    assert not list(workspace.alone("none").rglob("*.safetensors"))

    held, given = holdings.load(workspace.fill("none")), Given(workspace, chosen)
    data = Inputs.of(held, {"real": given.decoded.train}, given.decoded.test)
    for budget, seed, run in inputs.runs(held, data, "fedavg", chosen.train, chosen.seed):
        stored = RunStore(workspace.runs).get(inputs.alone(run))
        assert stored is not None
        mine = [one for one in ends["none"] if (one.budget, one.seed) == (budget, seed)]
        for one, done, own in zip(mine, stored.rounds, counts, strict=True):
            by_class = np.array(done.by_class, np.float64)
            assert one.whole == pytest.approx(by_class.mean(), abs=1e-6)  # as many test images of each class
            assert one.own == pytest.approx((by_class * own).sum() / own.sum(), abs=1e-6)
            assert done.samples == 2 * held.samples[budget][one.client]


def test_without_deficits_the_synthetic_reference_is_untrained_and_that_is_said(
    project: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = params.load(workspace.params)
    chosen = chosen.model_copy(update={"deficits": chosen.deficits.model_copy(update={"ratio": 0.0})})
    partition_stage.run(workspace, chosen)
    deficits.run(workspace, chosen)
    generate.run(workspace, chosen, ["cpu"])
    fill.run(workspace, chosen, "central-synthetic")
    assert "warning: no client lacks an image, so central-synthetic trains on none" in capsys.readouterr().err
    train.run(workspace, chosen, "central-synthetic", "fedavg", ONE)
    (only,) = history.load(workspace.run("central-synthetic", "fedavg"))
    assert [done.steps for done in only.rounds] == [0] * 4


def test_held_out_images_are_tested_on_and_held_by_nobody(project: Path, workspace: Workspace) -> None:
    """A quarter of 20 images of each class is 5, so each accuracy by class is a multiple of a fifth."""
    document = params.load(workspace.params).model_dump(exclude_unset=True)
    document["data"] |= {"test": None, "holdout": 0.25}
    chosen = Params.model_validate(document)
    partition_stage.run(workspace, chosen)
    deficits.run(workspace, chosen)
    fill.run(workspace, chosen, "none")
    train.run(workspace, chosen, "none", "fedavg", ONE)
    rows = np.concatenate(holdings.load(workspace.fill("none")).rows["real"])
    tested = Given(workspace, chosen).decoded.test_rows
    assert tested is not None
    assert sorted([*rows.tolist(), *tested.tolist()]) == list(range(60))
    for run in history.load(workspace.run("none", "fedavg")):
        shares = [5 * (share or 0.0) for share in run.tested[-1].by_class or ()]
        assert len(shares) == 3
        assert shares == pytest.approx([round(share) for share in shares])


@pytest.mark.parametrize(("name", "norm"), [("simple-cnn", "group"), ("resnet20", "group"), ("resnet20", "batch")])
def test_saved_weights_load_into_an_ordinary_module(tmp_path: Path, name: str, norm: str) -> None:
    """With the averages of batch normalisation; and saving them again gives equal bytes."""
    flat = FlatModel(name, norm, 3, 16, seed=6)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    flat.module(images)  # moves averages
    for file in ("a", "b"):
        train.save_weights(tmp_path / file, name, norm, 3, 16, RunState({"weights": flat.vector.numpy()}))
    module = make(name, norm, 3, 16)
    module.load_state_dict(load_file(tmp_path / "a"))
    with torch.no_grad():
        expected = flat.module.eval()(images)
        torch.testing.assert_close(module.eval()(images), expected, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
