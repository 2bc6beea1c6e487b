import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import paths
from pipeline.artifacts import manifest, shards
from pipeline.artifacts.manifest import File, Manifest, Shard
from pipeline.errors import ArtifactError

NAMES = ("bag", "coat")


def written(client: int, recipe: str = "r", plan: str = "p", part: int = 0) -> File:
    """Write a file without rows."""
    header = {"client": client, "recipe": recipe, "plan": plan}
    (made,) = shards.write(lambda _: paths.shard(client, part), [], NAMES, header, 1)
    return File.of(*made)


def example() -> Manifest:
    """Client 0 has an empty shard of one file, client 1 one of five rows in two files."""
    parts = tuple(replace(written(1, part=part), rows=rows) for part, rows in enumerate((3, 2)))
    line = Shard(1, "p", (4, 1), parts)
    return Manifest("r", {"steps": 2, "model": "m"}, "own", NAMES, (Shard(0, "p", (0, 0), (written(0),)), line))


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
    assert [line.count('"sha256"') for line in first.decode().splitlines() if '"sha256"' in line] == [1, 2]
    assert "tmp" not in first.decode()


def test_a_manifest_without_clients_is_readable(project: Path) -> None:
    made = replace(example(), shards=())
    made.save()
    assert manifest.load() == made


def test_a_shard_is_described_by_its_bytes(project: Path) -> None:
    shard = Shard(2, "p", (7, 0), (replace(written(2), rows=4), replace(written(2, part=1), rows=3)))
    assert shard.paths == [Path("data/shards/client-00002.parquet"), Path("data/shards/client-00002.part-001.parquet")]
    assert (shard.rows, shard.bytes) == (7, sum(path.stat().st_size for path in shard.paths))
    shard.check("r")


@pytest.mark.parametrize("counts", [(4, 2), (5,), (3, 1, 1)])
def test_counts_that_do_not_add_up(project: Path, counts: tuple[int, ...]) -> None:
    made = example()
    replace(made, shards=(made.shards[0], replace(made.shards[1], counts=counts))).save()
    with pytest.raises(ArtifactError, match="counts of images that do not add up"):
        manifest.load()


@pytest.mark.parametrize("part", [0, 1])
def test_a_shard_that_is_gone_changed_or_of_another_plan(project: Path, part: int) -> None:
    shard = Shard(2, "p", (0, 0), (written(2), written(2, part=1)))
    path = shard.paths[part]
    for names in ({"recipe": "other"}, {"plan": "other"}):
        other = written(2, **names, part=part)
        with pytest.raises(ArtifactError, match=f"shard differs from the manifest: {path}"):
            shard.check("r")
        files = tuple(other if i == part else file for i, file in enumerate(shard.files))
        with pytest.raises(ArtifactError, match=f"of another recipe or plan than the manifest says: {path}"):
            replace(shard, files=files).check("r")
    written(2, part=part)
    shard.check("r")
    content = bytearray(path.read_bytes())
    content[-12] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"shard differs from the manifest: {path}"):
        shard.check("r")
    path.write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match="shard differs from the manifest"):
        shard.check("r")
    path.unlink()
    with pytest.raises(ArtifactError, match=rf"shard missing: {path}: run: gen-fedsd regenerate --client 2$"):
        shard.check("r")


def test_one_line_can_be_replaced(project: Path) -> None:
    made = example()
    other = replace(made.shards[1], files=made.shards[1].files[:1])
    assert made.with_shard(other).shards == (made.shards[0], other)
    assert made.with_shard(other).rows == 3
    assert made.shard(1).rows == 5
    for client in (-1, 2):
        with pytest.raises(ArtifactError, match=f"no client {client}: data/manifest.json: clients are 0 to 1"):
            made.shard(client)


@pytest.mark.parametrize("name", ["/etc/passwd", "../deficits.csv", "a/../../b", "folder/file", "..", ".", ""])
def test_a_file_name_that_leads_out_of_the_folder_is_refused(project: Path, name: str) -> None:
    made = example()
    file = replace(made.shards[1].files[1], name=name)
    made.with_shard(replace(made.shards[1], files=(made.shards[1].files[0], file))).save()
    with pytest.raises(ArtifactError, match=r"leads out of the folder: data/manifest.json: run: dvc repro generate"):
        manifest.load()


def test_missing_and_damaged(project: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: data/manifest.json: run: dvc repro generate"):
        manifest.load()
    example().save()
    document = json.loads(paths.MANIFEST.read_text())
    first = document["shards"][0]
    file = first["files"][0]
    texts = [
        paths.MANIFEST.read_text()[:-30],
        "",
        "[]",
        json.dumps({name: value for name, value in document.items() if name != "shards"}),
        json.dumps({**document, "more": 1}),
        json.dumps({**document, "shards": [{**first, "files": [{**file, "more": 1}]}]}),
        json.dumps({**document, "shards": [{**first, "files": [{"name": file["name"]}]}]}),
        json.dumps({**document, "shards": [{name: value for name, value in first.items() if name != "files"}]}),
        json.dumps({**document, "shards": [{**first, "files": None}]}),
        json.dumps({**document, "shards": [{**first, "files": [None]}]}),
        json.dumps({**document, "shards": ["line"]}),
    ]
    for text in texts:
        paths.MANIFEST.write_text(text)
        with pytest.raises(ArtifactError, match=r"damaged .*data/manifest.json: run: dvc repro generate"):
            manifest.load()
    paths.MANIFEST.write_text(json.dumps({**document, "shards": document["shards"][::-1]}))
    with pytest.raises(ArtifactError, match="clients missing or out of order"):
        manifest.load()


@pytest.mark.parametrize("text", ["null", "5", "true"])
def test_a_manifest_that_is_no_object_is_damaged(project: Path, text: str) -> None:
    paths.MANIFEST.parent.mkdir()
    paths.MANIFEST.write_text(text)
    with pytest.raises(ArtifactError, match="damaged"):
        manifest.load()


@pytest.mark.parametrize("name", [5, None, ["a"]])
def test_a_file_name_that_is_no_text_is_damage(project: Path, name: object) -> None:
    example().save()
    document = json.loads(paths.MANIFEST.read_text())
    document["shards"][0]["files"][0]["name"] = name
    paths.MANIFEST.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"data/manifest.json"):
        manifest.load()
