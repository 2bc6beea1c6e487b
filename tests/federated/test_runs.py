import os
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts.history import Participation, Round
from pipeline.federated import runs, state_file
from pipeline.federated.algorithm import LocalSettings
from pipeline.federated.algorithms.fedprox import FedProx
from pipeline.federated.local import Normalisation
from pipeline.federated.runs import RunStore
from pipeline.federated.simulation import Run, RunState
from pipeline.workspace import Workspace

MakeRun = Callable[..., Run]
ROUNDS = [
    Round(1, (Participation(0, 2, 3, 4, 5),), 0.5, 2.0, (1.0, None)),
    Round(2, (), 0.25, float("nan"), (0.5, None)),
]


@pytest.fixture
def store(workspace: Workspace) -> RunStore:
    return RunStore(workspace.runs)


def end(value: float = 1.0) -> RunState:
    state = {"weights": np.full(4, value, np.float32), "control": np.ones(4, np.float32)}
    return RunState(state, {1: {"control": np.ones(4, np.float32)}}, ROUNDS)


def test_history_and_weights_are_kept_and_nothing_else(store: RunStore, run: MakeRun) -> None:
    """What server and clients keep for further rounds is not part of a result."""
    assert store.get(run()) is None
    store.keep(run(), end(), "a title", 1.5)
    found = store.get(run())
    assert found is not None
    assert {name: vector.tolist() for name, vector in found.state.items()} == {"weights": [1.0] * 4}
    assert found.client_states == {}
    assert repr(found.rounds) == repr(ROUNDS)


def test_another_run_does_not_find_it(store: RunStore, run: MakeRun) -> None:
    """Whatever differs of what decides a run."""
    made = run()
    store.keep(made, end(), "a title", 1.5)
    others: dict[str, Any] = {
        "clients": (*made.clients[:2], replace(made.clients[2], samples=2)),
        "images": "other",
        "normalisation": Normalisation((1.0, 2.0, 3.0), made.normalisation.std),
        "algorithm": FedProx(),
        "model": "lenet5",
        "norm": "batch",
        "image_size": 17,
        "tests": (3, 2, 4),
        "settings": replace(made.settings, augment="shift"),
        "schedule": replace(made.schedule, decay=0.5),
        "rounds": 4,
        "clients_per_round": 2,
        "eval_every": 2,
        "stop_at": 0.5,
        "seed": 2,
        "last_rounds": 2,
        "start": "a digest",
        "alone": True,
        "dropouts": ((1, 0),),
    }
    assert set(others) == {field.name for field in fields(Run)}
    found = [replace(made, **{name: value}) for name, value in others.items()]
    found += [replace(made, algorithm=FedProx(mu=0.5)), replace(made, settings=LocalSettings(6, 0.9, 0.1))]
    assert len({runs.digest(other) for other in (made, *found)}) == len(found) + 1
    assert [store.get(other) for other in found] == [None] * len(found)


def test_another_version_of_code_or_torch_does_not_find_it(
    store: RunStore, run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.keep(run(), end(), "a title", 1.5)
    with monkeypatch.context() as patch:
        patch.setattr(runs, "VERSION", runs.VERSION + 1)
        assert store.get(run()) is None
    with monkeypatch.context() as patch:
        patch.setattr("torch.__version__", "0.1")
        assert store.get(run()) is None
    assert store.get(run()) is not None


def test_a_damaged_file_counts_as_none_and_is_reported(
    store: RunStore, run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    store.keep(run(), end(), "a title", 1.5)
    (path,) = store.folder.iterdir()
    spoilt = bytearray(path.read_bytes())
    spoilt[-1] ^= 1
    path.write_bytes(spoilt)
    assert store.get(run()) is None
    assert capsys.readouterr().err == f"{path} is damaged; this run is trained again\n"
    for content in (b"no run", b""):
        path.write_bytes(content)
        assert [entry.title for entry in store.entries()] == ["damaged"]
    state_file.write(path, end(), {"title": "of another version", "colour": "red"})
    assert [entry.title for entry in store.entries()] == ["damaged"]


def test_entries_say_what_they_are_in_order_of_last_use(store: RunStore, run: MakeRun) -> None:
    """The first was used last, since it was read after both were written."""
    first, second = run(), run(seed=2)
    for made, title in ((first, "first"), (second, "second")):
        store.keep(made, end(), title, 1.5)
    for path in store.folder.iterdir():
        os.utime(path, (1_000, 1_000))
    assert {entry.used for entry in store.entries()} == {1_000}
    assert store.get(first) is not None
    entries = store.entries()
    assert [entry.digest for entry in entries] == [runs.digest(second), runs.digest(first)]
    assert [entry.title for entry in entries] == ["second", "first"]
    assert (entries[0].algorithm, entries[0].model) == ("FedAvg()", "simple-cnn")
    assert (entries[0].rounds, entries[0].accuracy, entries[0].seconds) == (2, 0.25, 1.5)
    assert all(entry.disk_bytes == (store.folder / f"{entry.digest}.safetensors").stat().st_size for entry in entries)
    store.delete(entries[0])
    assert store.get(second) is None
    assert store.get(first) is not None
