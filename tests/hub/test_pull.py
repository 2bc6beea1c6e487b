import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import params
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import File, Manifest
from pipeline.errors import HubError
from pipeline.generation.devices import record_dtype
from pipeline.generation.pool import Pool
from pipeline.hub.options import PushOptions
from pipeline.params import Params
from pipeline.stages import generate
from pipeline.workspace import Workspace
from tests.hub.publishing import ALL, REPO, pull, push
from tests.hub.server import Hub


def contents() -> list[tuple[object, ...]]:
    with Pool(Workspace().pool) as pool:
        found: list[tuple[object, ...]] = pool.db.execute(
            'select recipe, lane, class_name, "index", prompt, negative_prompt, guidance, seed, retry, flags, image '
            'from images order by lane, class_name, "index"'
        ).fetchall()
    return found


@pytest.fixture
def colleague(hub: Hub, workspace: Workspace, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Publish, then continue as somebody who has neither pool nor shards; return the publisher's shards."""
    push(replace(ALL, tag="v1"))
    theirs = tmp_path / "shards"
    workspace.shards.rename(theirs)
    workspace.manifest.rename(tmp_path / "manifest.json")
    monkeypatch.setenv("GEN_FEDSD_CACHE", str(tmp_path / "my cache"))
    return theirs


def test_a_colleague_renders_nothing_and_gets_the_same_bytes(
    hub: Hub, colleague: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = pull()
    head, known = hub.repos[REPO].head.id, manifest.load(colleague.parent / "manifest.json")
    assert printed.splitlines() == [
        f"{REPO} at {head[:12]}: 42 images of 4 clients, recipe {known.recipe}, all as its manifest says; "
        f"42 are new in {Workspace().pool}",
        "params.yaml is that of the publication",
        "params.yaml asks for this recipe: what the plan wants of these images will not be rendered again",
    ]
    capsys.readouterr()
    generate.run(Workspace(), asked(), ["cpu"])
    assert "generate: 0 images rendered, 42 in 4 shards" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in Workspace().shards.iterdir()} == {
        path.name: path.read_bytes() for path in colleague.iterdir()
    }
    mine = contents()
    monkeypatch.setenv("GEN_FEDSD_CACHE", str(cache))
    assert mine == contents()


def test_a_second_pull_imports_nothing(hub: Hub, colleague: Path) -> None:
    pull()
    hub.requests.clear()
    assert "; 0 are new in " in pull()
    assert hub.count("lfs-get") == 0


def test_a_tag_is_what_it_was(hub: Hub, colleague: Path) -> None:
    first = hub.repos[REPO].head.id
    hub.overwrite(REPO, "manifest.json", b"{}")
    assert f" at {first[:12]}: 42 images" in pull("v1")
    with pytest.raises(HubError, match=r"manifest.json is damaged"):
        pull()
    with pytest.raises(HubError, match="no such revision: ada/fill: give a tag, a branch or a commit"):
        pull("v9")


def asked(**changes: object) -> Params:
    """The parameters of the working folder, with changes to ``generate``."""
    loaded = params.load(Workspace().params)
    return loaded.model_copy(update={"generate": loaded.generate.model_copy(update=changes)})


def test_differences_of_the_parameters_are_named(hub: Hub, colleague: Path) -> None:
    printed = pull(asked=asked(steps=3, quality=5)).splitlines()[-1]
    assert printed == "params.yaml asks for another recipe, so these images will not be used: it differs in steps"
    printed = pull(asked=asked(model="nowhere")).splitlines()[-1]
    assert printed.startswith("the recipe that params.yaml asks for is not known here (no such folder, and not found")


def test_the_dtype_that_auto_stands_for_is_recorded_or_assumed(
    hub: Hub, colleague: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images are float32: a record of it agrees; CUDA devices, which need not be here, would render float16."""
    auto = asked(dtype="auto")
    monkeypatch.setenv("GEN_FEDSD_DEVICES", "cuda:0")
    assert pull(asked=auto).splitlines()[-2:] == [
        "params.yaml asks for another recipe, so these images will not be used: it differs in dtype",
        "generate.dtype auto: float16, assumed, since $GEN_FEDSD_DEVICES is cuda:0",
    ]
    record_dtype(Workspace(), "float32")
    assert pull(asked=auto).splitlines()[-2:] == [
        "params.yaml asks for this recipe: what the plan wants of these images will not be rendered again",
        "generate.dtype auto: float32, as generate last rendered (data/arithmetic.json)",
    ]


Tamper = Callable[[Hub, Manifest, Path], None]


def _reuse(hub: Hub, known: Manifest, theirs: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change client 2's rows and make the manifest's bytes and digest true of them."""
    path = theirs / "client-00002.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    _publish(hub, known, theirs)


def _publish(hub: Hub, known: Manifest, theirs: Path) -> None:
    path, shard = theirs / "client-00002.parquet", known.shard(2)
    changed = File(path.name, shard.rows, path.stat().st_size, File.of(path, 0).sha256)
    replace(known.with_shard(replace(shard, files=(changed,))), place=theirs.parent / "changed.json").save()
    hub.overwrite(REPO, f"data/000/{path.name}", path.read_bytes())
    hub.overwrite(REPO, "manifest.json", (theirs.parent / "changed.json").read_bytes())


def _column(name: str, value: object) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        values = table[name].to_pylist()
        values[1] = value
        index = table.schema.get_field_index(name)
        return table.set_column(index, table.schema.field(name), pa.array(values, table.schema.field(name).type))

    return change


def _picture(kind: str, side: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((side, side), 50).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


def one_byte(hub: Hub, known: Manifest, theirs: Path) -> None:
    content = bytearray((theirs / "client-00002.parquet").read_bytes())
    content[100] ^= 1
    hub.overwrite(REPO, "data/000/client-00002.parquet", bytes(content))


def swapped(hub: Hub, known: Manifest, theirs: Path) -> None:
    hub.overwrite(REPO, "data/000/client-00002.parquet", (theirs / "client-00001.parquet").read_bytes())


def a_missing_file(hub: Hub, known: Manifest, theirs: Path) -> None:
    hub.overwrite(REPO, "data/000/client-00002.parquet", None)


def another_seed(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("seed", 5))


def another_prompt(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("prompt", "something else"))


def another_client(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("client", 3))


def no_picture(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("image", {"bytes": b"no picture", "path": None}))


def no_image(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("image", None))


def without_lane(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, lambda table: table.drop_columns(["lane"]))


def without_header(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, lambda table: table.replace_schema_metadata({}))


def another_size(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("image", {"bytes": _picture("png", 17), "path": None}))


def another_format(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("image", {"bytes": _picture("gif", 16), "path": None}))


def half_a_picture(hub: Hub, known: Manifest, theirs: Path) -> None:
    content = _picture("png", 16)
    _reuse(hub, known, theirs, _column("image", {"bytes": content[: len(content) // 2], "path": None}))


def a_damaged_picture(hub: Hub, known: Manifest, theirs: Path) -> None:
    content = bytearray(_picture("png", 16))
    content[content.index(b"IHDR") + 12] ^= 1
    _reuse(hub, known, theirs, _column("image", {"bytes": bytes(content), "path": None}))


def no_prompt(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("prompt", None))


def another_type(hub: Hub, known: Manifest, theirs: Path) -> None:
    def change(table: pa.Table) -> pa.Table:
        index = table.schema.get_field_index("seed")
        return table.set_column(index, "seed", table["seed"].cast(pa.uint64()))

    _reuse(hub, known, theirs, change)


def a_damaged_page(hub: Hub, known: Manifest, theirs: Path) -> None:
    """The file's footer is whole, and its checksum the manifest's."""
    path = theirs / "client-00002.parquet"
    content = bytearray(path.read_bytes())
    with pq.ParquetFile(path) as opened:
        (start,) = [
            group.column(i).dictionary_page_offset
            for group in [opened.metadata.row_group(0)]
            for i in range(group.num_columns)
            if group.column(i).path_in_schema == "prompt"
        ]
    content[start : start + 40] = b"\xff" * 40
    path.write_bytes(content)
    _publish(hub, known, theirs)


def one_image_again_and_again(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, lambda table: table.take([0] * len(table)))


def another_label(hub: Hub, known: Manifest, theirs: Path) -> None:
    """The label of one class with the name of another, and the counts true of it."""
    label = pq.read_table(theirs / "client-00002.parquet")["label"].to_pylist()[1]
    _reuse(hub, known, theirs, _column("label", (label + 1) % 3))


def an_image_elsewhere(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, _column("image", {"bytes": None, "path": "/etc/hostname"}))


def other_class_names(hub: Hub, known: Manifest, theirs: Path) -> None:
    document = json.loads((theirs.parent / "manifest.json").read_text())
    document["class_names"].reverse()
    hub.overwrite(REPO, "manifest.json", json.dumps(document).encode())


def deep_json(hub: Hub, known: Manifest, theirs: Path) -> None:
    hub.overwrite(REPO, "manifest.json", b"[" * 100_000)


def fewer_rows(hub: Hub, known: Manifest, theirs: Path) -> None:
    _reuse(hub, known, theirs, lambda table: table[:2])


def another_recipe(hub: Hub, known: Manifest, theirs: Path) -> None:
    changed = {**known.recipe_text, "steps": 50}
    replace(known, recipe_text=changed, place=theirs.parent / "changed.json").save()
    hub.overwrite(REPO, "manifest.json", (theirs.parent / "changed.json").read_bytes())


def text_for_a_number(hub: Hub, known: Manifest, theirs: Path) -> None:
    document = json.loads((theirs.parent / "manifest.json").read_text())
    document["shards"][2]["counts"][0] = "1"
    hub.overwrite(REPO, "manifest.json", json.dumps(document).encode())


def a_path_that_leads_out(hub: Hub, known: Manifest, theirs: Path) -> None:
    document = json.loads((theirs.parent / "manifest.json").read_text())
    document["shards"][0]["files"][0]["name"] = "../../../.bashrc"
    hub.overwrite(REPO, "manifest.json", json.dumps(document).encode())


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (one_byte, "data/000/client-00002.parquet is not the file that the manifest names"),
        (swapped, "data/000/client-00002.parquet is not the file that the manifest names"),
        (a_missing_file, "a file is missing there"),
        (another_seed, "image 1 of '.*' in lane 2 is not of recipe"),
        (another_prompt, "image 1 of '.*' in lane 2 is not of recipe"),
        (another_client, "data/000/client-00002.parquet is not a shard"),
        (no_picture, "data/000/client-00002.parquet is not a shard"),
        (no_image, "data/000/client-00002.parquet is not a shard"),
        (without_lane, "data/000/client-00002.parquet is not a shard"),
        (without_header, r"data/000/client-00002.parquet is not a shard \(a footer without the mark"),
        (fewer_rows, r"data/000/client-00002.parquet is not a shard \(2 rows, not "),
        (
            another_size,
            r"client-00002.parquet is not a shard \(image 1 of '.*' in lane 2 measures 17 x 17 pixels, not 16 x 16\)",
        ),
        (another_format, r"client-00002.parquet is not a shard \(image 1 of '.*' in lane 2 cannot be read as png"),
        (half_a_picture, r"client-00002.parquet is not a shard \(image 1 of '.*' in lane 2 cannot be decoded"),
        (a_damaged_picture, r"client-00002.parquet is not a shard \(image 1 of '.*' in lane 2 cannot be read"),
        (no_prompt, r"client-00002.parquet is not a shard \(an empty value\)"),
        (another_type, r"client-00002.parquet is not a shard \(other columns\)"),
        (a_damaged_page, r"client-00002.parquet is not a shard"),
        (one_image_again_and_again, r"client-00002.parquet is not a shard \(image 0 of '.*' in lane 2 is there twice"),
        (another_label, r"client-00002.parquet is not a shard \(image . of '.*' in lane 2 has label "),
        (an_image_elsewhere, r"client-00002.parquet is not a shard \(an image that is not in the file itself"),
        (other_class_names, r"parquet is not a shard \(other class names\)"),
        (deep_json, "its manifest.json is damaged .*recursion limit"),
        (text_for_a_number, r"its manifest.json is damaged .*\(damaged \(shards.2.counts.0: "),
        (another_recipe, "the manifest's recipe does not have the digest"),
        (
            a_path_that_leads_out,
            r"not written by gen-fedsd \(a file name that is not its client's",
        ),
    ],
)
def test_what_does_not_match_is_refused_and_nothing_imported(
    hub: Hub, colleague: Path, tamper: Tamper, said: str
) -> None:
    tamper(hub, manifest.load(colleague.parent / "manifest.json"), colleague)
    with pytest.raises(HubError, match=said):
        pull()
    assert contents() == []
    assert [path.name for path in Workspace().cache.iterdir() if path.name.startswith(".import")] == []


def test_a_file_of_another_size_than_the_manifest_says_is_not_fetched(hub: Hub, colleague: Path) -> None:
    hub.overwrite(REPO, "data/000/client-00002.parquet", bytes(10_000_000))
    hub.requests.clear()
    with pytest.raises(HubError, match=r"client-00002.parquet is not the file .*: it has 10,000,000 bytes, not "):
        pull()
    assert hub.count("lfs-get", "GET") == 2
    assert contents() == []


def test_a_download_stops_when_it_gets_longer_than_it_may_be(hub: Hub, colleague: Path) -> None:
    """The list of files states the right size, and the store sends more."""
    store = hub.repos[REPO].head.files["data/000/client-00000.parquet"].sha256
    hub.objects[store] += bytes(50_000_000)
    with pytest.raises(HubError, match=r"client-00000.parquet is larger than the [\d,]+ bytes that it may have"):
        pull()
    assert contents() == []


@pytest.mark.parametrize("fault", [503, 429, "drop"])
@pytest.mark.parametrize("route", ["info", "tree", "refs", "resolve", "lfs-get"])
def test_a_short_failure_is_waited_out(hub: Hub, colleague: Path, route: str, fault: int | str) -> None:
    hub.fail(route, fault, fault)  # type: ignore[arg-type]
    assert "; 42 are new in " in pull()


def test_who_may_not_see_it(hub: Hub, colleague: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_bob")
    with pytest.raises(HubError, match="no such repository: ada/fill: check --repo-id; a private one needs a token"):
        pull()
    monkeypatch.setenv("HF_TOKEN", "hf_reads")
    assert "; 42 are new in " in pull()


def test_a_damaged_local_cache_is_fetched_again(hub: Hub, colleague: Path, cache: Path, tmp_path: Path) -> None:
    pull()
    blobs = [path.resolve() for path in (tmp_path / "hub").rglob("client-00002.parquet")]
    assert len(blobs) == 1
    blobs[0].write_bytes(b"damaged")
    hub.requests.clear()
    assert "all as its manifest says" in pull()
    assert hub.count("lfs-get", "GET") == 1


def test_a_name_without_an_owner_is_mine(hub: Hub, colleague: Path) -> None:
    assert pull(repo_id="fill").startswith(f"{REPO} at ")


def test_an_anonymous_publication_has_no_identities(hub: Hub, project: Path) -> None:
    push(PushOptions("ada/merged", anonymous=True))
    with pytest.raises(HubError, match="published with --anonymous: its images have no identity: ada/merged: load it"):
        pull(repo_id="ada/merged")
