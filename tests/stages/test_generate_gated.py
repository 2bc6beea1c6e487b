"""The stage ``generate`` with a gate: exact counts of what passes, the first images of all, and what is shared."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import params
from pipeline.artifacts import deficits, manifest
from pipeline.errors import ArtifactError, GenerationError
from pipeline.fills.common.given import Given
from pipeline.generation.pool import Pool, scores
from pipeline.stages import fingerprint, generate
from pipeline.workspace import Workspace
from tests import gated


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    return gated.judge(tmp_path_factory.mktemp("judge"), tiny_model)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Workspace:
    """The project without a gate."""
    place = tmp_path_factory.mktemp("plain")
    return gated.project(place, gated.document(small_data, tiny_model, None))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path, judge: Path) -> Workspace:
    return gated.project(tmp_path_factory.mktemp("gated"), gated.document(small_data, tiny_model, judge))


@pytest.fixture
def made(original: Workspace, tmp_path: Path) -> Workspace:
    return gated.copied(original, tmp_path / "copy")


def rows(paths: list[Path]) -> list[dict[str, Any]]:
    return [row for path in paths for row in pq.read_table(path).to_pylist()]


def test_each_client_has_as_many_images_as_it_lacks_and_all_of_them_pass(made: Workspace) -> None:
    """What was refused below the number that is wanted lies beside them; together they are the first images."""
    known, lacking = manifest.load(made.manifest), deficits.load(made.deficits).missing
    assert known.gate is not None
    assert [list(shard.counts) for shard in known.shards] == lacking.tolist()
    refused_in_all = np.zeros(3, np.int64)
    for shard in known.shards:
        known.check(shard)
        assert shard.refused is not None
        passed, refused = rows(known.paths(shard)), rows(known.refused_paths(shard))
        assert all(row["judged"] == row["label"] and row["probability"] >= 0.4 for row in passed)
        assert not any(row["judged"] == row["label"] and row["probability"] >= 0.4 for row in refused)
        for label, count in enumerate(shard.counts):
            mine, theirs = (sorted(r["index"] for r in of if r["label"] == label) for of in (passed, refused))
            assert sorted([*(i for i in mine if i < count), *theirs]) == list(range(count))
            assert (len(mine), len(theirs)) == (count, shard.refused.counts[label])
            refused_in_all[label] += mine[-1] + 1 - count if count else 0
    assert known.refusals() == tuple(refused_in_all.tolist())
    assert min(refused_in_all) > 0
    assert (made.shards / "refused").is_dir()


def test_the_scores_are_the_judges_own_of_what_is_stored(made: Workspace) -> None:
    from pipeline import judges

    loaded, known = params.load(made.params), manifest.load(made.manifest)
    assert loaded.generate.gate is not None
    asked = judges.load(made, loaded.generate.gate.judge, known.class_names, known.class_names, lambda: None)  # type: ignore[arg-type, return-value]
    assert known.gate is not None
    assert known.gate.judge == asked.digest
    shard = max(known.shards, key=lambda one: one.rows)
    pictures = [np.asarray(picture) for _, picture in known.pictures(shard)]
    answers = asked.probabilities(np.stack(pictures))
    for row, answer in zip(rows(known.paths(shard)), answers, strict=True):
        assert (row["judged"], row["probability"]) == (answer.argmax(), round(float(answer[row["label"]]), 6))


def test_without_a_gate_everything_is_as_before_and_images_are_shared(
    made: Workspace, plain: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same bytes as in a project that never had a gate, and nothing is rendered; back again, the same once more."""
    before = gated.contents(made)
    loaded = params.load(made.params)
    without = loaded.model_copy(update={"generate": loaded.generate.model_copy(update={"gate": None})})
    generate.run(made, without, ["cpu"])
    assert "generate: 0 images rendered" in capsys.readouterr().err
    assert gated.contents(made) == gated.contents(plain)
    assert not (made.shards / "refused").exists()
    assert "gate" not in json.loads(made.manifest.read_text())
    with Pool(plain.pool) as pool:
        assert pool.db.execute("pragma user_version").fetchone() == (1,)
    generate.run(made, loaded, ["cpu"])
    printed = capsys.readouterr().err
    assert "generate: 0 images rendered" in printed
    assert "images refused: ankle boot " in printed
    assert gated.contents(made) == before


