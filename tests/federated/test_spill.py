import gc
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ArtifactError
from pipeline.federated import spill, workers
from pipeline.federated.algorithm import Update
from pipeline.federated.algorithms import make
from pipeline.federated.inputs import Inputs
from pipeline.federated.simulation import Client, Run, Score, begin, simulate
from pipeline.federated.spill import Spill

MakeRun = Callable[..., Run]


def mapped() -> int:
    """Return how many unnamed files this process has mapped."""
    return Path("/proc/self/maps").read_text().count("(deleted)")


def update(size: int, control: int = 0) -> Update:
    up = {"weights": np.arange(size, dtype=np.float32)}
    return Update(up, {"control": np.ones(control, np.float32)} if control else {}, 3, 2, 1)


def test_few_vectors_stay_in_memory_and_many_go_to_files(run: MakeRun, tmp_path: Path) -> None:
    """Three clients of a round and two runs, 4 bytes a number: 2,400 bytes."""
    made = run()
    clients = len(made.clients)
    small = update(100)
    assert Spill(made, 2, tmp_path, 2 * clients * 400).keep(small) is small
    kept = Spill(made, 2, tmp_path, 2 * clients * 400 - 1).keep(small)
    assert isinstance(kept, Update)
    assert kept.up["weights"] is not small.up["weights"]
    assert np.array_equal(kept.up["weights"], small.up["weights"])
    assert (kept.weight, kept.steps, kept.samples) == (3, 2, 1)
    assert Spill(replace(made, clients_per_round=1), 1, tmp_path, 400).keep(small) is small
    tested = Score((1,), 0.5)
    assert Spill(made, 1, tmp_path, 0).keep(tested) is tested


def test_what_clients_keep_counts_for_all_of_them(run: MakeRun, tmp_path: Path) -> None:
    made = replace(run(), clients_per_round=1)
    enough = 400 + len(made.clients) * 40
    both = update(100, 10)
    assert Spill(made, 1, tmp_path, enough).keep(both) is both
    assert Spill(made, 1, tmp_path, enough - 1).keep(both) is not both


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads in /proc what is mapped")
def test_a_file_is_freed_with_its_last_vector(run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two vectors to a file; no file has a name."""
    monkeypatch.setattr(spill, "_FILE", 800)
    before, made = mapped(), Spill(run(), 1, tmp_path, 0)
    kept = [made.keep(update(100)) for _ in range(6)]
    assert mapped() - before == 3
    assert list(tmp_path.iterdir()) == []
    del kept[:3]
    gc.collect()
    assert mapped() - before == 2
    kept.clear()
    gc.collect()
    assert mapped() - before == 1  # the one that is being filled


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold", "moon"])
def test_where_vectors_are_kept_changes_no_bit(
    inputs: Inputs, run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, algorithm: str, count: int
) -> None:
    made = replace(run(), algorithm=make(algorithm, {}))

    def weights() -> bytes:
        ended = workers.execute({"a": simulate(made, begin(made))}, made, inputs, count, tmp_path)
        return ended["a"].weights.tobytes()

    whole = weights()
    monkeypatch.setattr(workers, "Spill", lambda run, runs, folder: Spill(run, runs, folder, 0))
    assert weights() == whole


def test_memory_does_not_grow_with_the_clients_of_a_round(run: MakeRun, tmp_path: Path) -> None:
    """2,000 clients send half a gigabyte; none of it is memory that the system cannot page out."""
    clients = tuple(Client(1, 1) for _ in range(2_000))
    made = replace(run(), clients=clients, rounds=1)
    pages = Spill(made, 1, tmp_path, 0)

    def anonymous() -> int:
        text = Path("/proc/self/status").read_text()
        return int(text.partition("RssAnon:")[2].split()[0]) << 10

    kept = [pages.keep(update(62_006))]
    before = anonymous()
    kept += [pages.keep(update(62_006)) for _ in clients]
    assert anonymous() - before < 50_000_000


def test_a_full_disk_is_one_line(run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        ArtifactError, match=r"no space for what clients send \(No space left on device\): .*: free some space"
    ):
        Spill(run(), 1, tmp_path, 0).keep(update(10))
