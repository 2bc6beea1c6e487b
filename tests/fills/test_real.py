"""Real images that no client holds, and real images that leave, in an experiment of four clients and three classes.

Of 60 images, 20 of each class, the clients hold 42; each holds two classes.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import fills
from pipeline.federated.inputs import Inputs
from pipeline.fills import real
from pipeline.fills.common.given import REAL, SYNTHETIC, UNUSED, Given
from pipeline.params import Params
from pipeline.stages import deficits, partition
from pipeline.workspace import Workspace
from tests.conftest import small_document
from tests.reporting import world

Int64 = NDArray[np.int64]


def made(folder: Path, small_data: Path, tiny_model: Path, **chosen: object) -> Given:
    """Return the artifacts of an experiment with these deficits."""
    document = small_document(small_data, tiny_model)
    document["partition"] |= {"max_images": 42}
    document["deficits"] |= chosen
    workspace, params = Workspace(folder, folder / "cache"), Params.model_validate(document)
    partition.run(workspace, params)
    deficits.run(workspace, params)
    return Given(workspace, params)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Given:
    return made(tmp_path_factory.mktemp("real"), small_data, tiny_model)


@pytest.fixture(scope="module")
def balanced(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Given:
    """The same with the rule same-total."""
    return made(tmp_path_factory.mktemp("balanced"), small_data, tiny_model, rule="same-total")


def test_the_oracle_gives_real_images_that_nobody_holds(given: Given) -> None:
    """As many of each class as the deficits say; training sees their pixels and labels."""
    held = fills.make("real", given)
    assert held.counts.tolist() == (given.counts + given.deficits.missing).tolist()
    assert [own.tolist() for own in held.rows[REAL]] == [own.tolist() for own in given.partition.by_client()]
    for own, missing in zip(held.rows[UNUSED], given.deficits.missing, strict=True):
        assert not set(own.tolist()) & set(given.partition.rows.tolist())
        assert len(set(own.tolist())) == np.minimum(missing, 6).sum()
    data = Inputs.of(held, fills.open_sources(held, given), given.decoded.test)
    for client in range(4):
        assert np.bincount(data.labels(client), minlength=3).tolist() == held.counts[client].tolist()
    assert held.rows[UNUSED][0].tolist() == fills.make("real", given).rows[UNUSED][0].tolist()


def test_too_few_unused_images_are_said(given: Given, capsys: pytest.CaptureFixture[str]) -> None:
    """6 of each class are unused; some class is lacked by more clients than that feeds."""
    fills.make("real", given)
    said = capsys.readouterr().err
    wanted = given.deficits.missing.sum(axis=0)
    assert (wanted > 6).any()
    assert f"fill real: {(wanted > 6).sum()} classes have fewer unused images than clients lack together" in said
    assert f"6 images for {wanted.max()} gaps" in said


def test_dealing_by_hand() -> None:
    """Clients 0 and 1 miss 2 and 3 of label 0, of which there are 4; nobody has an image of label 2."""
    rows, labels = np.array([5, 6, 7, 8, 9]), np.array([0, 0, 0, 0, 1])
    missing = np.array([[2, 0, 1], [3, 2, 0], [0, 0, 0]])
    dealt, counts = real.deal(rows, labels, missing, 1)
    assert counts.tolist() == [[2, 0, 0], [3, 2, 0], [0, 0, 0]]
    assert [len(own) for own in dealt] == [2, 5, 0]
    first, second = dealt[0].tolist(), dealt[1][:3].tolist()
    assert set(first) | set(second) == {5, 6, 7, 8}
    assert len(set(second)) == 3
    assert dealt[1][3:].tolist() == [9, 9]
    assert [own.tolist() for own in real.deal(rows, labels, missing, 1)[0]] == [own.tolist() for own in dealt]


def test_a_surplus_leaves_every_fill_that_fills_gaps(balanced: Given) -> None:
    """Sizes stay; the same real images leave, as many of each class as the deficits say."""
    surplus = balanced.deficits.surplus
    assert surplus.any()
    sizes = balanced.counts.sum(axis=1).tolist()
    held = fills.make("real", balanced)
    assert held.sizes().tolist() == sizes
    assert held.counts.tolist() == balanced.deficits.filled.tolist()
    labels = balanced.decoded.train.labels
    for client, own in enumerate(held.rows[REAL]):
        assert set(own.tolist()) <= set(balanced.partition.by_client()[client].tolist())
        counts = np.bincount(labels[own], minlength=3)
        assert counts.tolist() == (balanced.counts - surplus)[client].tolist()
    samples = held.samples["steps"].tolist()
    assert samples == held.samples["epochs"].tolist() == fills.make("none", balanced).samples["epochs"].tolist()


def test_the_synthetic_fill_leaves_the_same_ones_out(balanced: Given) -> None:
    world.manifest(balanced.workspace.manifest, balanced.partition.class_names)
    held = fills.make("synthetic", balanced)
    oracle = fills.make("real", balanced)
    assert [own.tolist() for own in held.rows[REAL]] == [own.tolist() for own in oracle.rows[REAL]]
    assert [len(own) for own in held.rows[SYNTHETIC]] == [0, 3, 2, 1]


def test_controls_of_own_images_keep_their_size_and_images(balanced: Given) -> None:
    for fill in ("oversample", "transforms"):
        assert fills.make(fill, balanced).counts.tolist() == balanced.counts.tolist()
