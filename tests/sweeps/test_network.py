"""The times of a finished sweep's runs on networks."""

from pathlib import Path

import pyarrow.parquet as pq
import yaml

from pipeline import params
from pipeline.sweeps import page, tables
from tests.sweeps.conftest import planned


def test_every_run_has_a_time_on_each_profile_and_other_profiles_need_no_training(done: Path) -> None:
    """Four cells, two fills, two budgets and as many seeds: a row each on two profiles, then on one.

    The target is what no fill reaches on average after its one round, no two tests in a row: nobody reaches it.
    """
    path = done / "params.yaml"
    document = yaml.safe_load(path.read_text())
    document["network"] = {"profiles": ["world", "LAN"], "draws": 3}
    path.write_text(yaml.safe_dump(document))
    plan = planned(done)
    assert plan.counts()["done"] == 4
    seeds = len(params.load(path).train.seeds)
    page.write(plan)
    found = pq.read_table(plan.folder.network)
    assert found.num_rows == 4 * 2 * 2 * seeds * 2
    lines = found.to_pylist()
    assert all(line["round_seconds"] > 0 and line["hours"] is None for line in lines)
    assert all((line["before_hours"] is None) == (line["fill"] == "none") for line in lines)
    slow, fast = (sum(line["round_seconds"] for line in lines if line["profile"] == name) for name in ("world", "LAN"))
    assert slow > fast
    keys = ("cell", "fill", "algorithm", "budget", "train_seed", "partition_digest")
    results, _ = tables.load(plan.folder)
    assert {tuple(line[key] for key in keys) for line in lines} == {
        tuple(line[key] for key in keys) for line in results.to_pylist()
    }
    document["network"] = {"profiles": ["mobile"], "draws": 3}
    path.write_text(yaml.safe_dump(document))
    plan = planned(done)
    assert plan.counts()["done"] == 4
    page.write(plan)
    assert set(pq.read_table(plan.folder.network)["profile"].to_pylist()) == {"mobile"}
