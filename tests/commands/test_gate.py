"""The commands on a project whose images went through a gate."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import params
from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import File
from pipeline.cli.images import cost_text, gated_text
from pipeline.cli.pool import stats_text
from pipeline.commands import cache, pool, preview, regenerate, status, verify
from pipeline.commands.status import Gated
from pipeline.errors import ArtifactError
from pipeline.generation.gate import Refusals
from pipeline.generation.pool import Pool, scores
from pipeline.params import Params
from pipeline.stages import generate
from pipeline.workspace import Workspace
from tests import gated

CPU = ["cpu"]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return gated.judge(tmp_path_factory.mktemp("judge"), tiny_model)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path, judge: Path) -> Workspace:
    return gated.project(tmp_path_factory.mktemp("gated"), gated.document(small_data, tiny_model, judge))


@pytest.fixture
def made(original: Workspace, tmp_path: Path) -> Workspace:
    return gated.copied(original, tmp_path / "copy")


@pytest.fixture
def loaded(made: Workspace) -> Params:
    return params.load(made.params)


def no_pool(made: Workspace) -> None:
    for path in made.cache.glob("pool.sqlite*"):
        path.unlink()


def test_verify_counts_what_was_refused(made: Workspace, loaded: Params) -> None:
    known = manifest.load(made.manifest)
    below = sum(sum(shard.refused.counts) for shard in known.shards if shard.refused)
    assert verify.shards(made) == verify.Verified(4, known.rows, below)
    assert below > 0
    assert verify.rerender(made, loaded, CPU, 10_000, 0).images == known.rows + below


def refused_file(made: Workspace) -> tuple[int, Path]:
    known = manifest.load(made.manifest)
    shard = next(shard for shard in known.shards if shard.refused_files)
    return shard.client, known.refused_paths(shard)[0]


@pytest.mark.parametrize("what", ["missing", "changed", "stray"])
def test_verify_names_a_refused_file_that_is_not_as_the_manifest_says(made: Workspace, what: str) -> None:
    client, path = refused_file(made)
    content = path.read_bytes()
    if what == "missing":
        path.unlink()
    elif what == "changed":
        path.write_bytes(content[:-1] + b"x")
    else:
        path = Path(shutil.copy(path, path.with_name("client-00077.parquet")))
    said = {
        "missing": f"{path}: shard missing: run: gen-fedsd regenerate --client {client}",
        "changed": f"{path}: shard differs from the manifest: run: gen-fedsd regenerate --client {client}",
        "stray": f"files that the manifest does not name: {path}: delete them",
    }[what]
    with pytest.raises(ArtifactError, match=re.escape(said)):
        verify.shards(made)


def edited(made: Workspace, column: str, values: list[object], refused: bool) -> None:
    """Write the first values of a column anew in a client's first file, and keep the manifest true of it."""
    known = manifest.load(made.manifest)
    shard = next(shard for shard in known.shards if shard.refused_files)
    path = (known.refused_paths(shard) if refused else known.paths(shard))[0]
    table = pq.read_table(path)
    place = table.column_names.index(column)
    kept = table.column(column).to_pylist()
    changed = pa.array([*values, *kept[len(values) :]], table.schema.field(column).type)
    table = table.set_column(place, table.schema.field(column), changed)
    with pq.ParquetWriter(path, table.schema) as writer:
        writer.write_table(table)
    file = File.of(path, len(table))
    if refused:
        assert shard.refused is not None
        line = replace(shard, refused=replace(shard.refused, files=(file, *shard.refused.files[1:])))
    else:
        line = replace(shard, files=(file, *shard.files[1:]))
    known.with_shard(line).save()


@pytest.mark.parametrize(
    ("column", "values", "refused", "said"),
    [
        ("probability", [0.1], False, "has a score with which the gate would not put it here"),
        ("probability", [1.5], False, "a score with the probability 1.5"),
        ("judged", [7], True, "a score with labels that are none of 3 classes"),
    ],
)
def test_verify_holds_every_row_against_the_gate(
    made: Workspace, column: str, values: list[object], refused: bool, said: str
) -> None:
    edited(made, column, values, refused)
    with pytest.raises(ArtifactError, match=rf"not a shard \(.*{said}"):
        verify.shards(made)


def test_verify_misses_an_image_that_the_manifest_hides(made: Workspace) -> None:
    """A manifest that leaves refused images out, and says that none was drawn."""
    known = manifest.load(made.manifest)
    shard = next(shard for shard in known.shards if shard.refused_files)
    assert shard.refused is not None
    for path in known.refused_paths(shard):
        path.unlink()
    hidden = replace(shard.refused, drawn=(0,) * 3, counts=(0,) * 3, files=())
    known.with_shard(replace(shard, refused=hidden)).save()
    with pytest.raises(ArtifactError, match="not the first images that the gate did not refuse, by the manifest"):
        verify.shards(made)


