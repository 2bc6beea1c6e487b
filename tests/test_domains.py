"""A data set with two domains from partition to report, and one without any, which is as before there were domains."""

import csv
import hashlib
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipeline import fills, params
from pipeline.artifacts import deficits, history, manifest, marks, partition
from pipeline.commands import preview, regenerate, status, verify
from pipeline.errors import PipelineError
from pipeline.federated import inputs
from pipeline.federated.inputs import Inputs
from pipeline.fills.common.given import REAL, SYNTHETIC, UNUSED, Given
from pipeline.generation import request
from pipeline.hub import card
from pipeline.stages import deficits as deficits_stage
from pipeline.stages import evaluate, fill, generate, report, train
from pipeline.stages import partition as partition_stage
from pipeline.workspace import Workspace
from tests.conftest import CLASS_NAMES, ROOT, small_document

FILLS = ["none", "oversample", "transforms", "synthetic", "real"]
DOMAINS = ("line_art", "photo")


def save_domains(folder: Path, train: int, test: int) -> None:
    """Write so many images of each class and domain: the colour tells the class, the brightness the domain."""
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets import Image as ImageFeature

    rng = np.random.default_rng(3)
    features = Features(
        {"image": ImageFeature(), "label": ClassLabel(names=list(CLASS_NAMES)), "kind": Value("string")}
    )
    for split, count in (("train", train), ("test", test)):
        rows: dict[str, list[Any]] = {"image": [], "label": [], "kind": []}
        for place in range(count * 6):
            label, domain = place % 3, place // 3 % 2
            image = rng.integers(0, 60, (16, 16, 3)).astype(np.uint8)
            image[:, :, label] += 100 + 80 * domain
            buffer = io.BytesIO()
            Image.fromarray(image).save(buffer, "PNG")
            rows["image"].append({"bytes": buffer.getvalue(), "path": None})
            rows["label"].append(label)
            rows["kind"].append(DOMAINS[domain])
        Dataset.from_dict(rows, features=features).to_parquet(folder / f"{split}.parquet")


