"""Shards and manifests that do not agree, each edit with the manifest's bytes and digests made true of the files."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.artifacts import manifest, parquet
from pipeline.artifacts.manifest import File, Manifest
from pipeline.artifacts.shard_reader import Header
from pipeline.commands import pool, preview, verify
from pipeline.commands.verify import Verified
from pipeline.errors import ArtifactError, ParameterError, PipelineError, PoolError
from pipeline.generation import assemble
from pipeline.generation.plan import Wanted
from pipeline.generation.pool import Imported, Pool, StoredImage
from pipeline.workspace import Workspace
from tests.commands.stocked import NAMES, current, lacking, stock, written
from tests.synthetic import declared, png

BOOT, BAG, COAT = NAMES
Rows = list[dict[str, Any]]


@pytest.fixture
def made(workspace: Workspace) -> Manifest:
    """The shards of two clients: six boots and two coats, and one bag."""
    lacking(workspace, [6, 0, 2], [0, 1, 0])
    _, plan = current(workspace)
    with Pool(workspace.pool) as opened:
        stock(opened, plan)
        return written(workspace, opened, plan, 1)


@pytest.fixture
def empty_pool(made: Manifest) -> Workspace:
    """The workspace after its cache is lost."""
    workspace = Workspace()
    workspace.pool.unlink()
    return workspace


def rewritten(known: Manifest, change: Callable[[Rows], Rows], counts: dict[str, Any] | None = None) -> None:
    """Change the rows of client 0, and write a manifest that is true of the file's bytes and number of rows."""
    shard = known.shards[0]
    (path,) = known.paths(shard)
    table = pq.read_table(path)
    rows = change(table.to_pylist())
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)
    files = (File.of(path, len(rows)),)
    known.with_shard(replace(shard, files=files, **(counts or {}))).save()


def edited(**changes: Any) -> Callable[[Rows], Rows]:
    """Return a function that changes values of the last row of a boot."""
    return lambda rows: [*rows[:5], {**rows[5], **changes}, *rows[6:]]


def swapped(rows: Rows) -> Rows:
    """Boots get the label of coats, and the reverse; in order of label, as shards are."""
    return sorted(({**row, "label": 2 - row["label"]} for row in rows), key=lambda row: (row["label"], row["index"]))


def image(content: bytes | None, path: str | None = None) -> dict[str, Any]:
    return {"bytes": content, "path": path}