@pytest.mark.parametrize("lost", ["nothing", "scores", "pool"])
def test_one_shard_is_written_again_whatever_the_pool_lost(made: Workspace, loaded: Params, lost: str) -> None:
    """Byte for byte; what is rendered are this client's images, with those that the gate refused."""
    before, known = gated.contents(made), manifest.load(made.manifest)
    client, path = refused_file(made)
    shard = known.shard(client)
    path.unlink()
    known.paths(shard)[0].unlink()
    if lost == "scores":
        with Pool(made.pool) as opened:
            opened.db.execute("delete from scores")
    if lost == "pool":
        no_pool(made)
    done = regenerate.regenerate(made, loaded, CPU, client, fresh=False)
    assert shard.refused is not None
    assert done.rendered == (shard.rows + sum(shard.refused.drawn) if lost == "pool" else 0)
    assert done.next_step is None
    assert path in done.paths
    assert gated.contents(made) == before


def test_fresh_images_are_judged_again(made: Workspace, loaded: Params) -> None:
    before, client = gated.contents(made), refused_file(made)[0]
    with Pool(made.pool) as opened:
        opened.db.execute("update scores set label = 0, probability = 1.0 where lane = ?", (str(client),))
    done = regenerate.regenerate(made, loaded, CPU, client, fresh=True)
    assert done.rendered > 0
    assert gated.contents(made) == before


def test_shards_of_another_gate_are_not_mixed(made: Workspace, loaded: Params) -> None:
    for gate in (None, loaded.generate.gate.model_copy(update={"least_probability": 0.9})):  # type: ignore[union-attr]
        other = loaded.model_copy(update={"generate": loaded.generate.model_copy(update={"gate": gate})})
        with pytest.raises(
            ArtifactError, match=r"^the shards were made with the gate judge[0-9]+ \(.*, least_probability 0.4"
        ):
            regenerate.regenerate(made, other, CPU, 0, fresh=False)


def test_the_status_tells_what_is_known_of_refusals(made: Workspace, loaded: Params) -> None:
    """All is there; without a pool nothing is known, but the shards are as planned; with few scores it is estimated."""
    known = manifest.load(made.manifest)
    whole = status.status(made, loaded)
    assert (whole.cost.missing, whole.cost.expected, whole.cost.planned) == (0, 0, known.rows)
    gate = whole.cost.gated
    assert gate is not None
    assert (gate.judged, gate.refused, gate.left) == (known.rows + sum(known.refusals()), sum(known.refusals()), 0)
    assert cost_text(whole.cost).endswith(f"refused ({100 * gate.refused / gate.judged:.0f} %)\n0 to render")
    assert all(client.sharded == client.planned == client.held for client in whole.clients)
    no_pool(made)
    empty = status.status(made, loaded)
    assert (empty.cost.missing, empty.cost.expected) == (known.rows, known.rows)
    assert all(client.sharded == client.planned for client in empty.clients)
    assert f"no refusals of {known.rows} images, in classes of which none passed yet" in cost_text(empty.cost)


def test_replacements_are_estimated_by_class() -> None:
    """Of 10 boots 4 passed and 2 were refused, so 3 more of the 6 left; of bags 0 passed, of coats all 5 wanted did."""
    found = Gated.of("a judge", Refusals((4, 0, 5), (2, 3, 1)), (10, 7, 5))
    assert found == Gated("a judge", judged=15, refused=6, left=13, unknown=7, more=3)
    assert gated_text(found) == (
        "gate a judge: 15 of the images are judged, and 6 of them refused (40 %); the estimate has no refusals of 7 "
        "images, in classes of which none passed yet"
    )


def test_the_preview_shows_what_was_refused_beside_the_rest(made: Workspace) -> None:
    client, _ = refused_file(made)
    known = manifest.load(made.manifest)
    shard = known.shard(client)
    assert shard.refused is not None
    drawn = preview.preview(made, client, 16)
    assert (drawn.images, drawn.refused) == (shard.rows, sum(shard.refused.counts))
    wide = max(shard.counts) + max(shard.refused.counts)
    with Image.open(drawn.path) as sheet:
        assert sheet.width == 110 + wide * 66 + 12


def test_shards_carry_scores_into_a_pool(made: Workspace, loaded: Params, capsys: pytest.CaptureFixture[str]) -> None:
    """Those beyond the number that is wanted lie in no file: they are drawn and judged again."""
    known, before = manifest.load(made.manifest), gated.contents(made)
    no_pool(made)
    done = pool.import_pool(made, made.shards)
    assert (done.new, done.known) == (known.images, 0)
    found = pool.stats(made)
    assert (found.images, found.scores, found.judges) == (known.images, known.images, 1)
    assert stats_text(found).endswith(f"\n{known.images} scores of 1 judge")
    generate.run(made, loaded, CPU)
    rendered = known.rows + sum(known.refusals()) - known.images
    assert f"generate: {rendered} images rendered" in capsys.readouterr().err
    assert gated.contents(made) == before


def test_the_array_of_what_passed_is_in_use(made: Workspace, loaded: Params) -> None:
    from pipeline.fills.common.given import Given

    given = Given(made, loaded)
    arrays = [given.gated_images.path, given.synthetic_images.path]
    del given
    cache.gc(made, None, dry_run=False)
    assert all(path.is_file() for path in arrays)


def test_scores_leave_with_a_recipe(made: Workspace) -> None:
    with Pool(made.pool) as opened:
        assert scores.count(opened)[0] > 0
    pool.gc(made, [manifest.load(made.manifest).recipe], None, dry_run=False)
    with Pool(made.pool) as opened:
        assert scores.count(opened) == (0, 0)
