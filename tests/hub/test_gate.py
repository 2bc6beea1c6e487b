"""Publications of images that went through a gate."""

import json
import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from datasets import load_dataset

from pipeline import params
from pipeline.artifacts import manifest
from pipeline.errors import HubError, ParameterError
from pipeline.generation.pool import Pool, scores
from pipeline.stages import generate
from pipeline.workspace import Workspace
from tests import gated
from tests.hub.cards import findings
from tests.hub.publishing import ALL, ANONYMOUS, BESIDE, FILES, REPO, pull, push, read_manifest
from tests.hub.server import Hub
from tests.hub.test_card import report_about

REFUSED = replace(ALL, refused=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, small_data: Path, tiny_model: Path) -> Workspace:
    judge = gated.judge(tmp_path_factory.mktemp("judge"), tiny_model)
    return gated.project(tmp_path_factory.mktemp("gated"), gated.document(small_data, tiny_model, judge))


@pytest.fixture
def project(original: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project as the working folder, with its own cache."""
    made = gated.copied(original, tmp_path / "copy")
    monkeypatch.chdir(made.root)
    monkeypatch.setenv("GEN_FEDSD_CACHE", str(made.cache))
    return made.root


def refused_places() -> set[str]:
    return {f"refused/000/{file.name}" for shard in read_manifest().shards for file in shard.refused_files}


def forget_images() -> None:
    for path in Workspace().cache.glob("pool.sqlite*"):
        path.unlink()


def test_what_was_refused_stays_here_unless_asked(hub: Hub, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is taken away again by a push without it; the results of the report are about the same images."""
    report_about(Workspace().report_metrics, sha256(Workspace().manifest.read_bytes()).hexdigest())
    known = read_manifest()
    push(ALL)
    left = known.images - known.rows
    assert (
        f"{left} images that the gate refused stay here; --with-refused publishes them, too" in capsys.readouterr().err
    )
    tree = hub.tree(REPO)
    assert set(tree) - {".gitattributes"} == FILES | BESIDE
    card = tree["README.md"].decode()
    assert re.search(r"These images went through a gate: a classifier \(judge\d+, ", card)
    assert ", and is not here." in card
    assert f"\n| ankle boot | {known.refusals()[0]} |\n" in card
    assert "Effect on training" in card
    assert findings(card) == ([], [])
    published = json.loads(tree["manifest.json"])
    assert [line["refused"]["files"] for line in published["shards"]] == [[]] * 4
    assert published["gate"] == json.loads(Workspace().manifest.read_text())["gate"]

    push(REFUSED)
    tree = hub.tree(REPO)
    assert set(tree) - {".gitattributes"} == FILES | BESIDE | refused_places()
    assert tree["manifest.json"] == Workspace().manifest.read_bytes()
    card = tree["README.md"].decode()
    assert "config_name: refused" in card
    assert ", and is here apart, in the configuration `refused`" in card
    assert "Effect on training" in card
    push(ALL)
    assert set(hub.tree(REPO)) - {".gitattributes"} == FILES | BESIDE


def test_a_pull_brings_scores_and_only_what_lacks_is_drawn(
    hub: Hub, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known, loaded = read_manifest(), params.load(Workspace().params)
    before = gated.contents(Workspace())
    total = known.rows + sum(known.refusals())
    for options, there in ((ALL, known.rows), (REFUSED, known.images)):
        push(options)
        forget_images()
        said = pull()
        assert f": {there} images of 4 clients" in said
        assert re.search(r"\nthey went through the gate judge\d+ \(", said)
        with Pool(Workspace().pool) as pool:
            assert scores.count(pool) == (there, 1)
        capsys.readouterr()
        generate.run(Workspace(), loaded, ["cpu"])
        assert f"generate: {total - there} images rendered" in capsys.readouterr().err
        assert gated.contents(Workspace()) == before


def test_refused_images_load_by_their_own_name_and_not_with_the_others(hub: Hub, project: Path, tmp_path: Path) -> None:
    """By the card's patterns, in a copy of the repository."""
    push(REFUSED)
    known = read_manifest()
    for path, content in hub.tree(REPO).items():
        place = tmp_path / "repository" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    for name, count in (("default", known.rows), ("refused", known.images - known.rows)):
        loaded = load_dataset(str(tmp_path / "repository"), name, split="train", cache_dir=str(tmp_path / name))
        assert len(loaded) == count
        assert {row["judged"] == row["label"] for row in loaded} == (
            {True} if name == "default" else {True, False}
        ) or (name == "refused" and {row["judged"] == row["label"] for row in loaded} == {False})


def test_scores_that_the_gate_contradicts_are_not_imported(hub: Hub, project: Path) -> None:
    """A published manifest that claims a stricter gate than the one whose scores the files hold."""
    push(ALL)
    published = json.loads(hub.tree(REPO)["manifest.json"])
    published["gate"]["least_probability"] = 1.0
    hub.overwrite(REPO, "manifest.json", json.dumps(published).encode())
    forget_images()
    with pytest.raises(HubError, match="has a score with which the gate would not put it here"):
        pull()
    with Pool(Workspace().pool) as pool:
        assert scores.count(pool) == (0, 0)


def test_one_client_of_another_gate_is_not_mixed_in(hub: Hub, project: Path) -> None:
    push(ALL)
    loaded = params.load(Workspace().params)
    without = loaded.model_copy(update={"generate": loaded.generate.model_copy(update={"gate": None})})
    generate.run(Workspace(), without, ["cpu"])
    with pytest.raises(HubError, match="it was published with another recipe, another gate or other classes"):
        push(replace(ALL, clients=(1,)))
    with pytest.raises(ParameterError, match="no gate refused any of these images"):
        push(REFUSED)


def test_an_anonymous_publication_says_what_the_gate_refused_of_each_class(hub: Hub, project: Path) -> None:
    with pytest.raises(ParameterError, match="--with-refused and --anonymous exclude each other"):
        push(replace(ANONYMOUS, refused=True))
    push(ANONYMOUS)
    tree = hub.tree(REPO)
    described = json.loads(tree["manifest.json"])
    assert described["refused"] == list(read_manifest().refusals())
    assert f"\n| coat | {read_manifest().refusals()[2]} |\n" in tree["README.md"].decode()
    assert sum(file["rows"] for file in described["files"]) == read_manifest().rows
    assert manifest.load(Workspace().manifest).gate is not None