def test_a_gate_on_a_pool_without_scores_renders_only_replacements(
    plain: Workspace, tmp_path: Path, original: Workspace, small_data: Path, tiny_model: Path, judge: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """And leaves what a gate from the start leaves, with two workers."""
    here, known = gated.copied(plain, tmp_path / "copy"), manifest.load(original.manifest)
    loaded = gated.write(here, gated.document(small_data, tiny_model, judge))
    generate.run(here, loaded, ["cpu", "cpu"])
    assert f"generate: {sum(known.refusals())} images rendered, {known.rows} in 4 shards" in capsys.readouterr().err
    assert gated.contents(here) == gated.contents(original)


def test_the_ungated_fill_has_the_same_content_with_and_without_a_gate(
    original: Workspace, plain: Workspace, tmp_path: Path
) -> None:
    """So a run on it is found in the store; what passed has other images of the same labels."""
    one, other = (gated.copied(it, tmp_path / name) for it, name in ((original, "gated"), (plain, "plain")))
    with_gate, without = (Given(it, params.load(it.params)) for it in (one, other))
    assert with_gate.synthetic_images.content == without.synthetic_images.content
    assert with_gate.gated_images.content != with_gate.synthetic_images.content
    assert with_gate.gated_images.labels.tolist() == with_gate.synthetic_images.labels.tolist()
    assert not np.array_equal(with_gate.gated_images.pixels, with_gate.synthetic_images.pixels)


def test_too_many_refusals_leave_no_shards_and_the_next_run_draws_only_what_lacks(
    original: Workspace, tmp_path: Path, small_data: Path, tiny_model: Path, judge: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    document, here = (
        gated.document(small_data, tiny_model, judge, most_refusals=2),
        Workspace(tmp_path / "project", tmp_path / "cache"),
    )
    here.root.mkdir()
    with pytest.raises(
        GenerationError, match=r"the gate refused \d+ of \d+ images of class '.*at most 2 may be refused"
    ):
        gated.run(here, gated.write(here, document))
    assert not here.shards.exists()
    assert not here.manifest.exists()
    with Pool(here.pool) as pool:
        kept, _ = scores.count(pool)
        assert kept >= 3
        images = pool.db.execute("select count(*) from images").fetchone()[0]
    generate.run(here, gated.write(here, gated.document(small_data, tiny_model, judge)), ["cpu"])
    total = manifest.load(here.manifest)
    rendered = total.rows + sum(total.refusals()) - images
    assert f"generate: {rendered} images rendered" in capsys.readouterr().err
    assert gated.contents(here) == gated.contents(original)


def test_a_file_among_the_refused_that_is_no_shard_is_named(made: Workspace) -> None:
    strange = made.shards / "refused" / "notes.txt"
    strange.touch()
    with pytest.raises(ArtifactError, match=f"^not a shard: {strange}: move it elsewhere"):
        generate.run(made, params.load(made.params), ["cpu"])


def test_the_fingerprint_of_the_model_has_the_content_of_the_judge_and_not_its_place(
    made: Workspace, judge: Path, small_data: Path, tiny_model: Path, tmp_path: Path
) -> None:
    import shutil

    fingerprint.run(made, params.load(made.params), "model")
    first = json.loads(made.fingerprint("model").read_text())
    assert first["gate"] | {"judge": None} == {"judge": None, "least_probability": 0.4, "most_refusals": 400}
    moved = Path(shutil.copytree(judge, tmp_path / "moved"))
    loaded = gated.write(made, gated.document(small_data, tiny_model, moved))
    fingerprint.run(made, loaded, "model")
    assert json.loads(made.fingerprint("model").read_text()) == first
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 0.5}))
    fingerprint.run(made, loaded, "model")
    assert json.loads(made.fingerprint("model").read_text())["gate"] != first["gate"]
    assert "tmp" not in json.dumps(first)
    assert str(judge) not in made.manifest.read_text()