ATTACKS: dict[str, tuple[Callable[[Rows], Rows], dict[str, Any], str]] = {
    "swapped labels": (swapped, {"counts": (2, 0, 6)}, "has label 0"),
    "one label of another class": (edited(label=2), {"counts": (5, 0, 3)}, "has label 2"),
    "label 99": (edited(label=99), {}, "has label 99"),
    "a negative label": (edited(label=-1), {}, "has label -1"),
    "the class of another label": (edited(class_name=COAT), {}, "has label 0"),
    "a name of no class": (edited(class_name="pistol"), {}, "has label 0"),
    "a row twice": (lambda rows: [*rows[:5], rows[4], *rows[6:]], {}, "is there twice"),
    "one image for all": (lambda rows: [*[rows[0]] * 6, *rows[6:]], {}, "is there twice"),
    "rows cut": (lambda rows: rows[:4], {"counts": (4, 0, 0), "plan": "0" * 16}, "another recipe or plan"),
    "rows doubled": (lambda rows: rows + rows, {"counts": (12, 0, 4)}, "is there twice"),
    "another order": (lambda rows: rows[::-1], {}, "is there twice or not in its place"),
    "counts of other labels": (lambda rows: rows, {"counts": (5, 1, 2)}, "as many images of each class"),
    "a row of another client": (edited(client=1), {}, "is of client 1"),
    "a lane of another client": (edited(lane="1"), {}, "is of client 0"),
    "the common lane": (edited(lane="common"), {}, "is of client 0"),
    "another recipe": (edited(recipe="0" * 16), {}, "is of recipe 0000"),
    "another seed": (edited(seed=5), {}, "is not of recipe"),
    "another prompt": (edited(prompt="a gun"), {}, "is not of recipe"),
    "a negative index": (lambda rows: [{**rows[0], "index": -1}, *rows[1:]], {}, "is not of recipe"),
    "a flag that is none": (edited(flags="<script>"), {}, "is not of recipe"),
    "text for an image": (edited(image=image(b"text")), {}, "cannot be read as png"),
    "an empty image": (edited(image=image(b"")), {}, "is no image"),
    "half an image": (edited(image=image(png(0)[:-200])), {}, "cannot be decoded as png"),
    "another size": (edited(image=image(png(0, 17))), {}, "measures 17 x 17"),
    "13,000 pixels": (edited(image=image(declared(13_000))), {}, "measures 13000 x 13000"),
    "an image elsewhere": (edited(image=image(None, "/etc/hostname")), {}, "not in the file itself"),
    "an address": (edited(image=image(png(0), "http://127.0.0.1/")), {}, "not in the file itself"),
    "no image": (edited(image=None), {}, "an empty value"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_rows_are_compared_with_the_manifest_and_the_recipe(empty_pool: Workspace, made: Manifest, name: str) -> None:
    """By verify and by the import; the manifest is the attacker's own."""
    change, counts, reason = ATTACKS[name]
    rewritten(made, change, counts)
    with pytest.raises(ArtifactError, match=f"1 of 2 shards are not what the manifest says: .*{reason}") as raised:
        verify.shards(empty_pool)
    assert "\n" not in str(raised.value)
    with pytest.raises(ArtifactError, match=reason):
        pool.import_pool(empty_pool, empty_pool.shards)
    with Pool(empty_pool.pool) as opened:
        assert opened.db.execute("select count(*) from images").fetchone() == (0,)
    assert not list(empty_pool.cache.glob(".import*"))


def test_a_good_set_of_shards_is_verified_and_refills_a_pool(
    empty_pool: Workspace, made: Manifest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is missing afterwards, and the shards written from the pool are the same."""
    assert verify.shards(empty_pool) == Verified(2, 9)
    before = {path: path.read_bytes() for path in empty_pool.shards.iterdir()}
    assert pool.import_pool(empty_pool, empty_pool.shards) == Imported(9, 0)
    assert pool.import_pool(empty_pool, Path("data/shards")) == Imported(0, 9)
    assert "import: 9/9 images" in capsys.readouterr().err
    _, plan = current(empty_pool)
    with Pool(empty_pool.pool) as opened:
        assert opened.lacks(plan.recipe, plan.wanted()) == 0
        for client in (0, 1):
            assert assemble.write(opened, plan, client, empty_pool.shards, 1) == made.shards[client]
    assert {path: path.read_bytes() for path in empty_pool.shards.iterdir()} == before


def test_images_that_clients_share_are_imported_once(workspace: Workspace) -> None:
    lacking(workspace, [2, 0, 1], [3, 0, 0])
    _, plan = current(workspace, sharing="common")
    with Pool(workspace.pool) as opened:
        stock(opened, plan)
        written(workspace, opened, plan, 1)
    workspace.pool.unlink()
    assert verify.shards(workspace) == Verified(2, 6)
    assert pool.import_pool(workspace, workspace.shards) == Imported(4, 0)
    rewritten(manifest.load(workspace.manifest), lambda rows: [{**rows[0], "image": image(png(1))}, *rows[1:]])
    with pytest.raises(ArtifactError, match="in lane common is another one than in another client's shard"):
        verify.shards(workspace)


def test_classes_that_prompts_call_otherwise_are_known_from_the_manifest(workspace: Workspace) -> None:
    """Without the names in the manifest, as older ones are, the rows must agree with each other."""
    lacking(workspace, [2, 0, 2], words=("ankle-high boot", BAG, COAT))
    _, plan = current(workspace)
    with Pool(workspace.pool) as opened:
        stock(opened, plan)
        known = written(workspace, opened, plan, 1)
    assert json.loads(workspace.manifest.read_text())["prompt_names"] == ["ankle-high boot", BAG, COAT]
    assert verify.shards(workspace) == Verified(1, 4)
    replace(known, prompt_names=None).save()
    assert verify.shards(workspace) == Verified(1, 4)
    replace(known, prompt_names=("a boot", BAG, COAT)).save()
    with pytest.raises(ArtifactError, match="of 'ankle-high boot' in lane 0 has label 0"):
        verify.shards(workspace)
    rewritten(replace(known, prompt_names=None), lambda rows: [*rows[:3], {**rows[3], "class_name": BAG}])
    with pytest.raises(ArtifactError, match=r"of 'bag' in lane 0 has label 2"):
        verify.shards(workspace)


Document = dict[str, Any]


def first(document: Document, **changes: Any) -> Document:
    """Change the first shard's line."""
    return {**document, "shards": [{**document["shards"][0], **changes}, *document["shards"][1:]]}


def of_file(document: Document, **changes: Any) -> Document:
    return first(document, files=[{**document["shards"][0]["files"][0], **changes}])


MANIFESTS: dict[str, tuple[Callable[[Document], Document], str]] = {
    "negative counts": (lambda d: first(d, counts=[9, -3, 2]), "greater than or equal to 0"),
    "counts that do not add up": (lambda d: first(d, counts=[6, 0, 3]), "counts of images that do not add up"),
    "counts of fewer classes": (lambda d: first(d, counts=[6, 2]), "counts of images that do not add up"),
    "negative rows": (lambda d: of_file(d, rows=-8), "greater than or equal to 0"),
    "no files": (lambda d: first(d, files=[], counts=[0, 0, 0]), "at least 1 item"),
    "a real number of rows": (lambda d: of_file(d, rows=8.0), "valid integer"),
    "true for a number": (lambda d: of_file(d, rows=True), "valid integer"),
    "many rows": (lambda d: first(of_file(d, rows=10**12), counts=[10**12, 0, 0]), r"8 rows, not 1000000000000"),
    "swapped class names": (lambda d: {**d, "class_names": d["class_names"][::-1]}, "other class names"),
    "a class name twice": (lambda d: {**d, "class_names": [BAG, BAG, COAT]}, "one for each class"),
    "a prompt name twice": (lambda d: {**d, "prompt_names": [BAG, BAG, COAT]}, "one for each class"),
    "prompt names of other labels": (lambda d: {**d, "prompt_names": d["prompt_names"][::-1]}, "has label 0"),
    "another sharing": (lambda d: {**d, "sharing": "common"}, "is of client 0"),
    "an unknown sharing": (lambda d: {**d, "sharing": "all"}, "should match pattern"),
    "a client less": (lambda d: {**d, "shards": d["shards"][:1]}, "files that the manifest does not name"),
    "another plan": (lambda d: first(d, plan="0" * 16), "of another recipe or plan"),
    "another digest": (lambda d: {**d, "recipe": "0" * 16}, "does not have the digest"),
    "another recipe": (lambda d: {**d, "recipe_text": {**d["recipe_text"], "steps": 9}}, "does not have the digest"),
    "a recipe of another kind": (lambda d: {**d, "recipe_text": {"model": 5}}, "does not have the digest"),
    "an empty recipe": (lambda d: {**d, "recipe_text": {}}, "does not have the digest"),
    "a list for a recipe": (lambda d: {**d, "recipe_text": []}, "valid dictionary|an object"),
    "a list for the whole": (lambda d: [d], "object|dictionary|instance"),  # type: ignore[dict-item, return-value]
}


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_contradicts_itself_or_the_shards_is_refused(
    empty_pool: Workspace, made: Manifest, name: str
) -> None:
    change, reason = MANIFESTS[name]
    made.place.write_text(json.dumps(change(json.loads(made.place.read_text()))))
    with pytest.raises(ArtifactError, match=reason) as raised:
        verify.shards(empty_pool)
    assert "\n" not in str(raised.value)
    if name != "a client less":  # whose one shard is right
        with pytest.raises(ArtifactError, match=reason):
            pool.import_pool(empty_pool, empty_pool.shards)


def test_rows_that_were_cut_are_missed(empty_pool: Workspace, made: Manifest) -> None:
    rewritten(made, lambda rows: rows[:4])
    shard = made.shards[0]
    cut = replace(File.of(made.paths(shard)[0], 4), rows=8)
    made.with_shard(replace(shard, files=(cut,))).save()
    with pytest.raises(ArtifactError, match=r"1 of 2 shards are not .*: not a shard \(4 rows, not 8\)"):
        verify.shards(empty_pool)


def test_deep_json_is_refused(empty_pool: Workspace, made: Manifest) -> None:
    for deep in ("[" * 100_000, '{"a":' * 100_000):
        made.place.write_text(deep)
        with pytest.raises(ArtifactError, match="recursion limit"):
            verify.shards(empty_pool)


def test_a_header_of_another_client_or_kind_is_refused(empty_pool: Workspace, made: Manifest) -> None:
    (path,) = made.paths(made.shards[0])
    table = pq.read_table(path)
    right = parquet.read_header(path, "generate", Header).model_dump()
    for header in ({**right, "client": 1}, {**right, "more": 1}, {**right, "client": "0"}, [right], 5):
        text = json.dumps(header).encode()
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"gen-fedsd": text}), path)
        made.with_shard(replace(made.shards[0], files=(File.of(path, 8),))).save()
        with pytest.raises(ArtifactError, match=r"1 of 2 shards are not .*: (shard is of another|not a shard)"):
            verify.shards(empty_pool)


