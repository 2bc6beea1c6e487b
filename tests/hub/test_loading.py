"""What a stranger does with a publication, with the unmodified clients in processes of their own."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import CLASS_NAMES, MakeImages
from tests.hub.publishing import ALL, ANONYMOUS, REPO, TOKEN, generate_project, push, read_manifest, rewrite, split
from tests.hub.server import Hub

FLOWER_DATASETS = "flwr-datasets==0.6.0"
ENVIRONMENT = Path(__file__).parents[2] / ".flwr-datasets"

LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
from datasets.features import ClassLabel, Image

repo = sys.argv[1]

def summary(loaded):
    features = loaded.features
    assert isinstance(features["image"], Image) and isinstance(features["label"], ClassLabel), features
    rows = list(loaded)
    assert all(row["image"].size == (16, 16) for row in rows)
    return {"names": features["label"].names, "rows": len(rows), "labels": [row["label"] for row in rows],
            "clients": sorted({row["client"] for row in rows} if rows and "client" in rows[0] else [])}

found = {"configs": get_dataset_config_names(repo), "default": summary(load_dataset(repo, split="train"))}
found["streamed"] = summary(load_dataset(repo, split="train", streaming=True))
found["of files"] = summary(load_dataset(repo, data_files=sys.argv[2], split="train"))
if len(sys.argv) > 3:
    found["client"] = summary(load_dataset(repo, sys.argv[3], split="train"))
print(json.dumps(found))
"""

FLOWER = """
import json, sys
from flwr_datasets import FederatedDataset
from flwr_datasets.partitioner import NaturalIdPartitioner

federated = FederatedDataset(dataset=sys.argv[1], partitioners={"train": NaturalIdPartitioner("client")})
first = federated.load_partition(0)
partitioner = federated.partitioners["train"]
parts = {partitioner.partition_id_to_natural_id[i]: len(federated.load_partition(i))
         for i in range(partitioner.num_partitions)}
print(json.dumps({"parts": parts, "names": first.features["label"].names, "size": first[0]["image"].size}))
"""


def run(hub: Hub, home: Path, python: str | Path, code: str, *arguments: str, **changes: str) -> Any:
    """Run code in a process that talks to this Hub; return the JSON that it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "GEN_"))}
    environment |= {
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(home),
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "FLWR_TELEMETRY_ENABLED": "0",
        "USE_TORCH": "0",  # datasets takes seconds to load it, and none of this needs it
        **changes,
    }
    done = subprocess.run(
        [str(python), "-c", code, *arguments],
        env=environment,
        cwd=home.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_all_of_it_one_client_streaming_and_by_file(hub: Hub, project: Path, tmp_path: Path) -> None:
    rewrite(3, slice(0, 0))  # a client that lacks nothing
    push(ALL)
    known = read_manifest()
    found = run(hub, tmp_path / "home", sys.executable, LOAD, REPO, "data/000/client-00001.parquet", "client-001")
    assert found["configs"] == ["default", "client-000", "client-001", "client-002"]
    assert found["default"]["rows"] == known.rows
    assert found["default"]["clients"] == [0, 1, 2]
    assert found["streamed"] == found["default"]
    assert found["client"]["clients"] == [1]
    assert found["client"]["rows"] == known.shard(1).rows
    assert found["of files"] == found["client"]
    assert {tuple(one["names"]) for name, one in found.items() if name != "configs"} == {CLASS_NAMES}
    counts = np.bincount(found["default"]["labels"], minlength=3).tolist()
    assert counts == [sum(column) for column in zip(*(shard.counts for shard in known.shards), strict=True)]


def test_more_than_a_hundred_clients(
    hub: Hub, document: dict[str, Any], make_images: MakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One configuration, with the client as a column, and a card with the extremes in place of a line for each."""
    labels = [label for label in range(3) for _ in range(40)]
    make_images(tmp_path / "real/train.parquet", np.zeros((120, 16, 16, 3), np.uint8), labels)
    make_images(tmp_path / "real/test.parquet", np.zeros((3, 16, 16, 3), np.uint8), [0, 1, 2])
    document["data"] |= {"path": str(tmp_path / "real")}
    document["partition"] |= {"clients": 120, "labels_per_client": 1}
    document["generate"] |= {"sharing": "common"}
    monkeypatch.chdir(generate_project(tmp_path, document).root)
    push(ALL)
    rows = read_manifest().rows
    found = run(hub, tmp_path / "home", sys.executable, LOAD, REPO, "data/000/client-00007.parquet")
    assert found["configs"] == ["default"]
    assert found["default"]["rows"] == found["streamed"]["rows"] == rows
    assert found["default"]["clients"] == [shard.client for shard in read_manifest().shards if shard.rows]
    assert found["of files"]["clients"] == [7]
    card = hub.tree(REPO)["README.md"].decode()
    assert "| class | images | fewest of a client | most of a client |" in card
    assert len(card.splitlines()) < 150


def test_clients_in_several_files(hub: Hub, project: Path, tmp_path: Path) -> None:
    """A client's part files are one configuration; one that becomes smaller leaves no part behind."""
    rows = read_manifest().shard(1).rows
    split(1, [4, 2, rows - 6])
    parts = {f"data/000/client-00001{part}.parquet" for part in ("", ".part-001", ".part-002")}
    push(ALL)
    assert parts <= set(hub.tree(REPO))
    found = run(hub, tmp_path / "home", sys.executable, LOAD, REPO, sorted(parts)[0], "client-001")
    assert (found["client"]["rows"], found["of files"]["rows"]) == (rows, 4)
    rewrite(1, slice(0, 3))
    push(replace(ALL, clients=(1,)))
    assert parts & set(hub.tree(REPO)) == {"data/000/client-00001.parquet"}


def test_merged_by_class(hub: Hub, project: Path, tmp_path: Path) -> None:
    push(ANONYMOUS)
    found = run(hub, tmp_path / "home", sys.executable, LOAD, REPO, "data/class-00001.parquet")
    assert found["configs"] == ["default"]
    assert found["default"]["rows"] == read_manifest().rows
    assert found["streamed"] == found["default"]
    assert set(found["of files"]["labels"]) == {1}
    assert found["default"]["names"] == list(CLASS_NAMES)


@pytest.fixture(scope="module")
def flower_python() -> Path:
    """An environment of its own for flwr-datasets, which needs older libraries than this project; kept between runs."""
    python = ENVIRONMENT / "bin/python"
    if not (ENVIRONMENT / "installed").is_file():
        for command in (
            [sys.executable, "-m", "venv", str(ENVIRONMENT)],
            [str(python), "-m", "pip", "install", "--quiet", FLOWER_DATASETS],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"cannot install {FLOWER_DATASETS}: {done.stderr.splitlines()[-1]}")
        (ENVIRONMENT / "installed").touch()
    return python


def test_flower_takes_the_clients_from_the_column(hub: Hub, project: Path, tmp_path: Path, flower_python: Path) -> None:
    # This older client distinguishes hosts, but not ports.
    push(replace(ALL, public=True))
    endpoint = hub.endpoint.replace("127.0.0.1", "localhost")
    found = run(hub, tmp_path / "home", flower_python, FLOWER, REPO, HF_TOKEN="", HF_ENDPOINT=endpoint)
    known = read_manifest()
    assert found["parts"] == {str(shard.client): shard.rows for shard in known.shards}
    assert (found["names"], found["size"]) == (list(CLASS_NAMES), [16, 16])
