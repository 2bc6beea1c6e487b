"""What a stranger does with a publication, with the unmodified clients in processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.artifacts import manifest
from pipeline.hub.push import Options, push
from tests.conftest import CLASS_NAMES
from tests.hub.conftest import REPO, TOKEN
from tests.hub.server import Hub
from tests.hub.test_push import rewrite

FLOWER_DATASETS = "flwr-datasets==0.6.0"
ENVIRONMENT = Path(__file__).parents[2] / ".flwr-datasets"

LOAD = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
from datasets.features import ClassLabel, Image

repo = sys.argv[1]

def told(loaded):
    features = loaded.features
    assert isinstance(features["image"], Image) and isinstance(features["label"], ClassLabel), features
    rows = list(loaded)
    assert all(row["image"].size == (16, 16) for row in rows)
    return {"names": features["label"].names, "rows": len(rows), "labels": [row["label"] for row in rows],
            "clients": sorted({row["client"] for row in rows} if rows and "client" in rows[0] else [])}

found = {"configs": get_dataset_config_names(repo), "default": told(load_dataset(repo, split="train"))}
found["streamed"] = told(load_dataset(repo, split="train", streaming=True))
found["of files"] = told(load_dataset(repo, data_files=sys.argv[2], split="train"))
if len(sys.argv) > 3:
    found["client"] = told(load_dataset(repo, sys.argv[3], split="train"))
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
    push(Options(REPO))
    known = manifest.load()
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


def test_merged_by_class(hub: Hub, project: Path, tmp_path: Path) -> None:
    push(Options(REPO, anonymous=True))
    found = run(hub, tmp_path / "home", sys.executable, LOAD, REPO, "data/class-00001.parquet")
    assert found["configs"] == ["default"]
    assert found["default"]["rows"] == manifest.load().rows
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
    # This older client tells hosts apart, but not ports.
    push(Options(REPO, public=True))
    endpoint = hub.endpoint.replace("127.0.0.1", "localhost")
    found = run(hub, tmp_path / "home", flower_python, FLOWER, REPO, HF_TOKEN="", HF_ENDPOINT=endpoint)
    known = manifest.load()
    assert found["parts"] == {str(shard.client): shard.rows for shard in known.shards}
    assert (found["names"], found["size"]) == (list(CLASS_NAMES), [16, 16])


def test_the_commands(hub: Hub, project: Path, tmp_path: Path) -> None:
    """Push, dry run and pull by the command line; a wrong token is one line and exit code 2."""

    def gen_fedsd(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **changes,
        }
        command = [sys.executable, "-m", "pipeline", *arguments, "--repo-id", REPO]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done = gen_fedsd("push", HF_TOKEN="hf_nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("error: the Hub does not accept this token (401): ada/fill: log in")
    assert "hf_nonsense" not in done.stderr
    done = gen_fedsd("push", "--dry-run")
    assert done.stdout.startswith(f"{REPO} (a new private repository): 7 files to upload")
    done = gen_fedsd("push", "--tag", "v1", "--license", "cc0-1.0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{REPO} (private): 7 files to upload")
    assert b"license: cc0-1.0" in hub.tree(REPO)["README.md"]
    done = gen_fedsd("push", "--client", "1", "--client", "2", "--license", "cc0-1.0")
    assert done.stdout == f"{REPO} (private): nothing to do, all 4 files are there\n"
    done = gen_fedsd("pull", "--revision", "v1", GEN_FEDSD_CACHE=str(tmp_path / "other"))
    assert done.returncode == 0, done.stderr
    assert "; 42 are new in " in done.stdout