def test_generate_writes_no_shard_of_what_is_no_image(workspace: Workspace) -> None:
    """The images came into the pool by another way than an import."""
    lacking(workspace, [2, 0, 0])
    _, plan = current(workspace)
    with Pool(workspace.pool) as opened:
        for content in (b"text", b"", declared(13_000), png(0, 17), png(0, 16, "jpeg"), png(0) + bytes(70_000)):
            stock(opened, plan)
            opened.put(plan.recipe, [StoredImage(plan.recipe.spec("0", BOOT, 1), content)])
            match = rf"image 1 of 'ankle boot' in lane 0 .*: delete it with: .*--recipe {plan.recipe.digest}"
            with pytest.raises(PoolError, match=match):
                assemble.write(opened, plan, 0, workspace.shards, 1)
        stock(opened, plan, Wanted("0", BOOT, 0, range(2)))
        opened.db.execute('update images set prompt = 5.5, seed = 1 where "index" = 1')
        opened.db.execute("update images set prompt = cast('a' as blob) where seed = 1")
        with pytest.raises(PoolError, match="not of the types"):
            assemble.write(opened, plan, 0, workspace.shards, 1)
    assert not list(workspace.shards.glob("*"))


def test_preview_opens_only_images_of_the_recipe(empty_pool: Workspace, made: Manifest) -> None:
    """An EPS file would have Ghostscript called."""
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\nshowpage\n"
    for content in (eps, declared(13_000), png(0, 16, "jpeg")):
        rewritten(made, edited(image=image(content)))
        with pytest.raises(ArtifactError, match=r"not a shard \(an image"):
            preview.preview(empty_pool, 0, 8)
    rewritten(made, edited(label=99))
    with pytest.raises(ArtifactError, match="label 99 of 3 classes"):
        preview.preview(empty_pool, 0, 8)


