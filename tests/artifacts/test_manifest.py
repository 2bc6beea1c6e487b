import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.artifacts import manifest, shards
from pipeline.artifacts.gate import Gate
from pipeline.artifacts.manifest import File, Manifest, Refused, Shard, file_name
from pipeline.errors import ArtifactError
from pipeline.workspace import Workspace

NAMES = ("bag", "coat")


def written(client: int, recipe: str = "r", plan: str = "p", part: int = 0) -> File:
    """Write a file without rows."""
    header = {"client": client, "recipe": recipe, "plan": plan}
    (made,) = shards.write(lambda _: Workspace().shards / file_name(client, part), [], NAMES, header, 1)
    return File.of(*made)


def manifest_of(*lines: Shard) -> Manifest:
    return Manifest("r", {"steps": 2, "model": "m"}, "own", NAMES, lines)


def example() -> Manifest:
    """Client 0 has an empty shard of one file, client 1 one of five rows in two files."""
    parts = tuple(replace(written(1, part=part), rows=rows) for part, rows in enumerate((3, 2)))
    line = Shard(1, "p", (4, 1), parts)
    return manifest_of(Shard(0, "p", (0, 0), (written(0),)), line)


def test_round_trip(project: Path) -> None:
    made = example()
    made.save()
    assert manifest.load(Workspace().manifest) == made
    assert made.rows == 5


def test_a_manifest_knows_its_own_place(tmp_path: Path) -> None:
    """Two folders, neither of them the working folder; each manifest names, checks and saves its own files."""
    for name in ("one", "two"):
        workspace = Workspace(tmp_path / name)
        header = {"client": 0, "recipe": name, "plan": "p"}
        files = shards.write(lambda part: workspace.shards / file_name(0, part), [], NAMES, header, 1)  # noqa: B023
        line = Shard(0, "p", (0, 0), tuple(File.of(*file) for file in files))
        Manifest(name, {}, "own", NAMES, (line,), workspace.manifest).save()
    one, two = (manifest.load(tmp_path / name / "data/manifest.json") for name in ("one", "two"))
    for name, known in (("one", one), ("two", two)):
        assert known.place == tmp_path / name / "data/manifest.json"
        assert known.paths(known.shards[0]) == [tmp_path / name / "data/shards/client-00000.parquet"]
        known.check(known.shards[0])
        assert str(tmp_path) not in known.place.read_text()
    with pytest.raises(
        ArtifactError, match=f"shard differs from the manifest: {tmp_path}/two/data/shards/client-00000"
    ):
        two.check(one.shards[0])
    replace(one, sharing="common").save()
    assert [manifest.load(known.place).sharing for known in (one, two)] == ["common", "own"]


def test_a_file_with_a_place_is_refused_like_any_unknown_key(project: Path) -> None:
    example().save()
    document = json.loads(Workspace().manifest.read_text())
    said = list[str]()
    for key in ("more", "place"):
        Workspace().manifest.write_text(json.dumps({**document, key: "data/manifest.json"}))
        with pytest.raises(ArtifactError) as caught:
            manifest.load(Workspace().manifest)
        said.append(str(caught.value).replace(key, "KEY"))
    assert said[0] == said[1]
    assert "KEY: Unexpected keyword argument" in said[0]


def test_one_line_for_each_shard_and_equal_bytes(project: Path) -> None:
    made = example()
    made.save()
    first = Workspace().manifest.read_bytes()
    made.save()
    assert Workspace().manifest.read_bytes() == first
    assert [line.count('"sha256"') for line in first.decode().splitlines() if '"sha256"' in line] == [1, 2]
    assert "tmp" not in first.decode()


def test_a_manifest_without_clients_is_readable(project: Path) -> None:
    made = replace(example(), shards=())
    made.save()
    assert manifest.load(Workspace().manifest) == made


def test_a_shard_is_described_by_its_bytes(project: Path) -> None:
    shard = Shard(2, "p", (0, 0), (written(2), written(2, part=1)))
    known = manifest_of(shard)
    paths = known.paths(shard)
    assert paths == [Path("data/shards/client-00002.parquet"), Path("data/shards/client-00002.part-001.parquet")]
    assert (shard.rows, shard.bytes) == (0, sum(path.stat().st_size for path in paths))
    known.check(shard)


