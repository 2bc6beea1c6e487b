"""Merged files by class, which reveal no client."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import params
from pipeline.artifacts.manifest import File
from pipeline.federated.workers import ExecutionOptions
from pipeline.stages import fill, train
from tests.hub.publishing import (
    ANONYMOUS,
    BESIDE,
    REPO,
    generate_project,
    push,
    read_manifest,
    shard_path,
)
from tests.hub.server import Hub


def test_anonymous_files_reveal_no_client(hub: Hub, project: Path) -> None:
    known = read_manifest()
    printed = push(ANONYMOUS)
    tree = hub.tree(REPO)
    files = {f"data/class-{label:05}.parquet" for label in range(3)}
    assert set(tree) - {".gitattributes"} == files | BESIDE - {"params.yaml"}
    assert "6 files to upload" in printed
    rows = [row for path in sorted(files) for row in _rows(tree[path])]
    described = {"image", "label", "class_name", "prompt", "negative_prompt", "guidance", "flags"}
    assert set(rows[0]) == described | {"digital_source_type"}
    mine = {
        row["image"]["bytes"]: row
        for shard in known.shards
        for path in known.paths(shard)
        for row in _rows(path.read_bytes())
    }
    assert len(rows) == len(mine) == known.rows
    for row in rows:
        assert {name: mine[row["image"]["bytes"]][name] for name in row} == row
    for path in files:
        digests = [sha256(row["image"]["bytes"]).digest() for row in _rows(tree[path])]
        assert digests == sorted(digests)
    beside = tree["README.md"].decode() + tree["manifest.json"].decode()
    assert "client-" not in beside.replace("federated-learning", "")
    for secret in (
        known.recipe,
        *(shard.plan for shard in known.shards),
        *(f.sha256 for s in known.shards for f in s.files),
    ):
        assert secret not in beside
        assert all(secret.encode() not in tree[path] for path in files)
    described = json.loads(tree["manifest.json"])
    assert "seed" not in described["recipe_text"]
    assert sum(file["rows"] for file in described["files"]) == known.rows
    hub.requests.clear()
    assert "nothing to do, all 6 files are there" in push(ANONYMOUS)


def _rows(content: bytes) -> list[dict[str, Any]]:
    import io

    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
    return rows


def test_a_small_seed_is_warned_of(hub: Hub, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    push(ANONYMOUS)
    assert "warning: the seed in params.yaml is small" in capsys.readouterr().err


def test_equal_images_of_several_clients_are_published_once(hub: Hub, project: Path) -> None:
    """All images of client 1 become the first one of client 0 or 2 of their class."""
    known = read_manifest()
    others = pa.concat_tables([pq.read_table(shard_path(client)) for client in (0, 2)]).to_pylist()
    first = {row["label"]: row["image"] for row in reversed(others)}
    table = pq.read_table(shard_path(1))
    assert set(table["label"].to_pylist()) <= set(first)
    images = pa.array([first[label] for label in table["label"].to_pylist()], table.schema.field("image").type)
    pq.write_table(table.set_column(0, table.schema.field("image"), images), shard_path(1))
    shard = known.shard(1)
    known.with_shard(replace(shard, files=(File.of(shard_path(1), shard.rows),))).save()
    push(ANONYMOUS)
    described = json.loads(hub.tree(REPO)["manifest.json"])
    expected = sum(known.shard(client).rows for client in (0, 2, 3))
    assert sum(file["rows"] for file in described["files"]) == expected


def test_a_seed_of_128_bits_goes_through_everything(
    hub: Hub,
    document: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It is the one that an anonymous publication asks for; partition, images, training and push take it."""
    document["seed"] = 2**127 + 3
    document["train"] |= {"rounds": 1}
    workspace = generate_project(tmp_path, document)
    monkeypatch.chdir(workspace.root)
    loaded = params.load(workspace.params)
    fill.run(workspace, loaded, "synthetic")
    train.run(workspace, loaded, "synthetic", "fedavg", ExecutionOptions(1))
    capsys.readouterr()
    assert "6 files to upload" in push(ANONYMOUS)
    assert "warning" not in capsys.readouterr().err