def test_rerendering_reads_only_what_is_right(empty_pool: Workspace, made: Manifest) -> None:
    read, _ = current(empty_pool)
    rewritten(made, lambda rows: [*[rows[0]] * 6, *rows[6:]])
    with pytest.raises(ArtifactError, match="is there twice"):
        verify.rerender(empty_pool, read, ["cpu"], 9, 0)


def test_a_folder_that_holds_no_shards_is_named(empty_pool: Workspace, made: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no such file: .*manifest.json"):
        pool.import_pool(empty_pool, tmp_path / "cache")
    (empty_pool.data / "other").mkdir()
    with pytest.raises(ParameterError, match="not a folder of shards: data/other: give the folder shards beside"):
        pool.import_pool(empty_pool, empty_pool.data / "other")


values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.lists(st.integers(), max_size=3)
)


def places(document: Any) -> list[tuple[Any, ...]]:
    """Return the way to each value of a JSON document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [(), *((key, *rest) for key, value in items for rest in places(value))]


@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_manifest_with_any_other_value_is_refused_or_equal(
    empty_pool: Workspace, made: Manifest, data: st.DataObject
) -> None:
    """One value anywhere is replaced by something else, or left out."""
    made.save()
    document = json.loads(made.place.read_text())
    way = data.draw(st.sampled_from(places(document)[1:]))
    holder = document
    for key in way[:-1]:
        holder = holder[key]
    if data.draw(st.booleans()) or isinstance(holder, list):
        holder[way[-1]] = data.draw(values)
    else:
        del holder[way[-1]]
    made.place.write_text(json.dumps(document))
    try:
        assert verify.shards(empty_pool) == Verified(2, 9)
    except PipelineError:
        return
    assert replace(manifest.load(made.place), prompt_names=made.prompt_names) == made