@pytest.mark.parametrize("counts", [(4, 2), (5,), (3, 1, 1)])
def test_counts_that_do_not_add_up(project: Path, counts: tuple[int, ...]) -> None:
    made = example()
    replace(made, shards=(made.shards[0], replace(made.shards[1], counts=counts))).save()
    with pytest.raises(ArtifactError, match="counts of images that do not add up"):
        manifest.load(Workspace().manifest)


@pytest.mark.parametrize("part", [0, 1])
def test_a_shard_that_is_gone_changed_or_of_another_plan(project: Path, part: int) -> None:
    shard = Shard(2, "p", (0, 0), (written(2), written(2, part=1)))
    known = manifest_of(shard)
    path = known.paths(shard)[part]
    for names in ({"recipe": "other"}, {"plan": "other"}):
        other = written(2, **names, part=part)
        with pytest.raises(ArtifactError, match=f"shard differs from the manifest: {path}"):
            known.check(shard)
        files = tuple(other if i == part else file for i, file in enumerate(shard.files))
        with pytest.raises(ArtifactError, match=f"of another recipe or plan than the manifest says: {path}"):
            known.check(replace(shard, files=files))
    written(2, part=part)
    known.check(shard)
    content = bytearray(path.read_bytes())
    content[-12] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=f"shard differs from the manifest: {path}"):
        known.check(shard)
    path.write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match="shard differs from the manifest"):
        known.check(shard)
    path.unlink()
    with pytest.raises(ArtifactError, match=rf"shard missing: {path}: run: gen-fedsd regenerate --client 2$"):
        known.check(shard)


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
        manifest.load(Workspace().manifest)


def test_missing_and_damaged(project: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: data/manifest.json: run: dvc repro generate"):
        manifest.load(Workspace().manifest)
    example().save()
    document = json.loads(Workspace().manifest.read_text())
    first = document["shards"][0]
    file = first["files"][0]
    texts = [
        Workspace().manifest.read_text()[:-30],
        "",
        "[]",
        json.dumps({name: value for name, value in document.items() if name != "shards"}),
        json.dumps({**document, "more": 1}),
        json.dumps({**document, "place": "elsewhere/manifest.json"}),
        json.dumps({**document, "place": None}),
        json.dumps({**document, "shards": [{**first, "files": [{**file, "more": 1}]}]}),
        json.dumps({**document, "shards": [{**first, "files": [{"name": file["name"]}]}]}),
        json.dumps({**document, "shards": [{name: value for name, value in first.items() if name != "files"}]}),
        json.dumps({**document, "shards": [{**first, "files": None}]}),
        json.dumps({**document, "shards": [{**first, "files": [None]}]}),
        json.dumps({**document, "shards": ["line"]}),
    ]
    for text in texts:
        Workspace().manifest.write_text(text)
        with pytest.raises(ArtifactError, match=r"damaged .*data/manifest.json: run: dvc repro generate"):
            manifest.load(Workspace().manifest)
    Workspace().manifest.write_text(json.dumps({**document, "shards": document["shards"][::-1]}))
    with pytest.raises(ArtifactError, match="clients missing or out of order"):
        manifest.load(Workspace().manifest)


@pytest.mark.parametrize("text", ["null", "5", "true"])
def test_a_manifest_that_is_no_object_is_damaged(project: Path, text: str) -> None:
    Workspace().manifest.parent.mkdir()
    Workspace().manifest.write_text(text)
    with pytest.raises(ArtifactError, match="damaged"):
        manifest.load(Workspace().manifest)


@pytest.mark.parametrize("name", [5, None, ["a"]])
def test_a_file_name_that_is_no_text_is_damage(project: Path, name: object) -> None:
    example().save()
    document = json.loads(Workspace().manifest.read_text())
    document["shards"][0]["files"][0]["name"] = name
    Workspace().manifest.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"data/manifest.json"):
        manifest.load(Workspace().manifest)