@pytest.fixture(scope="module")
def project_with_domains(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> tuple[Workspace, params.Params]:
    """Run all stages once: 3 classes, 2 domains, 20 training images of each pair, of which clients hold 60 in all."""
    folder = tmp_path_factory.mktemp("domains")
    save_domains(folder, train=20, test=4)
    document = small_document(folder, tiny_model)
    document["data"] |= {"group_column": "kind", "group_words": {"line_art": "drawing"}}
    document["partition"] |= {"clients": 4, "labels_per_client": 2, "max_images": 60}
    document["generate"] |= {"prompts": str(ROOT / "data/prompts/own-domain.yaml")}
    document["train"] |= {"fills": FILLS, "references": [], "rounds": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    workspace, chosen = Workspace(folder, folder / "cache"), params.load(folder / "params.yaml")
    partition_stage.run(workspace, chosen)
    deficits_stage.run(workspace, chosen)
    generate.run(workspace, chosen, ["cpu"])
    evaluate.run(workspace, chosen)
    from pipeline.federated.workers import ExecutionOptions

    for name in FILLS:
        fill.run(workspace, chosen, name)
        train.run(workspace, chosen, name, "fedavg", ExecutionOptions(1))
    report.run(workspace, chosen)
    return workspace, chosen


def test_clients_are_split_over_domains_and_each_domain_is_partitioned_alone(
    project_with_domains: tuple[Workspace, params.Params],
) -> None:
    """10 images of each pair are used; clients 0 and 1 are of the first domain, and each has 2 of its 3 classes.

    By the scheme, 2 clients with 2 of 3 classes share one class: 15 images each (10 and half of 10).
    """
    workspace, _ = project_with_domains
    split = partition.load(workspace.partition)
    assert (split.domain_names, split.domain_words) == (DOMAINS, ("drawing", "photo"))
    counts = split.pair_counts().reshape(4, 2, 3)
    assert counts.sum(axis=(0, 2)).tolist() == [30, 30]
    assert counts.sum(axis=2).tolist() == [[15, 0], [15, 0], [0, 15], [0, 15]]
    assert (counts > 0).sum(axis=2).tolist() == [[2, 0], [2, 0], [0, 2], [0, 2]]
    assert split.counts().tolist() == counts.sum(axis=1).tolist()


def test_deficits_are_inside_a_client_s_domain(project_with_domains: tuple[Workspace, params.Params]) -> None:
    """own-max: a client has 10 of one class and 5 of another, so it lacks 5 of this one and 10 of the third."""
    workspace, _ = project_with_domains
    lacking = deficits.load(workspace.deficits)
    missing = lacking.missing.reshape(4, 2, 3)
    assert (lacking.domains, lacking.domain_words) == (DOMAINS, ("drawing", "photo"))
    assert missing.sum(axis=2).tolist() == [[15, 0], [15, 0], [0, 15], [0, 15]]
    assert sorted(missing[0, 0].tolist()) == [0, 5, 10]
    with workspace.deficits.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 2 * 3
    assert {(row["domain"], row["domain words"]) for row in rows} == {("line_art", "drawing"), ("photo", "photo")}


def test_shards_say_the_domain_and_prompts_name_it(project_with_domains: tuple[Workspace, params.Params]) -> None:
    workspace, chosen = project_with_domains
    known = manifest.load(workspace.manifest)
    assert (known.domains, known.domain_words, known.format) == (DOMAINS, ("drawing", "photo"), 3)
    for shard in known.shards:
        table = pq.read_table(known.paths(shard)[0])
        domain, words = (DOMAINS[0], "drawing") if shard.client < 2 else (DOMAINS[1], "photo")
        assert set(table["domain"].to_pylist()) == {domain}
        assert set(table["lane"].to_pylist()) == {f"{shard.client}/{words}"}
        prompts = zip(table["prompt"].to_pylist(), table["class_name"].to_pylist(), strict=True)
        assert all(prompt == f"a {words} of a {name}" for prompt, name in prompts)
        assert set(table[marks.COLUMN].to_pylist()) == {marks.SOURCE_TYPE}
        assert table.schema.metadata[marks.KEY] == marks.SOURCE_TYPE.encode()
    assert verify.shards(workspace).images == 60
    assert verify.rerender(workspace, chosen, ["cpu"], 3, 0).images == 3
    assert status.status(workspace, chosen).cost.missing == 0
    assert regenerate.regenerate(workspace, chosen, ["cpu"], 3, False).next_step is None
    assert "| client | line\\_art: ankle boot |" in card.by_client("ada/images", known, "mit", None)


def test_a_row_of_another_domain_or_without_its_mark_is_refused(
    project_with_domains: tuple[Workspace, params.Params], tmp_path: Path
) -> None:
    from pipeline.generation import checks
    from pipeline.generation.pool import Receiver

    workspace, _ = project_with_domains
    known = manifest.load(workspace.manifest)
    place, shard = known.paths(known.shards[0])[0], known.shards[0]
    table = pq.read_table(place)
    for column, value, said in (
        ("domain", "photo", "is of client 0"),
        ("domain", "oil", "is not in the manifest"),
        (marks.COLUMN, "", "is not marked as synthetic"),
    ):
        changed = table.set_column(table.schema.names.index(column), column, pa.array([value] * len(table)))
        pq.write_table(changed.cast(table.schema), tmp_path / "shard.parquet")
        with pytest.raises(PipelineError, match=said):
            list(Receiver(known, checks.recipe_of(known)).images(shard, [tmp_path / "shard.parquet"]))


def test_fills_stay_in_the_client_s_domain(project_with_domains: tuple[Workspace, params.Params]) -> None:
    """Each fill gives a client 15 images; the oracle's are of the pairs that the client lacks."""
    workspace, chosen = project_with_domains
    given = Given(workspace, chosen)
    of_domain, of_class = given.decoded.domains, given.decoded.train.labels
    assert of_domain is not None
    for name, source in (("oversample", REAL), ("real", UNUSED), ("synthetic", SYNTHETIC)):
        held = fills.make(name, given)
        assert held.sizes().tolist() == [30, 30, 30, 30]
        assert held.counts.shape == (4, 3)
        if source == SYNTHETIC:
            continue
        for client, rows in enumerate(held.rows[source]):
            assert set(of_domain.numbers[rows].tolist()) == {client // 2}
    dealt = fills.make("real", given).rows[UNUSED][0]
    assert np.bincount(of_class[dealt], minlength=3).tolist() == given.deficits.missing[0, :3].tolist()


def test_accuracy_by_domain_is_that_of_its_test_images(project_with_domains: tuple[Workspace, params.Params]) -> None:
    """There are 12 test images of each domain, so the mean of both accuracies is that of all."""
    workspace, _ = project_with_domains
    for name in FILLS:
        folder = workspace.run(name, "fedavg")
        assert history.load_domains(folder) == DOMAINS
        for done in (done for run in history.load(folder) for done in run.tested):
            assert done.by_domain is not None
            shares = [share for share in done.by_domain if share is not None]
            assert all(
                round(share * 12, 3) % 1 in (0, 1) or abs(share * 12 - round(share * 12)) < 1e-4 for share in shares
            )
            assert np.mean(shares) == pytest.approx(done.accuracy, abs=1e-5)
        found = json.loads(workspace.metrics(name, "fedavg").read_text())
        assert set(found["steps"]["domain_accuracy"]) == set(DOMAINS)
    text = workspace.report_page.read_text()
    assert "Accuracy on the test images of each domain" in text
    assert "line_art" in text


def test_a_preview_says_that_its_images_are_synthetic(
    project_with_domains: tuple[Workspace, params.Params], tmp_path: Path
) -> None:
    workspace, _ = project_with_domains
    made = preview.preview(workspace, 0, 2, tmp_path / "sheet.png")
    with Image.open(made.path) as picture:
        packet = ElementTree.fromstring(picture.info["XML:com.adobe.xmp"])
    (described,) = packet.iter("{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description")
    name = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
    assert (
        described.attrib[name]
        == marks.SOURCE_TYPE
        == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    )


def test_without_domains_every_byte_and_digest_is_that_of_before(tmp_path: Path) -> None:
    """What the last version without domains wrote for the demo: files, recipe, plan, a seed, and the texts of runs."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["data"] |= {"path": str(ROOT / "data/demo/images")}
    document["generate"] |= {
        "model": str(ROOT / "data/demo/model"),
        "prompts": str(ROOT / "data/prompts/plain.yaml"),
    }
    document |= {
        "partition": document["partition"] | {"scheme": "labels", "clients": 10, "max_images": 2000},
        "seed": 2,
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(document))
    workspace, chosen = Workspace(tmp_path, tmp_path / "cache"), params.load(tmp_path / "params.yaml")
    partition_stage.run(workspace, chosen)
    deficits_stage.run(workspace, chosen)
    assert sha256(workspace.partition) == "c3dbe081d19573440c99fc8e908b2aeacbd14f0ad7d4a77e9071b43ba9c3ce61"
    assert sha256(workspace.deficits) == "8d99dbcc3a1831374171b68d22aef055a4e007dcd4be51fb86641a4bb124c7d6"
    assert sha256(workspace.inventory) == "3a5cb8555501d6d9ea837c82b70dc13d18905330f8f0ee70c037f654a95d234b"
    plan = request.current(workspace, chosen, "float32").plan
    assert plan.recipe.digest == "8a015e157a9eb375"
    assert [plan.digest(client) for client in (0, 9)] == ["b4583f2fa4e83113", "0909227124a26568"]
    one = plan.recipe.spec("3", "sneaker", 7)
    assert (one.seed, one.prompt) == (6931193013749764159, "a photo of a sneaker")
    given = Given(workspace, chosen)
    assert given.decoded.fingerprint == "851503a6f5e12d0a"
    held = fills.make("none", given)
    data = Inputs.of(held, fills.open_sources(held, given), given.decoded.test, given.decoded.test_rows)
    asked = chosen.train.model_copy(update={"seeds": (1,)})
    texts = [repr(run).encode() for _, _, run in inputs.runs(held, data, "fedavg", asked, chosen.training_seed)]
    assert [hashlib.sha256(text).hexdigest()[:16] for text in texts] == ["378bad5342f30d12", "8b24c1774fe2d64e"]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
