"""Which images each client trains on with each fill, by class, in an experiment of four clients and three classes."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline import fills
from pipeline.artifacts.gate import Gate
from pipeline.artifacts.partition import Source
from pipeline.data import decoded
from pipeline.errors import ParameterError
from pipeline.federated import inputs, workers
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import begin, simulate
from pipeline.fills.common.given import Given
from pipeline.params import Params
from pipeline.workspace import Workspace
from tests.conftest import small_document
from tests.reporting import world

REAL = [[15, 0, 0], [5, 10, 0], [0, 10, 5], [0, 0, 15]]
SHARDS = [[0, 0, 0], [2, 0, 1], [0, 1, 1], [1, 0, 0]]
"""As ``world.FILLED`` has them: 0, 3, 2 and 1 images, so client 0 lacks none."""
EXPECTED: dict[str, Any] = {
    "none": REAL,
    "warm-up": REAL,
    "synthetic": [[15, 0, 0], [7, 10, 1], [0, 11, 6], [1, 0, 15]],
    "synthetic-gated": [[15, 0, 0], [7, 10, 1], [0, 11, 6], [1, 0, 15]],
    "synthetic-only": SHARDS,
    # 3 images raise client 1's 5 to 8, below its 10; 2 raise client 2's 5 to 7; client 3 has one class.
    "oversample": [[15, 0, 0], [8, 10, 0], [0, 10, 7], [0, 0, 16]],
    "transforms": [[15, 0, 0], [8, 10, 0], [0, 10, 7], [0, 0, 16]],
    "central-real": [[20, 20, 20]],
    "central-synthetic": [[3, 1, 2]],
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Given:
    """The artifacts that fills are made from."""
    return artifacts(tmp_path_factory.mktemp("mix"), small_data, tiny_model)


@pytest.fixture(scope="module")
def gated(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Given:
    """The same, but a gate refused the first synthetic image of each client."""
    made = artifacts(tmp_path_factory.mktemp("gated"), small_data, tiny_model)
    world.manifest(made.workspace.manifest, made.partition.class_names, gate=Gate("0123", "a judge", 0.5))
    return made


def artifacts(folder: Path, small_data: Path, tiny_model: Path) -> Given:
    workspace, params = (
        Workspace(folder, folder / "cache"),
        Params.model_validate(small_document(small_data, tiny_model)),
    )
    world.write(workspace, params, [])
    array = decoded.open_data(workspace, params.data).train.path.stem
    replace(world.partition(params), source=Source(array, 60)).save(workspace.partition)
    return Given(workspace, params)


def mix(given: Given, fill: str) -> NDArray[np.int64]:
    """Return the images of each client and class, (clients, classes), by the labels that training reads."""
    held = fills.make(fill, given)
    data = Inputs.of(held, fills.open_sources(held, given), given.decoded.test)
    return np.array([np.bincount(data.labels(client), minlength=3) for client in range(held.clients)])


def test_what_is_filled_by_hand(given: Given) -> None:
    assert given.counts.tolist() == REAL
    assert given.deficits.missing.tolist() == SHARDS


@pytest.mark.parametrize("fill", fills.names())
def test_images_by_client_and_class_by_hand(given: Given, gated: Given, fill: str) -> None:
    if fill == "real":  # its own tests are in test_real.py
        with pytest.raises(ParameterError, match="the clients hold all images of the training split: fill real: lower"):
            fills.make(fill, given)
        return
    if fill == "synthetic-gated":
        message = "^the fill synthetic-gated needs a gate, .*: params.yaml, generate.gate: set it, e.g. to {judge: "
        with pytest.raises(ParameterError, match=message):
            fills.make(fill, given)
        given = gated
    found = mix(given, fill)
    assert fills.make(fill, given).counts.tolist() == found.tolist()
    if fill == "iid":  # drawn: every class is dealt out whole, and no size changes
        assert (found.sum(axis=0).tolist(), found.sum(axis=1).tolist()) == ([20, 20, 20], [15, 15, 15, 15])
        assert (found > 0).sum() > (np.array(REAL) > 0).sum()
    else:
        assert found.tolist() == EXPECTED[fill]


def test_a_gate_changes_the_images_of_its_own_fill_only(given: Given, gated: Given) -> None:
    """Shades are 40 c + 10 i; the first image of clients 1 to 3 is refused, and comes first where it counts."""
    assert mix(gated, "synthetic").tolist() == mix(given, "synthetic").tolist()
    for fill in ("synthetic-only", "central-synthetic"):
        assert mix(gated, fill).tolist() == mix(given, fill).tolist()
    assert gated.gated_images.pixels[:, 0, 0, 0].tolist() == [40, 50, 60, 80, 90, 120]
    # Client 1 wants two boots, drawn with the shades 251 (refused), 40 and 50, and the coat 60.
    assert gated.synthetic_images.pixels[:, 0, 0, 0].tolist() == [251, 40, 60, 252, 90, 253]
    assert gated.synthetic_images.labels.tolist() == gated.gated_images.labels.tolist() == [0, 0, 2, 1, 2, 0]


def test_controls_of_own_images_add_what_the_synthetic_fill_adds(given: Given) -> None:
    """To each client, and so as many samples under both budgets."""
    for fill in ("oversample", "transforms"):
        assert mix(given, fill).sum(axis=1).tolist() == mix(given, "synthetic").sum(axis=1).tolist()
        samples = fills.make(fill, given).samples
        assert samples["epochs"].tolist() == samples["steps"].tolist()


def test_a_client_that_lacks_nothing_sits_out_of_synthetic_only(
    given: Given, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = fills.make("synthetic-only", given)
    assert "fill synthetic-only: 1 of 4 clients lack nothing, so they hold no image" in capsys.readouterr().err
    data = Inputs.of(held, fills.open_sources(held, given), given.decoded.test)
    _, _, run = next(inputs.runs(held, data, "fedavg", given.params.train, 1))
    end = workers.execute({"a": simulate(run, begin(run))}, run, data, 1, tmp_path)["a"]
    assert [one.client for one in end.rounds[-1].participants] == [1, 2, 3]
    assert [one.samples for one in end.rounds[-1].participants] == [3, 2, 1]
    assert end.rounds[-1].accuracy is not None