def gated() -> Manifest:
    """Client 0 wants a bag and 4 coats: 3 coats were refused, one with an index below 4; client 1 wants none."""
    header = {"client": 0, "recipe": "r", "plan": "p"}
    (beside,) = shards.write(
        lambda _: Workspace().shards / "refused" / file_name(0), [], NAMES, header, 1, shards.GATED
    )
    refused = Refused((0, 3), (0, 1), (replace(File.of(*beside), rows=1),))
    first = Shard(0, "p", (1, 4), (replace(written(0), rows=5),), refused)
    second = Shard(1, "p", (0, 0), (written(1),), Refused((0, 0), (0, 0), ()))
    return replace(manifest_of(first, second), gate=Gate("0123", "a judge", 0.5))


def test_a_gate_and_what_it_refused_are_kept(project: Path) -> None:
    made = gated()
    made.save()
    assert manifest.load(Workspace().manifest) == made
    assert json.loads(Workspace().manifest.read_text())["format"] == manifest.FORMAT
    assert (made.rows, made.images, made.refusals()) == (5, 6, (0, 3))
    assert [path for _, path in made.files(made.shards[0])] == [
        Path("data/shards/client-00000.parquet"),
        Path("data/shards/refused/client-00000.parquet"),
    ]
    made.refused_paths(made.shards[0])[0].unlink()
    with pytest.raises(ArtifactError, match=r"shard missing: data/shards/refused/client-00000.parquet: run: gen-fedsd"):
        made.check(replace(made.shards[0], files=()))


def test_clients_that_share_a_lane_share_its_refusals(project: Path) -> None:
    """The second one wants less and has seen 1 of the 3."""
    made = gated()
    second = replace(made.shards[1], refused=Refused((0, 1), (0, 0), ()))
    assert made.with_shard(second).refusals() == (0, 4)
    assert replace(made.with_shard(second), sharing="common").refusals() == (0, 3)


def test_without_a_gate_no_file_speaks_of_one(project: Path) -> None:
    """So manifests stay what they were, and those of earlier versions are read."""
    example().save()
    text = Workspace().manifest.read_text()
    assert not any(word in text for word in ("gate", "format", "refused"))
    assert manifest.load(Workspace().manifest).gate is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": 4}, "damaged .*format 4, and this version of gen-fedsd reads 1 to 3"),
        ({"format": 1}, "format 1 with a gate"),
        ({"gate": None}, "format 2 without a gate"),
        ({"gate": {"judge": "0123", "name": "a judge", "least_probability": 1.5}}, "damaged"),
        ({"gate": {"judge": "0123", "name": "a judge", "least_probability": 0.5, "more": 1}}, "damaged"),
    ],
)
def test_a_manifest_of_another_format_is_refused(project: Path, changes: dict[str, object], said: str) -> None:
    gated().save()
    document = json.loads(Workspace().manifest.read_text())
    Workspace().manifest.write_text(json.dumps({**document, **changes}))
    with pytest.raises(ArtifactError, match=f"{said}.*data/manifest.json: run: dvc repro generate$"):
        manifest.load(Workspace().manifest)


@pytest.mark.parametrize(
    ("drawn", "counts"),
    [
        ((0, 3), (0, 2)),
        ((0, 3), (0, 0)),
        ((0, 0), (0, 1)),
        ((2, 3), (0, 1)),
        ((0, 3, 0), (0, 1, 0)),
        ((0, 3), (0, 1, 0)),
    ],
)
def test_numbers_of_refused_images_that_cannot_be(
    project: Path, drawn: tuple[int, ...], counts: tuple[int, ...]
) -> None:
    """More or fewer below the number that is wanted than the file has, more than were drawn, or of other classes."""
    made = gated()
    line = made.shards[0].refused
    assert line is not None
    made.with_shard(replace(made.shards[0], refused=replace(line, drawn=drawn, counts=counts))).save()
    with pytest.raises(ArtifactError, match="numbers of refused images that do not add up"):
        manifest.load(Workspace().manifest)


def test_refused_files_have_the_names_of_shards(project: Path) -> None:
    made = gated()
    line = made.shards[0].refused
    assert line is not None
    files = (replace(line.files[0], name="../client-00000.parquet"),)
    made.with_shard(replace(made.shards[0], refused=replace(line, files=files))).save()
    with pytest.raises(ArtifactError, match="leads out of the folder"):
        manifest.load(Workspace().manifest)
