import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.artifacts import manifest, shards
from pipeline.artifacts.manifest import Manifest, Shard
from pipeline.errors import ArtifactError

NAMES = ("bag", "coat")


def written(client: int, recipe: str = "r", plan: str = "p") -> Shard:
    header = {"client": client, "recipe": recipe, "plan": plan}
    return Shard.of(client, shards.write(paths.shard(client), [], NAMES, header), plan)


def example() -> Manifest:
    return Manifest("r", {"steps": 2, "model": "m"}, "own", NAMES, (written(0), replace(written(1), rows=5)))


def test_round_trip(project: Path) -> None:
    made = example()
    made.save()
    assert manifest.load() == made
    assert made.rows == 5


def test_one_line_for_each_shard_and_equal_bytes(project: Path) -> None:
    made = example()
    made.save()
    first = paths.MANIFEST.read_bytes()
    made.save()
    assert paths.MANIFEST.read_bytes() == first
    assert sum('"sha256"' in line for line in first.decode().splitlines()) == 2
    assert "tmp" not in first.decode()


def test_a_manifest_without_clients_is_readable(project: Path) -> None:
    made = replace(example(), shards=())
    made.save()
    assert manifest.load() == made


def test_a_shard_is_described_by_its_bytes(project: Path) -> None:
    shard = written(2)
    assert shard.path == Path("data/shards/client-00002.parquet")
    assert (shard.rows, shard.bytes) == (0, shard.path.stat().st_size)
    shard.check("r")


def test_a_shard_that_is_gone_changed_or_of_another_plan(project: Path) -> None:
    shard = written(2)
    with pytest.raises(ArtifactError, match="of another recipe or plan than the manifest says"):
        shard.check("other recipe")
    with pytest.raises(ArtifactError, match="of another recipe or plan than the manifest says"):
        replace(shard, plan="other").check("r")
    content = bytearray(shard.path.read_bytes())
    content[-12] ^= 1
    shard.path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"shard differs from the manifest: .*client-00002.parquet"):
        shard.check("r")
    shard.path.write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match="shard differs from the manifest"):
        shard.check("r")
    shard.path.unlink()
    with pytest.raises(ArtifactError, match=r"shard missing: .*: run: gen-fedsd regenerate --client 2$"):
        shard.check("r")


def test_one_line_can_be_replaced(project: Path) -> None:
    made = example()
    other = replace(made.shards[1], rows=9)
    assert made.with_shard(other).shards == (made.shards[0], other)
    assert made.shard(1).rows == 5
    for client in (-1, 2):
        with pytest.raises(ArtifactError, match=f"no client {client}: data/manifest.json: clients are 0 to 1"):
            made.shard(client)


def test_missing_and_damaged(project: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: data/manifest.json: run: dvc repro generate"):
        manifest.load()
    example().save()
    document = json.loads(paths.MANIFEST.read_text())
    texts = [
        paths.MANIFEST.read_text()[:-30],
        "[]",
        "null",
        json.dumps({name: value for name, value in document.items() if name != "shards"}),
        json.dumps({**document, "more": 1}),
        json.dumps({**document, "shards": [{**document["shards"][0], "more": 1}]}),
    ]
    for text in texts[:2] + texts[3:]:
        paths.MANIFEST.write_text(text)
        with pytest.raises(ArtifactError, match=r"damaged .*data/manifest.json: run: dvc repro generate"):
            manifest.load()
    paths.MANIFEST.write_text(json.dumps({**document, "shards": document["shards"][::-1]}))
    with pytest.raises(ArtifactError, match="clients missing or out of order"):
        manifest.load()
